//! Where connections wait for their verdict: counted, bounded, each with a deadline.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use chatcamp_runtime::Runtime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Limits;

/// How long a connection may ask for other things than chat, in all.
const VISIT: Duration = Duration::from_secs(60);

/// The connections without a verdict.
#[derive(Debug)]
pub(crate) struct Lobby {
    limits: Limits,
    runtime: Arc<dyn Runtime>,
    guests: Mutex<Guests>,
}

/// What a connection does in the lobby, which decides how long it may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// It is on its way to a verdict.
    Handshake,
    /// It asks for other things, by HTTP.
    Http,
    /// It has polled, and may do so again: the first to leave, and counted for no address.
    Idle,
}

/// Guests of one kind have the same time, so their order of arrival is the order of their deadlines.
#[derive(Debug, Default)]
struct Guests {
    arrived: u64,
    handshakes: BTreeMap<u64, Waiting>,
    visits: BTreeMap<u64, Waiting>,
    idle: BTreeMap<u64, Waiting>,
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
    pub(crate) fn new(limits: Limits, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self { limits, runtime, guests: Mutex::default() })
    }

    /// Lets a connection in; when there is no room the oldest, of its address or of all, must leave for it.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>, stay: Stay) -> Guest {
        let address = address.filter(|a| !a.is_loopback() && stay != Stay::Idle).map(neighbourhood);
        let mut guests = self.guests.lock();
        if let Some(address) = address
            && guests.per_address.get(&address).is_some_and(|&n| n >= self.limits.unverified_per_address)
        {
            guests.make_room(|w| w.address == Some(address));
        }
        if guests.len() >= self.limits.unverified {
            guests.make_room(|_| true);
        }
        guests.arrived += 1;
        let number = guests.arrived;
        let leave = Arc::new(Notify::new());
        let time = match stay {
            Stay::Handshake | Stay::Idle => self.limits.handshake,
            Stay::Http => VISIT,
        };
        let deadline = self.runtime.now() + time;
        guests.of(stay).insert(number, Waiting { deadline, address, leave: leave.clone() });
        if let Some(address) = address {
            *guests.per_address.entry(address).or_default() += 1;
        }
        Guest { lobby: self.clone(), number, leave }
    }

    /// Shows out whose time is over.
    pub(crate) fn expire(&self, now: Instant) {
        let mut guests = self.guests.lock();
        for stay in [Stay::Handshake, Stay::Http, Stay::Idle] {
            while let Some((&number, _)) =
                guests.of(stay).first_key_value().filter(|(_, w)| w.deadline <= now)
            {
                guests.remove(number);
            }
        }
    }

    /// Shows everybody out.
    pub(crate) fn clear(&self) {
        let mut guests = self.guests.lock();
        while guests.make_room(|_| true) {}
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.guests.lock().len()
    }
}

/// The network an address counts for: one customer has a whole /64 of IPv6.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

impl Guests {
    fn of(&mut self, stay: Stay) -> &mut BTreeMap<u64, Waiting> {
        match stay {
            Stay::Handshake => &mut self.handshakes,
            Stay::Http => &mut self.visits,
            Stay::Idle => &mut self.idle,
        }
    }

    fn len(&self) -> usize {
        self.handshakes.len() + self.visits.len() + self.idle.len()
    }

    /// Tells the oldest guest of whom `which` holds to leave; its place is free at once.
    fn make_room(&mut self, which: impl Fn(&Waiting) -> bool) -> bool {
        let oldest = |guests: &BTreeMap<u64, Waiting>| {
            guests.iter().find(|(_, w)| which(w)).map(|(&number, _)| number)
        };
        let older = || oldest(&self.handshakes).into_iter().chain(oldest(&self.visits)).min();
        let oldest = oldest(&self.idle).or_else(older);
        oldest.is_some_and(|number| self.remove(number))
    }

    fn remove(&mut self, number: u64) -> bool {
        let removed =
            [Stay::Handshake, Stay::Http, Stay::Idle].iter().find_map(|&stay| self.of(stay).remove(&number));
        let Some(waiting) = removed else { return false };
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
    use chatcamp_runtime::Tokio;

    use super::*;

    fn lobby(unverified: usize, unverified_per_address: usize) -> Arc<Lobby> {
        let limits = Limits { unverified, unverified_per_address, ..Limits::default() };
        Lobby::new(limits, Arc::new(Tokio))
    }

    fn told(guest: &Guest) -> bool {
        let mut leave = std::pin::pin!(guest.must_leave());
        leave.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_leaves_for_one_more() {
        let lobby = lobby(2, 2);
        let (a, b) = (lobby.enter(None, Stay::Handshake), lobby.enter(None, Stay::Handshake));
        assert!(!told(&a) && !told(&b));
        let c = lobby.enter(None, Stay::Handshake);
        assert!(told(&a) && told(&a) && !told(&b) && !told(&c));
        assert_eq!(lobby.len(), 2);
        drop((a, b, c));
        assert_eq!(lobby.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_displaces_only_itself_and_loopback_counts_for_nobody() {
        let lobby = lobby(100, 1);
        let (one, two): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let other = lobby.enter(Some(two), Stay::Handshake);
        let first = lobby.enter(Some(one), Stay::Handshake);
        let second = lobby.enter(Some(one), Stay::Handshake);
        assert!(told(&first) && !told(&second) && !told(&other));
        let local: Vec<_> =
            (0..5).map(|_| lobby.enter(Some([127, 0, 0, 1].into()), Stay::Handshake)).collect();
        assert!(!local.iter().any(told));
        drop((first, second, other, local));
        assert!(lobby.guests.lock().per_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_ipv6_network_are_one() {
        let lobby = lobby(100, 1);
        let of = |last| Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last).into());
        let (first, second) = (lobby.enter(of(1), Stay::Handshake), lobby.enter(of(2), Stay::Handshake));
        assert!(told(&first) && !told(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn who_merely_may_poll_again_leaves_first_and_displaces_nobody() {
        let lobby = lobby(2, 1);
        let one: IpAddr = [192, 0, 2, 1].into();
        let guest = lobby.enter(Some(one), Stay::Handshake);
        let idle = lobby.enter(Some(one), Stay::Idle);
        assert!(!told(&guest) && !told(&idle));
        let another = lobby.enter(None, Stay::Handshake);
        assert!(told(&idle) && !told(&guest) && !told(&another));
    }

    #[tokio::test(start_paused = true)]
    async fn a_visit_is_counted_with_the_rest_and_has_a_time_of_its_own() {
        let lobby = lobby(2, 2);
        let visit = lobby.enter(None, Stay::Http);
        tokio::time::advance(Duration::from_secs(30)).await;
        let guest = lobby.enter(None, Stay::Handshake);
        lobby.expire(Tokio.now());
        assert!(!told(&visit) && lobby.len() == 2);
        tokio::time::advance(Duration::from_secs(30)).await;
        lobby.expire(Tokio.now());
        assert!(told(&visit) && told(&guest));
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_has_its_time_and_no_more() {
        let lobby = lobby(10, 10);
        let early = lobby.enter(None, Stay::Handshake);
        tokio::time::advance(Duration::from_secs(9)).await;
        let late = lobby.enter(None, Stay::Handshake);
        lobby.expire(Tokio.now());
        assert!(!told(&early));
        tokio::time::advance(Duration::from_secs(1)).await;
        lobby.expire(Tokio.now());
        assert!(told(&early) && !told(&late));
    }
}
