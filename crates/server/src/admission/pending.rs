//! Pending connections: counted, bounded, each with a deadline. Also the deadlines of authenticated HTTP connections, which do
//! not count towards the bounds.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use chatcamp_runtime::Runtime;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::descriptors;
use crate::{Limits, Proxies};

/// The time that the answer to one HTTP request may take before its connection is evicted.
const REQUEST: Duration = Duration::from_secs(60);

/// The connections whose deadlines are kept here.
#[derive(Debug)]
pub(crate) struct PendingConnections {
    limits: Limits,
    /// The maximum number of pending connections: [`Limits::unverified`], or fewer if the process may open few files.
    most: usize,
    proxies: Proxies,
    runtime: Arc<dyn Runtime>,
    queues: Mutex<Queues>,
    /// Permits for evicted connections that finish a request.
    finishing: Semaphore,
}

/// The current activity of a connection. It determines the deadline, and which bounds the connection counts towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PendingKind {
    /// Sends a handshake, or the head of an HTTP request.
    Handshake,
    /// Waits for the answer to an HTTP request.
    Http,
    /// Kept alive between two requests. Such a connection is evicted first and does not count for its address.
    Idle,
}

/// A queue of connections with the same timeout, so that their order of arrival is the order of their deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Pending(PendingKind),
    /// Authenticated, and sending the head of a request.
    Head,
    /// Authenticated, and kept alive between two requests.
    KeptAlive,
}

const QUEUES: [Queue; 5] = [
    Queue::Pending(PendingKind::Handshake),
    Queue::Pending(PendingKind::Http),
    Queue::Pending(PendingKind::Idle),
    Queue::Head,
    Queue::KeptAlive,
];

#[derive(Debug, Default)]
struct Queues {
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
    eviction: Arc<Notify>,
}

/// Counts a connection among the [`PendingConnections`] until it is dropped.
#[derive(Debug)]
pub(crate) struct PendingGuard {
    pending: Arc<PendingConnections>,
    eviction: Arc<Notify>,
    /// Changed only while the lock of the queues is held.
    place: Mutex<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// The network that the connection counts for.
    address: Option<IpAddr>,
    is_authenticated: bool,
    /// `None` while a request of an authenticated connection is answered: then it has no deadline here.
    queued: Option<(Queue, u64)>,
}

/// The pending connection of an HTTP request. It is in the extensions of each request that a [`FrontDoor`](crate::FrontDoor) passes to
/// its [`Pages`](crate::Pages).
#[derive(Debug, Clone)]
pub struct PendingConnection(Weak<PendingGuard>);

impl PendingConnection {
    pub(crate) fn new(guard: &Arc<PendingGuard>) -> Self {
        Self(Arc::downgrade(guard))
    }

    /// Marks the connection as authenticated, because its request has a valid credential. From now on it does not count as pending
    /// and is not evicted for other connections.
    ///
    /// Call it before the request is answered.
    pub fn mark_authenticated(&self) {
        if let Some(guard) = self.0.upgrade() {
            guard.authenticate();
        }
    }

    /// Counts the connection for a client; see [`PendingGuard::count_for`]. Does nothing once the connection is closed.
    pub(crate) fn count_for(&self, client: Option<IpAddr>) {
        if let Some(guard) = self.0.upgrade() {
            guard.count_for(client);
        }
    }

    /// Sets the activity of the connection, and with it the deadline. Does nothing once the connection is closed.
    pub(crate) fn change(&self, kind: PendingKind) {
        if let Some(guard) = self.0.upgrade() {
            guard.change(kind);
        }
    }
}

impl PendingConnections {
    pub(crate) fn new(limits: Limits, proxies: Proxies, runtime: Arc<dyn Runtime>) -> Arc<Self> {
        let most = limits.unverified.min(descriptors::share()).max(1);
        let finishing = Semaphore::new(limits.unverified_per_address);
        Arc::new(Self { limits, most, proxies, runtime, queues: Mutex::default(), finishing })
    }

    /// Adds a connection. If a bound is exceeded, evicts the oldest connection, of the same address or of all.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>, kind: PendingKind) -> PendingGuard {
        self.add(address, kind, false)
    }

    /// Adds an authenticated connection between two requests. It evicts no connection and is not evicted for others.
    pub(crate) fn enter_authenticated(self: &Arc<Self>, address: Option<IpAddr>) -> PendingGuard {
        self.add(address, PendingKind::Idle, true)
    }

    fn add(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        kind: PendingKind,
        is_authenticated: bool,
    ) -> PendingGuard {
        let address = address.and_then(|address| self.proxies.network(address));
        let eviction = Arc::new(Notify::new());
        let mut queues = self.queues.lock();
        let queued = self.queue(&mut queues, kind, is_authenticated, address, &eviction);
        drop(queues);
        let place = Mutex::new(Place { address, is_authenticated, queued });
        PendingGuard { pending: self.clone(), eviction, place }
    }

    /// Adds a connection to its queue. Returns the queue and its number there; `None` if it has no deadline.
    fn queue(
        &self,
        queues: &mut Queues,
        kind: PendingKind,
        is_authenticated: bool,
        address: Option<IpAddr>,
        eviction: &Arc<Notify>,
    ) -> Option<(Queue, u64)> {
        let queue = match (is_authenticated, kind) {
            (false, kind) => Queue::Pending(kind),
            (true, PendingKind::Handshake) => Queue::Head,
            (true, PendingKind::Idle) => Queue::KeptAlive,
            (true, PendingKind::Http) => return None,
        };
        queues.arrived += 1;
        let number = queues.arrived;
        let time = match kind {
            PendingKind::Handshake => self.limits.handshake,
            PendingKind::Http => REQUEST,
            PendingKind::Idle => self.limits.keep_alive,
        };
        let deadline = self.runtime.now() + time;
        self.insert(queues, queue, number, Waiting { deadline, address, eviction: eviction.clone() });
        Some((queue, number))
    }

    /// Adds an entry to a queue. If a bound is exceeded, evicts the oldest connection, of the same address or of all.
    fn insert(&self, queues: &mut Queues, queue: Queue, number: u64, mut waiting: Waiting) {
        waiting.address = waiting.address.filter(|_| queue.counts_for_address());
        if let Some(address) = waiting.address
            && queues.per_address.get(&address).is_some_and(|&n| n >= self.limits.unverified_per_address)
        {
            queues.make_room(|w| w.address == Some(address));
        }
        if matches!(queue, Queue::Pending(_)) && queues.pending() >= self.most {
            queues.make_room(|_| true);
        }
        if let Some(address) = waiting.address {
            *queues.per_address.entry(address).or_default() += 1;
        }
        queues.of(queue).insert(number, waiting);
    }

    /// Evicts the connections whose deadline has passed.
    pub(crate) fn expire(&self, now: Instant) {
        let mut queues = self.queues.lock();
        for queue in QUEUES {
            while let Some((&number, _)) =
                queues.of(queue).first_key_value().filter(|(_, w)| w.deadline <= now)
            {
                queues.evict(queue, number);
            }
        }
    }

    /// Evicts the oldest pending connection; if no connection is pending, the oldest authenticated one that is kept alive between two
    /// requests. Returns `false` if there is no such connection.
    ///
    /// For a process that may open no further file. A user may keep any number of authenticated connections alive.
    pub(crate) fn evict_oldest(&self) -> bool {
        let mut queues = self.queues.lock();
        if queues.make_room(|_| true) {
            return true;
        }
        let oldest = queues.kept_alive.first_key_value().map(|(&number, _)| number);
        oldest.is_some_and(|number| queues.evict(Queue::KeptAlive, number))
    }

    /// Evicts every connection.
    pub(crate) fn clear(&self) {
        let mut queues = self.queues.lock();
        for queue in QUEUES {
            while let Some((&number, _)) = queues.of(queue).first_key_value() {
                queues.evict(queue, number);
            }
        }
    }

    /// Returns the number of pending connections.
    pub(crate) fn len(&self) -> usize {
        self.queues.lock().pending()
    }
}

impl Queue {
    /// Whether its connections count towards the bound of their address.
    fn counts_for_address(self) -> bool {
        matches!(self, Self::Pending(PendingKind::Handshake | PendingKind::Http))
    }

    /// Returns the queue with the same timeout for a connection that is not authenticated.
    fn unauthenticated(self) -> Self {
        match self {
            Self::Pending(kind) => Self::Pending(kind),
            Self::Head => Self::Pending(PendingKind::Handshake),
            Self::KeptAlive => Self::Pending(PendingKind::Idle),
        }
    }
}

impl Queues {
    fn of(&mut self, queue: Queue) -> &mut BTreeMap<u64, Waiting> {
        match queue {
            Queue::Pending(PendingKind::Handshake) => &mut self.handshakes,
            Queue::Pending(PendingKind::Http) => &mut self.requests,
            Queue::Pending(PendingKind::Idle) => &mut self.idle,
            Queue::Head => &mut self.heads,
            Queue::KeptAlive => &mut self.kept_alive,
        }
    }

    fn pending(&self) -> usize {
        self.handshakes.len() + self.requests.len() + self.idle.len()
    }

    /// Evicts the oldest pending connection for which `which` holds. Its room is free at once. Returns `false` if `which`
    /// holds for no connection.
    fn make_room(&mut self, which: impl Fn(&Waiting) -> bool) -> bool {
        let oldest = |queues: &BTreeMap<u64, Waiting>| {
            queues.iter().find(|(_, w)| which(w)).map(|(&number, _)| number)
        };
        if let Some(number) = oldest(&self.idle) {
            return self.evict(Queue::Pending(PendingKind::Idle), number);
        }
        match (oldest(&self.handshakes), oldest(&self.requests)) {
            (Some(number), other) if other.is_none_or(|other| number < other) => {
                self.evict(Queue::Pending(PendingKind::Handshake), number)
            }
            (_, Some(number)) => self.evict(Queue::Pending(PendingKind::Http), number),
            (_, None) => false,
        }
    }

    fn evict(&mut self, queue: Queue, number: u64) -> bool {
        let removed = self.remove(queue, number);
        if let Some(waiting) = &removed {
            waiting.eviction.notify_one();
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

impl PendingGuard {
    /// Waits until the connection is evicted.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. After a call has returned, later calls return at once.
    pub(crate) async fn evicted(&self) {
        self.eviction.notified().await;
        self.eviction.notify_one();
    }

    /// Returns a permit for the evicted connection to finish its request; `None` if it must be closed at once.
    ///
    /// An evicted connection counts no longer, and its client decides how long the request takes, so the number of permits is that of one
    /// address.
    pub(crate) fn try_finish(&self) -> Option<SemaphorePermit<'_>> {
        self.pending.finishing.try_acquire().ok()
    }

    /// Sets the activity of the connection, and with it the deadline. Does nothing if the connection was evicted.
    pub(crate) fn change(&self, kind: PendingKind) {
        self.update(|place| (kind, place.is_authenticated));
    }

    /// Marks the connection, which waits for the answer to a request, as authenticated.
    pub(crate) fn authenticate(&self) {
        self.update(|_| (PendingKind::Http, true));
    }

    /// Counts the connection for the client at this address from now on, and no longer as authenticated: the credential may have been
    /// another client's. `None` counts it for no address, until the next request is known. The deadline stays.
    ///
    /// For the connections of trusted proxies, which carry the requests of several clients.
    pub(crate) fn count_for(&self, client: Option<IpAddr>) {
        let address = client.and_then(|client| self.pending.proxies.network(client));
        let mut queues = self.pending.queues.lock();
        let mut place = self.place.lock();
        place.address = address;
        place.is_authenticated &= client.is_none();
        if let Some((queue, number)) = place.queued
            && let Some(waiting) = queues.remove(queue, number)
        {
            let queue = if place.is_authenticated { queue } else { queue.unauthenticated() };
            self.pending.insert(&mut queues, queue, number, Waiting { address, ..waiting });
            place.queued = Some((queue, number));
        }
    }

    fn update(&self, to: impl FnOnce(Place) -> (PendingKind, bool)) {
        let mut queues = self.pending.queues.lock();
        let mut place = self.place.lock();
        if let Some((queue, number)) = place.queued
            && queues.remove(queue, number).is_none()
        {
            return;
        }
        let (kind, is_authenticated) = to(*place);
        let queued = self.pending.queue(&mut queues, kind, is_authenticated, place.address, &self.eviction);
        place.is_authenticated = is_authenticated;
        place.queued = queued;
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        if let Some((queue, number)) = self.place.get_mut().queued {
            self.pending.queues.lock().remove(queue, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use chatcamp_runtime::Tokio;

    use super::*;

    fn connections(unverified: usize, unverified_per_address: usize) -> Arc<PendingConnections> {
        let limits = Limits { unverified, unverified_per_address, ..Limits::default() };
        PendingConnections::new(limits, Proxies::default(), Arc::new(Tokio))
    }

    fn is_evicted(guard: &PendingGuard) -> bool {
        let mut eviction = std::pin::pin!(guard.evicted());
        eviction.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_evicted_for_one_more() {
        let pending = connections(2, 2);
        let (a, b) =
            (pending.enter(None, PendingKind::Handshake), pending.enter(None, PendingKind::Handshake));
        assert!(!is_evicted(&a) && !is_evicted(&b));
        let c = pending.enter(None, PendingKind::Handshake);
        assert!(is_evicted(&a) && is_evicted(&a) && !is_evicted(&b) && !is_evicted(&c));
        assert_eq!(pending.len(), 2);
        drop((a, b, c));
        assert_eq!(pending.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_evicts_only_its_own_connections_and_loopback_is_not_counted() {
        let pending = connections(100, 1);
        let (one, two): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let other = pending.enter(Some(two), PendingKind::Handshake);
        let first = pending.enter(Some(one), PendingKind::Handshake);
        let second = pending.enter(Some(one), PendingKind::Handshake);
        assert!(is_evicted(&first) && !is_evicted(&second) && !is_evicted(&other));
        let local: Vec<_> =
            (0..5).map(|_| pending.enter(Some([127, 0, 0, 1].into()), PendingKind::Handshake)).collect();
        assert!(!local.iter().any(is_evicted));
        drop((first, second, other, local));
        assert!(pending.queues.lock().per_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_ipv6_network_count_together() {
        let pending = connections(100, 1);
        let of = |last| Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last).into());
        let (first, second) =
            (pending.enter(of(1), PendingKind::Handshake), pending.enter(of(2), PendingKind::Handshake));
        assert!(is_evicted(&first) && !is_evicted(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_evicted_first_and_does_not_count_for_its_address() {
        let pending = connections(2, 1);
        let one: IpAddr = [192, 0, 2, 1].into();
        let guard = pending.enter(Some(one), PendingKind::Handshake);
        let idle = pending.enter(Some(one), PendingKind::Idle);
        assert!(!is_evicted(&guard) && !is_evicted(&idle));
        let another = pending.enter(None, PendingKind::Handshake);
        assert!(is_evicted(&idle) && !is_evicted(&guard) && !is_evicted(&another));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_as_pending_and_has_its_own_timeout() {
        let pending = connections(2, 2);
        let request = pending.enter(None, PendingKind::Http);
        tokio::time::advance(Duration::from_secs(30)).await;
        let guard = pending.enter(None, PendingKind::Handshake);
        pending.expire(Tokio.now());
        assert!(!is_evicted(&request) && pending.len() == 2);
        tokio::time::advance(Duration::from_secs(30)).await;
        pending.expire(Tokio.now());
        assert!(is_evicted(&request) && is_evicted(&guard));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_evicted_at_its_deadline() {
        let pending = connections(10, 10);
        let early = pending.enter(None, PendingKind::Handshake);
        tokio::time::advance(Duration::from_secs(9)).await;
        let late = pending.enter(None, PendingKind::Handshake);
        pending.expire(Tokio.now());
        assert!(!is_evicted(&early));
        tokio::time::advance(Duration::from_secs(1)).await;
        pending.expire(Tokio.now());
        assert!(is_evicted(&early) && !is_evicted(&late));
    }

    #[tokio::test(start_paused = true)]
    async fn an_authenticated_connection_is_not_counted_and_not_evicted_for_others() {
        let pending = connections(2, 1);
        let one: IpAddr = [192, 0, 2, 1].into();
        let backends: Vec<_> = (0..5).map(|_| pending.enter(Some(one), PendingKind::Http)).collect();
        assert_eq!(
            backends.iter().filter(|guard| is_evicted(guard)).count(),
            4,
            "unauthenticated, they share the limit of one address"
        );
        let backends: Vec<_> = (0..5)
            .map(|_| {
                let guard = pending.enter(Some(one), PendingKind::Http);
                guard.authenticate();
                guard
            })
            .collect();
        let strangers: Vec<_> = (0..10).map(|_| pending.enter(Some(one), PendingKind::Handshake)).collect();
        assert!(!backends.iter().any(is_evicted));
        drop(strangers);
        assert_eq!(pending.len(), 0);
        // A request that is being answered has no deadline here; the time after it has.
        pending.expire(Tokio.now() + Duration::from_secs(3600));
        assert!(!backends.iter().any(is_evicted));
        backends[0].change(PendingKind::Idle);
        backends[1].change(PendingKind::Handshake);
        pending.expire(Tokio.now() + Duration::from_secs(10));
        assert!(!is_evicted(&backends[0]) && is_evicted(&backends[1]));
        pending.expire(Tokio.now() + Duration::from_secs(74));
        assert!(!is_evicted(&backends[0]));
        pending.expire(Tokio.now() + Duration::from_secs(75));
        assert!(is_evicted(&backends[0]));
        drop(backends);
        let queues = pending.queues.lock();
        assert!(queues.per_address.is_empty() && queues.kept_alive.is_empty() && queues.heads.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_files_authenticated_connections_that_are_idle_are_evicted_last() {
        let pending = connections(10, 10);
        let request = pending.enter(None, PendingKind::Http);
        request.authenticate();
        let idle = [pending.enter_authenticated(None), pending.enter_authenticated(None)];
        let stranger = pending.enter(None, PendingKind::Handshake);
        for evicted in [[true, false, false], [true, true, false], [true, true, true]] {
            assert!(pending.evict_oldest());
            assert_eq!([&stranger, &idle[0], &idle[1]].map(is_evicted), evicted);
        }
        assert!(!pending.evict_oldest() && !is_evicted(&request), "its request is being answered");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_has_its_own_timeout_and_counts_again_with_its_next_request() {
        let pending = connections(100, 1);
        let one: IpAddr = [192, 0, 2, 1].into();
        let guard = pending.enter(Some(one), PendingKind::Handshake);
        guard.change(PendingKind::Idle);
        pending.expire(Tokio.now() + Duration::from_secs(74));
        let other = pending.enter(Some(one), PendingKind::Handshake);
        assert!(!is_evicted(&guard) && !is_evicted(&other));
        guard.change(PendingKind::Handshake);
        assert!(!is_evicted(&guard) && is_evicted(&other), "both are sending a request");
        pending.expire(Tokio.now() + Duration::from_secs(10));
        assert!(is_evicted(&guard));
        guard.change(PendingKind::Idle);
        guard.authenticate();
        assert!(is_evicted(&guard) && pending.len() == 0, "an evicted connection stays evicted");
    }
}
