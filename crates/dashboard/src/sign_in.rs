//! Guessing is slow, and the right password is never locked out.
//!
//! Attempts are checked one after another, in the order in which they came, as each takes memory; a wrong one is answered
//! late, but holds no place meanwhile. So whoever guesses from the same address, which behind a proxy is everybody's, makes
//! the right one wait and does not shut it out. Addresses that failed lately wait in a lane of their own.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};
use zeroize::Zeroizing;

use crate::password::{Hash, LONGEST};

/// How long the answer to a wrong password is held back.
const DELAY: Duration = Duration::from_secs(1);
/// Attempts that wait in one lane, at most; more are told to come again. Who hangs up waits no more, and an address has 64
/// connections: only a proxy with very many of them fills it.
const LANE: usize = 1024;
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
    turn: Arc<Semaphore>,
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
        let lane = || Lane { room: Semaphore::new(LANE), turn: Arc::new(Semaphore::new(1)) };
        Self { quiet: lane(), busy: lane(), failed: Mutex::default() }
    }

    /// Checks a password that came from an address.
    pub(crate) async fn attempt(self: &Arc<Self>, peer: IpAddr, password: &str, hash: Hash) -> Attempt {
        if password.len() > LONGEST {
            // Nothing is computed, and no log filled: it is no guess.
            sleep(DELAY).await;
            return Attempt::Wrong;
        }
        let password = Zeroizing::new(password.to_owned());
        self.attempt_with(peer, move || hash.is_of(&password)).await
    }

    async fn attempt_with(
        self: &Arc<Self>,
        peer: IpAddr,
        is_right: impl FnOnce() -> bool + Send + 'static,
    ) -> Attempt {
        let network = network(peer);
        let lane = if self.has_failed(network) { &self.busy } else { &self.quiet };
        let is_right = {
            let Ok(_room) = lane.room.try_acquire() else { return Attempt::Crowded };
            let turn = lane.turn.clone().acquire_owned().await.expect("no lane is ever closed");
            let check = self.clone().check(peer, turn, is_right);
            tokio::spawn(check).await.expect("a check does not panic, and nobody aborts it")
        };
        if is_right {
            return Attempt::Right;
        }
        sleep(DELAY).await;
        Attempt::Wrong
    }

    /// In a task of its own: whoever hangs up once it has begun has guessed all the same.
    async fn check(
        self: Arc<Self>,
        peer: IpAddr,
        turn: OwnedSemaphorePermit,
        is_right: impl FnOnce() -> bool + Send + 'static,
    ) -> bool {
        let checked = tokio::task::spawn_blocking(is_right).await;
        drop(turn);
        let is_right = checked.expect("checking a password does not panic, and nobody aborts it");
        if !is_right {
            tracing::warn!(%peer, "a wrong password for the dashboard");
            self.remember(network(peer));
        }
        is_right
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

    /// Fills the lane of those who failed, as long as the first of its guesses is being checked.
    #[tokio::test]
    async fn a_full_lane_is_not_in_the_way_of_other_addresses() {
        let sign_in = Arc::new(SignIn::new());
        let guesser = address("192.0.2.1");
        sign_in.remember(guesser);
        let (begun, began) = mpsc::sync_channel(1);
        let barrier = Arc::new(Barrier::new(2));
        let first = {
            let barrier = barrier.clone();
            move || {
                begun.send(()).unwrap();
                barrier.wait();
                false
            }
        };
        let guess = |is_right: Box<dyn FnOnce() -> bool + Send>| {
            let sign_in = sign_in.clone();
            tokio::spawn(async move { sign_in.attempt_with(guesser, is_right).await })
        };
        let mut guesses = vec![guess(Box::new(first))];
        tokio::task::spawn_blocking(move || began.recv().unwrap()).await.unwrap();
        for _ in 1..LANE {
            guesses.push(guess(Box::new(|| false)));
            tokio::task::yield_now().await;
        }
        assert_eq!(sign_in.attempt_with(guesser, || true).await, Attempt::Crowded);
        assert_eq!(sign_in.attempt_with(address("192.0.2.2"), || true).await, Attempt::Right);

        // Who hangs up gives its place to others.
        let left = guesses.pop().unwrap();
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        let knows = guess(Box::new(|| true));
        tokio::task::yield_now().await;
        barrier.wait();
        assert_eq!(knows.await.unwrap(), Attempt::Right);
        for guess in guesses {
            assert_eq!(guess.await.unwrap(), Attempt::Wrong);
        }
    }

    #[tokio::test]
    async fn the_right_password_is_let_in_while_somebody_guesses_from_the_same_address() {
        let sign_in = Arc::new(SignIn::new());
        let shared = address("127.0.0.1");
        let guessers: Vec<_> = (0..200)
            .map(|_| {
                let sign_in = sign_in.clone();
                tokio::spawn(async move {
                    loop {
                        sign_in.attempt_with(shared, || false).await;
                    }
                })
            })
            .collect();
        while !sign_in.has_failed(shared) {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            assert_eq!(sign_in.attempt_with(shared, || true).await, Attempt::Right);
        }
        guessers.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_long_to_be_a_password_is_answered_late_too() {
        let (sign_in, began) = (Arc::new(SignIn::new()), Instant::now());
        let long = "x".repeat(LONGEST + 1);
        let hash = Hash::from_text("no hash at all");
        assert_eq!(sign_in.attempt(address("192.0.2.1"), &long, hash).await, Attempt::Wrong);
        assert_eq!(began.elapsed(), DELAY);
    }

    #[tokio::test]
    async fn whoever_hangs_up_while_it_is_checked_has_guessed_all_the_same() {
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
        assert_eq!(sign_in.quiet.turn.available_permits(), 0, "only one is checked at a time");
        tokio::task::spawn_blocking(move || _ = barrier.wait()).await.unwrap();
        while !sign_in.has_failed(address("192.0.2.1")) {
            tokio::task::yield_now().await;
        }
        assert_eq!(sign_in.quiet.turn.available_permits(), 1);
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
