//! Guessing is slow, and the right password is never locked out.
//!
//! Every attempt is checked, so no number of wrong ones shuts the right one out. Only so many are checked at once, as each
//! takes memory; a wrong one is answered late. Addresses that failed lately wait in a lane of their own, so that whoever
//! guesses does not stand in the way of whoever knows.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use zeroize::Zeroizing;

use crate::password::Hash;

/// How long the answer to a wrong password is held back.
const DELAY: Duration = Duration::from_secs(1);
/// Attempts in one lane at one moment, those included whose answer is held back; more are told to come again.
const LANE: usize = 32;
/// For how long an address that failed is remembered.
const MEMORY: Duration = Duration::from_secs(10 * 60);
/// Addresses remembered, at most; for one more the eldest is forgotten.
const REMEMBERED: usize = 1024;

/// Checks passwords, one after another.
pub(crate) struct SignIn {
    /// For addresses that did not fail lately.
    quiet: Lane,
    /// For those that did.
    busy: Lane,
    failed: Mutex<VecDeque<(IpAddr, Instant)>>,
}

struct Lane {
    room: Semaphore,
    turn: Semaphore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Right,
    Wrong,
    /// It was not checked: too many wait.
    Crowded,
}

impl SignIn {
    pub(crate) fn new() -> Self {
        let lane = || Lane { room: Semaphore::new(LANE), turn: Semaphore::new(1) };
        Self { quiet: lane(), busy: lane(), failed: Mutex::default() }
    }

    /// Checks a password that came from an address.
    pub(crate) async fn attempt(self: &Arc<Self>, peer: IpAddr, password: &str, hash: Hash) -> Attempt {
        let password = Zeroizing::new(password.to_owned());
        self.attempt_with(peer, move || hash.is_of(&password)).await
    }

    /// In a task of its own: whoever hangs up before the answer has guessed all the same, and keeps its place so long.
    async fn attempt_with(
        self: &Arc<Self>,
        peer: IpAddr,
        is_right: impl FnOnce() -> bool + Send + 'static,
    ) -> Attempt {
        let attempt = self.clone().check(network(peer), is_right);
        tokio::spawn(attempt).await.expect("a check does not panic, and nobody aborts it")
    }

    async fn check(
        self: Arc<Self>,
        network: IpAddr,
        is_right: impl FnOnce() -> bool + Send + 'static,
    ) -> Attempt {
        let lane = if self.has_failed(network) { &self.busy } else { &self.quiet };
        let Ok(_room) = lane.room.try_acquire() else { return Attempt::Crowded };
        let turn = lane.turn.acquire().await.expect("no lane is ever closed");
        let checked = tokio::task::spawn_blocking(is_right).await;
        drop(turn);
        if checked.expect("checking a password does not panic, and nobody aborts it") {
            return Attempt::Right;
        }
        self.remember(network);
        sleep(DELAY).await;
        Attempt::Wrong
    }

    fn has_failed(&self, network: IpAddr) -> bool {
        let mut failed = self.failed.lock();
        while failed.front().is_some_and(|(_, at)| at.elapsed() >= MEMORY) {
            failed.pop_front();
        }
        failed.iter().any(|(address, _)| *address == network)
    }

    fn remember(&self, network: IpAddr) {
        let mut failed = self.failed.lock();
        failed.retain(|(address, _)| *address != network);
        if failed.len() == REMEMBERED {
            failed.pop_front();
        }
        failed.push_back((network, Instant::now()));
    }
}

/// What one guesser has many addresses of counts as one.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !(u128::MAX >> 64)).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn only_a_wrong_password_is_answered_late() {
        let sign_in = Arc::new(SignIn::new());
        let began = Instant::now();
        assert_eq!(sign_in.attempt_with(address("192.0.2.1"), || true).await, Attempt::Right);
        assert!(began.elapsed() < DELAY);
        assert_eq!(sign_in.attempt_with(address("192.0.2.1"), || false).await, Attempt::Wrong);
        assert!(began.elapsed() >= DELAY);
        let began = Instant::now();
        assert_eq!(sign_in.attempt_with(address("192.0.2.1"), || true).await, Attempt::Right);
        assert!(began.elapsed() < DELAY, "an address that failed is not slow when it is right");
    }

    #[tokio::test]
    async fn whoever_guesses_does_not_stand_in_the_way_of_whoever_knows() {
        let sign_in = Arc::new(SignIn::new());
        let guesser = address("192.0.2.1");
        sign_in.remember(guesser);
        let barrier = Arc::new(Barrier::new(2));
        let (begun, began) = mpsc::sync_channel(LANE);
        let mut guesses = Vec::new();
        for _ in 0..LANE {
            let (sign_in, barrier, begun) = (sign_in.clone(), barrier.clone(), begun.clone());
            let guess = move || {
                // Only the first one is waited for.
                _ = begun.send(());
                barrier.wait();
                false
            };
            guesses.push(tokio::spawn(async move { sign_in.attempt_with(guesser, guess).await }));
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(move || began.recv().unwrap()).await.unwrap();
        assert_eq!(sign_in.attempt_with(guesser, || true).await, Attempt::Crowded);
        assert_eq!(sign_in.attempt_with(address("192.0.2.2"), || true).await, Attempt::Right);
        tokio::task::spawn_blocking(move || (0..LANE).for_each(|_| _ = barrier.wait())).await.unwrap();
        for guess in guesses {
            assert_eq!(guess.await.unwrap(), Attempt::Wrong);
        }
        assert_eq!(sign_in.attempt_with(guesser, || true).await, Attempt::Right);
    }

    #[tokio::test]
    async fn whoever_hangs_up_keeps_the_place_until_the_check_is_done() {
        let sign_in = Arc::new(SignIn::new());
        let (begun, began) = mpsc::sync_channel(1);
        let barrier = Arc::new(Barrier::new(2));
        let guess = {
            let barrier = barrier.clone();
            move || {
                begun.send(()).unwrap();
                barrier.wait();
                false
            }
        };
        let guessing = tokio::spawn({
            let sign_in = sign_in.clone();
            async move { sign_in.attempt_with(address("192.0.2.1"), guess).await }
        });
        tokio::task::spawn_blocking(move || began.recv().unwrap()).await.unwrap();
        guessing.abort();
        assert!(guessing.await.unwrap_err().is_cancelled());
        assert_eq!(
            (sign_in.quiet.room.available_permits(), sign_in.quiet.turn.available_permits()),
            (LANE - 1, 0)
        );
        tokio::task::spawn_blocking(move || _ = barrier.wait()).await.unwrap();
        let _room = sign_in.quiet.room.acquire_many(LANE as u32).await.unwrap();
        assert!(sign_in.has_failed(address("192.0.2.1")), "and it was a guess");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_addresses_are_remembered_and_not_for_ever() {
        let sign_in = SignIn::new();
        for n in 0..=u32::try_from(REMEMBERED).unwrap() {
            sign_in.remember(IpAddr::V4(n.into()));
        }
        assert_eq!(sign_in.failed.lock().len(), REMEMBERED);
        assert!(!sign_in.has_failed(address("0.0.0.0")) && sign_in.has_failed(address("0.0.0.1")));
        tokio::time::advance(MEMORY).await;
        assert!(!sign_in.has_failed(address("0.0.0.1")));
        assert!(sign_in.failed.lock().is_empty());
    }

    #[test]
    fn one_network_of_many_addresses_is_one_guesser() {
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff:1:2:3")));
        assert_ne!(network(address("2001:db8::1")), network(address("2001:db8:0:1::1")));
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
