//! Pending connections: counted, bounded, each with a deadline. Also the deadlines of authenticated HTTP connections, which
//! count for no bound.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use chatcamp_runtime::Runtime;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::descriptors;
use crate::{Limits, network::network};

/// How long the answer to one HTTP request may take before its connection is evicted.
const REQUEST: Duration = Duration::from_secs(60);

/// The connections that have a deadline of their own.
#[derive(Debug)]
pub(crate) struct Lobby {
    limits: Limits,
    /// Pending connections at most: [`Limits::unverified`], or fewer if the process may open few files.
    most: usize,
    runtime: Arc<dyn Runtime>,
    guests: Mutex<Guests>,
}

/// What a connection does, which decides for how long it may and whether it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// Sends a handshake, or the head of an HTTP request.
    Handshake,
    /// Waits for the answer to an HTTP request.
    Http,
    /// Kept alive between two requests: the first to be evicted, and counted for no address.
    Idle,
}

/// A queue of connections that all have the same time, so that their order is that of their deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Pending(Stay),
    /// Authenticated, and within the head of a request.
    Head,
    /// Authenticated, and between two requests.
    KeptAlive,
}

const QUEUES: [Queue; 5] = [
    Queue::Pending(Stay::Handshake),
    Queue::Pending(Stay::Http),
    Queue::Pending(Stay::Idle),
    Queue::Head,
    Queue::KeptAlive,
];

#[derive(Debug, Default)]
struct Guests {
    arrived: u64,
    handshakes: BTreeMap<u64, Waiting>,
    requests: BTreeMap<u64, Waiting>,
    idle: BTreeMap<u64, Waiting>,
    heads: BTreeMap<u64, Waiting>,
    kept_alive: BTreeMap<u64, Waiting>,
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
    address: Option<IpAddr>,
    leave: Arc<Notify>,
    /// Changed only while the lobby's lock is held.
    place: Mutex<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    is_authenticated: bool,
    /// `None` while an authenticated connection has a request under way: then it has no deadline here.
    queued: Option<(Queue, u64)>,
}

/// The connection that an HTTP request came over, as the server counts it: in the extensions of every request that a
/// [`FrontDoor`](crate::FrontDoor) hands to its [`Pages`](crate::Pages).
#[derive(Debug, Clone)]
pub struct PendingConnection(Weak<Guest>);

impl PendingConnection {
    pub(crate) fn new(guest: &Arc<Guest>) -> Self {
        Self(Arc::downgrade(guest))
    }

    /// Marks the connection as one of a known client, as its request has a valid credential: from now on it counts for no
    /// limit on pending connections and is not closed for others.
    ///
    /// To be called while the request is being answered.
    pub fn mark_authenticated(&self) {
        if let Some(guest) = self.0.upgrade() {
            guest.authenticate();
        }
    }

    /// Gives the connection the deadline of what it does now, as long as it is served by HTTP.
    pub(crate) fn change(&self, stay: Stay) {
        if let Some(guest) = self.0.upgrade() {
            guest.change(stay);
        }
    }
}

impl Lobby {
    pub(crate) fn new(limits: Limits, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        let most = limits.unverified.min(descriptors::share()).max(1);
        Arc::new(Self { limits, most, runtime, guests: Mutex::default() })
    }

    /// Adds a connection; when there is no room the oldest, of its address or of all, is evicted.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>, stay: Stay) -> Guest {
        self.add(address, stay, false)
    }

    /// Adds an authenticated connection between two requests, which evicts nothing and is not evicted.
    pub(crate) fn enter_authenticated(self: &Arc<Self>, address: Option<IpAddr>) -> Guest {
        self.add(address, Stay::Idle, true)
    }

    fn add(self: &Arc<Self>, address: Option<IpAddr>, stay: Stay, is_authenticated: bool) -> Guest {
        let address = address.and_then(network);
        let leave = Arc::new(Notify::new());
        let mut guests = self.guests.lock();
        let queued = self.queue(&mut guests, stay, is_authenticated, address, &leave);
        drop(guests);
        let place = Mutex::new(Place { is_authenticated, queued });
        Guest { lobby: self.clone(), address, leave, place }
    }

    fn queue(
        &self,
        guests: &mut Guests,
        stay: Stay,
        is_authenticated: bool,
        address: Option<IpAddr>,
        leave: &Arc<Notify>,
    ) -> Option<(Queue, u64)> {
        let queue = match (is_authenticated, stay) {
            (false, stay) => Queue::Pending(stay),
            (true, Stay::Handshake) => Queue::Head,
            (true, Stay::Idle) => Queue::KeptAlive,
            (true, Stay::Http) => return None,
        };
        let address = address.filter(|_| matches!(queue, Queue::Pending(Stay::Handshake | Stay::Http)));
        if let Some(address) = address
            && guests.per_address.get(&address).is_some_and(|&n| n >= self.limits.unverified_per_address)
        {
            guests.make_room(|w| w.address == Some(address));
        }
        if matches!(queue, Queue::Pending(_)) && guests.pending() >= self.most {
            guests.make_room(|_| true);
        }
        guests.arrived += 1;
        let number = guests.arrived;
        let time = match stay {
            Stay::Handshake => self.limits.handshake,
            Stay::Http => REQUEST,
            Stay::Idle => self.limits.keep_alive,
        };
        let deadline = self.runtime.now() + time;
        guests.of(queue).insert(number, Waiting { deadline, address, leave: leave.clone() });
        if let Some(address) = address {
            *guests.per_address.entry(address).or_default() += 1;
        }
        Some((queue, number))
    }

    /// Evicts the connections whose deadline has passed.
    pub(crate) fn expire(&self, now: Instant) {
        let mut guests = self.guests.lock();
        for queue in QUEUES {
            while let Some((&number, _)) =
                guests.of(queue).first_key_value().filter(|(_, w)| w.deadline <= now)
            {
                guests.evict(queue, number);
            }
        }
    }

    /// Evicts the oldest pending connection; returns `false` if there is none.
    pub(crate) fn evict_oldest(&self) -> bool {
        self.guests.lock().make_room(|_| true)
    }

    /// Evicts every connection.
    pub(crate) fn clear(&self) {
        let mut guests = self.guests.lock();
        for queue in QUEUES {
            while let Some((&number, _)) = guests.of(queue).first_key_value() {
                guests.evict(queue, number);
            }
        }
    }

    /// Returns the number of pending connections.
    pub(crate) fn len(&self) -> usize {
        self.guests.lock().pending()
    }
}

impl Guests {
    fn of(&mut self, queue: Queue) -> &mut BTreeMap<u64, Waiting> {
        match queue {
            Queue::Pending(Stay::Handshake) => &mut self.handshakes,
            Queue::Pending(Stay::Http) => &mut self.requests,
            Queue::Pending(Stay::Idle) => &mut self.idle,
            Queue::Head => &mut self.heads,
            Queue::KeptAlive => &mut self.kept_alive,
        }
    }

    fn pending(&self) -> usize {
        self.handshakes.len() + self.requests.len() + self.idle.len()
    }

    /// Evicts the oldest pending connection for which `which` holds; its place is free at once.
    fn make_room(&mut self, which: impl Fn(&Waiting) -> bool) -> bool {
        let oldest = |guests: &BTreeMap<u64, Waiting>| {
            guests.iter().find(|(_, w)| which(w)).map(|(&number, _)| number)
        };
        if let Some(number) = oldest(&self.idle) {
            return self.evict(Queue::Pending(Stay::Idle), number);
        }
        match (oldest(&self.handshakes), oldest(&self.requests)) {
            (Some(number), other) if other.is_none_or(|other| number < other) => {
                self.evict(Queue::Pending(Stay::Handshake), number)
            }
            (_, Some(number)) => self.evict(Queue::Pending(Stay::Http), number),
            (_, None) => false,
        }
    }

    fn evict(&mut self, queue: Queue, number: u64) -> bool {
        let removed = self.remove(queue, number);
        if let Some(waiting) = &removed {
            waiting.leave.notify_one();
        }
        removed.is_some()
    }

    fn remove(&mut self, queue: Queue, number: u64) -> Option<Waiting> {
        let waiting = self.of(queue).remove(&number)?;
        if let Some(address) = waiting.address
            && let Some(count) = self.per_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
        Some(waiting)
    }
}

impl Guest {
    /// Waits until the connection is evicted.
    ///
    /// Cancel-safe: a call that was dropped loses nothing, and once it has returned it returns again.
    pub(crate) async fn must_leave(&self) {
        self.leave.notified().await;
        self.leave.notify_one();
    }

    /// Gives the connection the deadline of what it does now; one that is evicted stays evicted.
    pub(crate) fn change(&self, stay: Stay) {
        self.update(|place| (stay, place.is_authenticated));
    }

    /// Takes the connection, which waits for the answer to a request, out of the pending ones for good.
    pub(crate) fn authenticate(&self) {
        self.update(|_| (Stay::Http, true));
    }

    fn update(&self, to: impl FnOnce(Place) -> (Stay, bool)) {
        let mut guests = self.lobby.guests.lock();
        let mut place = self.place.lock();
        if let Some((queue, number)) = place.queued
            && guests.remove(queue, number).is_none()
        {
            return;
        }
        let (stay, is_authenticated) = to(*place);
        let queued = self.lobby.queue(&mut guests, stay, is_authenticated, self.address, &self.leave);
        *place = Place { is_authenticated, queued };
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some((queue, number)) = self.place.get_mut().queued {
            self.lobby.guests.lock().remove(queue, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

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
    async fn a_request_is_counted_with_the_rest_and_has_a_time_of_its_own() {
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

    #[tokio::test(start_paused = true)]
    async fn an_authenticated_connection_counts_for_nothing_and_is_never_evicted_for_another() {
        let lobby = lobby(2, 1);
        let one: IpAddr = [192, 0, 2, 1].into();
        let backends: Vec<_> = (0..5).map(|_| lobby.enter(Some(one), Stay::Http)).collect();
        assert_eq!(
            backends.iter().filter(|guest| told(guest)).count(),
            4,
            "as strangers they share one place"
        );
        let backends: Vec<_> = (0..5)
            .map(|_| {
                let guest = lobby.enter(Some(one), Stay::Http);
                guest.authenticate();
                guest
            })
            .collect();
        let strangers: Vec<_> = (0..10).map(|_| lobby.enter(Some(one), Stay::Handshake)).collect();
        assert!(!backends.iter().any(told));
        drop(strangers);
        assert_eq!(lobby.len(), 0);
        // A request under way has no deadline here; what follows it has.
        lobby.expire(Tokio.now() + Duration::from_secs(3600));
        assert!(!backends.iter().any(told));
        backends[0].change(Stay::Idle);
        backends[1].change(Stay::Handshake);
        lobby.expire(Tokio.now() + Duration::from_secs(10));
        assert!(!told(&backends[0]) && told(&backends[1]));
        lobby.expire(Tokio.now() + Duration::from_secs(74));
        assert!(!told(&backends[0]));
        lobby.expire(Tokio.now() + Duration::from_secs(75));
        assert!(told(&backends[0]));
        drop(backends);
        let guests = lobby.guests.lock();
        assert!(guests.per_address.is_empty() && guests.kept_alive.is_empty() && guests.heads.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_between_requests_has_its_own_time_and_counts_again_with_the_next_one() {
        let lobby = lobby(100, 1);
        let one: IpAddr = [192, 0, 2, 1].into();
        let guest = lobby.enter(Some(one), Stay::Handshake);
        guest.change(Stay::Idle);
        lobby.expire(Tokio.now() + Duration::from_secs(74));
        let other = lobby.enter(Some(one), Stay::Handshake);
        assert!(!told(&guest) && !told(&other));
        guest.change(Stay::Handshake);
        assert!(!told(&guest) && told(&other), "both are within a request");
        lobby.expire(Tokio.now() + Duration::from_secs(10));
        assert!(told(&guest));
        guest.change(Stay::Idle);
        guest.authenticate();
        assert!(told(&guest) && lobby.len() == 0, "one that is evicted stays evicted");
    }
}
