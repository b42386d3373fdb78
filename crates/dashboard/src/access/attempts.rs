//! Attempts to sign in by password: guessing is slow, takes little memory and does not lock the operator out.
//!
//! Hashing a password takes 19 MiB for some milliseconds. Two lanes check passwords, one password at a time each, in their own
//! memory: one lane for networks that have not failed recently, one for those that have. Within a lane, networks take turns:
//! how long an attempt waits depends on how many networks wait, not on how many guesses each of them sends. A wrong
//! password is answered after a delay that holds up no other attempt. Behind a proxy, all clients have the same address:
//! there, guesses delay the right password and do not lock it out.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::{Instant, sleep},
};
use zeroize::Zeroizing;

use super::{
    password::MAX_BYTES,
    password_hash::{HashMemory, PasswordHash},
};

/// Delay of the answer to a wrong password.
const DELAY: Duration = Duration::from_secs(1);
/// Maximum number of attempts of one network that wait in a lane, the one being checked included; further attempts are
/// told to try again. They take some seconds to check. Only a proxy on this machine can reach the limit: other addresses have
/// at most 64 connections that are not signed in.
const MAX_WAITING: usize = 256;
/// Maximum number of networks with attempts in a lane; attempts of further networks are told to try again.
const MAX_NETWORKS: usize = 1024;
/// How long a failed attempt of a network is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(10 * 60);
/// Maximum number of networks whose failures are remembered; the earliest failure is forgotten first.
const MAX_FAILED: usize = 1024;

/// Checks passwords, in two lanes.
#[derive(Default)]
pub(crate) struct SignInAttempts {
    /// For networks that have not failed recently.
    quiet: Lane,
    /// For networks that have.
    failing: Lane,
    failed: Mutex<VecDeque<(IpAddr, Instant)>>,
}

/// Checks one password at a time; networks take turns.
#[derive(Default)]
struct Lane {
    /// The attempts of each network, in order of arrival. Each attempt holds a reference to its queue.
    queues: Mutex<HashMap<IpAddr, Arc<AsyncMutex<()>>>>,
    memory: Arc<AsyncMutex<HashMemory>>,
}

/// The right to check one password in a lane.
struct Turn {
    memory: OwnedMutexGuard<HashMemory>,
    _queue: OwnedMutexGuard<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Right,
    Wrong,
    /// The password was not checked: too many attempts are waiting.
    Busy,
}

impl SignInAttempts {
    /// Checks a password that was sent from an address.
    pub(crate) async fn attempt(
        self: &Arc<Self>,
        peer: IpAddr,
        password: &str,
        hash: PasswordHash,
    ) -> Attempt {
        if password.len() > MAX_BYTES {
            // Cannot be the password: neither computed nor logged.
            sleep(DELAY).await;
            return Attempt::Wrong;
        }
        let password = Zeroizing::new(password.to_owned());
        self.attempt_with(peer, move |memory| hash.matches(&password, memory)).await
    }

    async fn attempt_with(
        self: &Arc<Self>,
        peer: IpAddr,
        is_right: impl FnOnce(&mut HashMemory) -> bool + Send + 'static,
    ) -> Attempt {
        let network = network(peer);
        let lane = if self.has_failed(network) { &self.failing } else { &self.quiet };
        let Some(turn) = lane.turn(network).await else { return Attempt::Busy };
        // In a task of its own: an attempt counts even if its client disconnects while it is checked.
        let check = tokio::spawn(self.clone().check(peer, turn, is_right));
        if check.await.expect("checking a password does not panic, and nothing aborts it") {
            return Attempt::Right;
        }
        sleep(DELAY).await;
        Attempt::Wrong
    }

    async fn check(
        self: Arc<Self>,
        peer: IpAddr,
        mut turn: Turn,
        is_right: impl FnOnce(&mut HashMemory) -> bool + Send + 'static,
    ) -> bool {
        let checked = tokio::task::spawn_blocking(move || (is_right(&mut turn.memory), turn)).await;
        let (is_right, _turn) = checked.expect("checking a password does not panic, and nothing aborts it");
        if !is_right {
            tracing::warn!(%peer, "wrong password for the dashboard");
            self.remember(network(peer));
        }
        is_right
    }

    fn has_failed(&self, network: IpAddr) -> bool {
        let mut failed = self.failed.lock();
        while failed.front().is_some_and(|(_, at)| at.elapsed() >= REMEMBERED_FOR) {
            failed.pop_front();
        }
        failed.iter().any(|(address, _)| *address == network)
    }

    fn remember(&self, network: IpAddr) {
        let mut failed = self.failed.lock();
        failed.retain(|(address, _)| *address != network);
        if failed.len() == MAX_FAILED {
            failed.pop_front();
        }
        failed.push_back((network, Instant::now()));
    }
}

impl Lane {
    /// Waits until a password of a network may be checked. Returns `None` if too many are waiting.
    async fn turn(&self, network: IpAddr) -> Option<Turn> {
        // First the network's own queue: only one attempt of each network waits for the memory, in order of arrival.
        let queue = self.queue(network)?.lock_owned().await;
        let memory = self.memory.clone().lock_owned().await;
        Some(Turn { memory, _queue: queue })
    }

    fn queue(&self, network: IpAddr) -> Option<Arc<AsyncMutex<()>>> {
        let mut queues = self.queues.lock();
        queues.retain(|_, queue| Arc::strong_count(queue) > 1);
        if queues.len() >= MAX_NETWORKS && !queues.contains_key(&network) {
            return None;
        }
        let queue = queues.entry(network).or_default();
        (Arc::strong_count(queue) <= MAX_WAITING).then(|| queue.clone())
    }
}

/// The network that an address is counted by: addresses of one IPv6 /64 belong to one client.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !(u128::MAX >> 64)).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use tokio::task::{self, JoinHandle, yield_now};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Starts an attempt with a check of its own, and waits until it is in the queue of its network.
    async fn queue_attempt(
        attempts: &Arc<SignInAttempts>,
        peer: IpAddr,
        is_right: impl FnOnce() -> bool + Send + 'static,
    ) -> JoinHandle<Attempt> {
        let queued = waiting(attempts, peer);
        let attempt = tokio::spawn({
            let attempts = attempts.clone();
            async move { attempts.attempt_with(peer, |_| is_right()).await }
        });
        while waiting(attempts, peer) == queued {
            yield_now().await;
        }
        attempt
    }

    /// Returns how many attempts of a network are in the lane of networks that have failed.
    fn waiting(attempts: &SignInAttempts, peer: IpAddr) -> usize {
        let queues = attempts.failing.queues.lock();
        queues.get(&network(peer)).map_or(0, |queue| Arc::strong_count(queue) - 1)
    }

    #[tokio::test(start_paused = true)]
    async fn only_wrong_passwords_are_answered_late() {
        let attempts = Arc::new(SignInAttempts::default());
        for (is_right, outcome, delay) in [
            (true, Attempt::Right, Duration::ZERO),
            (false, Attempt::Wrong, DELAY),
            (true, Attempt::Right, Duration::ZERO),
        ] {
            let began = Instant::now();
            assert_eq!(attempts.attempt_with(address("192.0.2.1"), move |_| is_right).await, outcome);
            assert_eq!(began.elapsed(), delay);
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_attempts_of_its_own_network_only() {
        let attempts = Arc::new(SignInAttempts::default());
        let guesser = address("192.0.2.1");
        let other = address("192.0.2.2");
        attempts.remember(guesser);
        attempts.remember(other);
        let busy = attempts.failing.memory.clone().lock_owned().await;
        let mut guesses = Vec::new();
        for _ in 0..MAX_WAITING {
            guesses.push(queue_attempt(&attempts, guesser, || false).await);
        }
        assert_eq!(attempts.attempt_with(guesser, |_| true).await, Attempt::Busy);
        let of_other = queue_attempt(&attempts, other, || true).await;

        // A client that disconnects makes room for another attempt.
        let gone = guesses.pop().unwrap();
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        let admitted = queue_attempt(&attempts, guesser, || true).await;
        drop(busy);
        assert_eq!(of_other.await.unwrap(), Attempt::Right);
        assert_eq!(admitted.await.unwrap(), Attempt::Right);
        for guess in guesses {
            assert_eq!(guess.await.unwrap(), Attempt::Wrong);
        }
    }

    #[tokio::test]
    async fn networks_take_turns() {
        let attempts = Arc::new(SignInAttempts::default());
        let guesser = address("192.0.2.1");
        let other = address("192.0.2.2");
        attempts.remember(guesser);
        attempts.remember(other);
        let busy = attempts.failing.memory.clone().lock_owned().await;
        let checked = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let checked = checked.clone();
            queue_attempt(&attempts, guesser, move || {
                checked.fetch_add(1, Ordering::Relaxed);
                false
            })
            .await;
        }
        let checked_before = Arc::new(AtomicUsize::new(0));
        let of_other = queue_attempt(&attempts, other, {
            let checked_before = checked_before.clone();
            move || {
                checked_before.store(checked.load(Ordering::Relaxed), Ordering::Relaxed);
                true
            }
        })
        .await;
        drop(busy);
        assert_eq!(of_other.await.unwrap(), Attempt::Right);
        assert_eq!(checked_before.load(Ordering::Relaxed), 1, "one guess was ahead of it");
    }

    #[tokio::test]
    async fn a_lane_holds_a_bounded_number_of_networks() {
        let attempts = Arc::new(SignInAttempts::default());
        let busy = attempts.failing.memory.clone().lock_owned().await;
        let networks: Vec<_> =
            (1..=u32::try_from(MAX_NETWORKS).unwrap()).map(|n| IpAddr::V4(n.into())).collect();
        let mut queued = Vec::new();
        for network in &networks {
            attempts.remember(*network);
            queued.push(queue_attempt(&attempts, *network, || true).await);
        }
        assert!(attempts.failing.turn(address("192.0.2.1")).await.is_none());
        drop(busy);
        for attempt in queued {
            assert_eq!(attempt.await.unwrap(), Attempt::Right);
        }
        assert!(attempts.failing.turn(address("192.0.2.1")).await.is_some());
        assert_eq!(attempts.failing.queues.lock().len(), 1, "networks without attempts are forgotten");
    }

    #[tokio::test]
    async fn the_right_password_is_accepted_while_its_own_network_guesses() {
        let attempts = Arc::new(SignInAttempts::default());
        let shared = address("127.0.0.1");
        let guessers: Vec<_> = (0..200)
            .map(|_| {
                let attempts = attempts.clone();
                tokio::spawn(async move {
                    loop {
                        attempts.attempt_with(shared, |_| false).await;
                    }
                })
            })
            .collect();
        while !attempts.has_failed(shared) {
            yield_now().await;
        }
        for _ in 0..10 {
            assert_eq!(attempts.attempt_with(shared, |_| true).await, Attempt::Right);
        }
        guessers.iter().for_each(JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_that_is_too_long_is_refused_late_without_computing() {
        let attempts = Arc::new(SignInAttempts::default());
        let began = Instant::now();
        let long = "x".repeat(MAX_BYTES + 1);
        let hash = PasswordHash::from_text("not a hash");
        assert_eq!(attempts.attempt(address("192.0.2.1"), &long, hash).await, Attempt::Wrong);
        assert_eq!(began.elapsed(), DELAY);
        assert!(!attempts.has_failed(address("192.0.2.1")));
    }

    #[tokio::test]
    async fn an_attempt_counts_if_its_client_disconnects_during_the_check() {
        let attempts = Arc::new(SignInAttempts::default());
        let (begun, began) = mpsc::sync_channel(1);
        let barrier = Arc::new(Barrier::new(2));
        let guess = {
            let barrier = barrier.clone();
            move |_: &mut HashMemory| {
                begun.send(()).unwrap();
                barrier.wait();
                false
            }
        };
        let guessing = tokio::spawn({
            let attempts = attempts.clone();
            async move { attempts.attempt_with(address("192.0.2.1"), guess).await }
        });
        task::spawn_blocking(move || began.recv().unwrap()).await.unwrap();
        guessing.abort();
        assert!(guessing.await.unwrap_err().is_cancelled());
        assert!(attempts.quiet.memory.try_lock().is_err(), "a lane checks one password at a time");
        task::spawn_blocking(move || _ = barrier.wait()).await.unwrap();
        while !attempts.has_failed(address("192.0.2.1")) {
            yield_now().await;
        }
        drop(attempts.quiet.memory.lock().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_number_of_networks_is_remembered_for_ten_minutes() {
        let attempts = SignInAttempts::default();
        for n in 0..=u32::try_from(MAX_FAILED).unwrap() {
            attempts.remember(IpAddr::V4(n.into()));
        }
        assert_eq!(attempts.failed.lock().len(), MAX_FAILED);
        assert!(!attempts.has_failed(address("0.0.0.0")) && attempts.has_failed(address("0.0.0.1")));
        tokio::time::advance(REMEMBERED_FOR).await;
        assert!(!attempts.has_failed(address("0.0.0.1")));
        assert!(attempts.failed.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff:1:2:3")));
        assert_ne!(network(address("2001:db8::1")), network(address("2001:db8:0:1::1")));
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
