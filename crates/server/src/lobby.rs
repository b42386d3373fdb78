//! Where connections wait for their verdict: counted, bounded, each with a deadline.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::Limits;

/// The connections without a verdict.
#[derive(Debug)]
pub(crate) struct Lobby {
    limits: Limits,
    guests: Mutex<Guests>,
}

/// All guests have the same time, so the order of arrival is the order of deadlines.
#[derive(Debug, Default)]
struct Guests {
    arrived: u64,
    waiting: BTreeMap<u64, Waiting>,
    per_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Waiting {
    deadline: Instant,
    address: Option<IpAddr>,
    leave: Arc<Notify>,
}

/// A connection's place in the lobby, given up when dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    lobby: Arc<Lobby>,
    number: u64,
    leave: Arc<Notify>,
}

impl Lobby {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, guests: Mutex::default() })
    }

    /// Lets a connection in; when there is no room the oldest, of its address or of all, must leave for it.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Guest {
        let address = address.filter(|a| !a.is_loopback());
        let mut guests = self.guests.lock();
        if let Some(address) = address
            && guests.per_address.get(&address).is_some_and(|&n| n >= self.limits.unverified_per_address)
        {
            guests.show_out(|w| w.address == Some(address));
        }
        if guests.waiting.len() >= self.limits.unverified {
            guests.show_out(|_| true);
        }
        guests.arrived += 1;
        let number = guests.arrived;
        let leave = Arc::new(Notify::new());
        let deadline = Instant::now() + self.limits.handshake;
        guests.waiting.insert(number, Waiting { deadline, address, leave: leave.clone() });
        if let Some(address) = address {
            *guests.per_address.entry(address).or_default() += 1;
        }
        Guest { lobby: self.clone(), number, leave }
    }

    /// Shows out whose time is over.
    pub(crate) fn expire(&self, now: Instant) {
        let mut guests = self.guests.lock();
        while guests.waiting.first_key_value().is_some_and(|(_, w)| w.deadline <= now) {
            guests.show_out(|_| true);
        }
    }

    /// Shows everybody out.
    pub(crate) fn clear(&self) {
        let mut guests = self.guests.lock();
        while guests.show_out(|_| true) {}
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.guests.lock().waiting.len()
    }
}

impl Guests {
    /// Tells the oldest guest of a kind to leave; its place is free at once.
    fn show_out(&mut self, kind: impl Fn(&Waiting) -> bool) -> bool {
        let Some(number) = self.waiting.iter().find(|(_, w)| kind(w)).map(|(&number, _)| number) else {
            return false;
        };
        self.remove(number)
    }

    fn remove(&mut self, number: u64) -> bool {
        let Some(waiting) = self.waiting.remove(&number) else { return false };
        waiting.leave.notify_one();
        if let Some(address) = waiting.address
            && let Some(count) = self.per_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
        true
    }
}

impl Guest {
    /// Waits until the guest must leave.
    ///
    /// Cancel-safe: a call that was dropped loses nothing, and once it has returned it returns again.
    pub(crate) async fn must_leave(&self) {
        self.leave.notified().await;
        self.leave.notify_one();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.lobby.guests.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lobby(unverified: usize, unverified_per_address: usize) -> Arc<Lobby> {
        Lobby::new(Limits { unverified, unverified_per_address, ..Limits::default() })
    }

    fn told(guest: &Guest) -> bool {
        let mut leave = std::pin::pin!(guest.must_leave());
        leave.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_leaves_for_one_more() {
        let lobby = lobby(2, 2);
        let (a, b) = (lobby.enter(None), lobby.enter(None));
        assert!(!told(&a) && !told(&b));
        let c = lobby.enter(None);
        assert!(told(&a) && told(&a) && !told(&b) && !told(&c));
        assert_eq!(lobby.len(), 2);
        drop((a, b, c));
        assert_eq!(lobby.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_displaces_only_itself_and_loopback_counts_for_nobody() {
        let lobby = lobby(100, 1);
        let (one, two): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let other = lobby.enter(Some(two));
        let first = lobby.enter(Some(one));
        let second = lobby.enter(Some(one));
        assert!(told(&first) && !told(&second) && !told(&other));
        let local: Vec<_> = (0..5).map(|_| lobby.enter(Some([127, 0, 0, 1].into()))).collect();
        assert!(!local.iter().any(told));
        drop((first, second, other, local));
        assert!(lobby.guests.lock().per_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_has_its_time_and_no_more() {
        let lobby = lobby(10, 10);
        let early = lobby.enter(None);
        tokio::time::advance(Duration::from_secs(9)).await;
        let late = lobby.enter(None);
        lobby.expire(Instant::now());
        assert!(!told(&early));
        tokio::time::advance(Duration::from_secs(1)).await;
        lobby.expire(Instant::now());
        assert!(told(&early) && !told(&late));
    }
}
