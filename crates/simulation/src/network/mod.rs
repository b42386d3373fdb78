//! The simulated network: connections with delays and faults drawn from the seed.
//!
//! | file | holds |
//! |---|---|
//! | `faults` | fault probabilities |
//! | `wire` | one connection: two directions, each a queue of messages with arrival times |
//! | `end` | the carriers at both ends, which report to the ledger |
//! | `exchange`, `poll` | HTTP exchanges with their faults, and the client end of a long-poll connection |
//! | `tampering` | planted faults |

mod end;
mod exchange;
mod faults;
mod poll;
mod tampering;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use chatcamp_protocol::{Envelope, handshake};
use chatcamp_runtime::Runtime;
use chatcamp_server::Server;
use chatcamp_transport::{ConnectError, Connection, ConnectionInfo, Message, Transport};
use parking_lot::Mutex;
use serde_json::Value;

pub(crate) use self::faults::FaultProfile;
pub use self::faults::{ConnectionFault, Direction};
use self::{
    faults::DialOutcome,
    tampering::Tampering,
    wire::{Side, Wire},
};
use crate::{
    ledger::{Ledger, Proof},
    machine::Process,
    planted::Planted,
};

/// The port that every client connects from.
const PORT: u16 = 50_000;
/// Requests remembered per session, which the network may repeat.
const REMEMBERED: usize = 8;

/// The state of the network.
#[derive(Debug)]
pub(crate) struct Network {
    process: Process,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
    tampering: Mutex<Tampering>,
    planted: Option<Planted>,
}

#[derive(Debug)]
struct State {
    faults: FaultProfile,
    /// The server that takes new connections.
    server: Option<(Server, Process)>,
    wires: BTreeMap<u64, (usize, Weak<Wire>)>,
    counter: u64,
    /// The latest requests of each native client's session, with their numbers.
    requests: BTreeMap<usize, VecDeque<(u64, Message)>>,
    /// Published clients: the server does not follow the numbers of their requests.
    published: BTreeSet<usize>,
}

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// A connection that carries messages, like a WebSocket.
    Socket,
    /// HTTP exchanges.
    Polls,
}

impl Network {
    pub(crate) fn new(
        process: Process,
        ledger: Arc<Ledger>,
        faults: FaultProfile,
        planted: Option<Planted>,
    ) -> Arc<Self> {
        let state = State {
            faults,
            server: None,
            wires: BTreeMap::new(),
            counter: 0,
            requests: BTreeMap::new(),
            published: BTreeSet::new(),
        };
        Arc::new(Self {
            process,
            ledger,
            state: Mutex::new(state),
            tampering: Mutex::new(Tampering::new(planted)),
            planted,
        })
    }

    /// Sets the server that takes new connections. `None` refuses them.
    pub(crate) fn serve_by(&self, server: Option<(Server, Process)>) {
        self.state.lock().server = server;
    }

    /// Replaces the faults from now on, also those of open connections.
    pub(crate) fn set_faults(&self, faults: FaultProfile) {
        self.state.lock().faults = faults.clone();
        for (_, wire) in self.wires(None) {
            wire.set_faults(&faults);
        }
    }

    /// Breaks every connection, or those of one client. Some ends do not notice it.
    pub(crate) fn cut(&self, client: Option<usize>) {
        for (id, wire) in self.wires(client) {
            self.process.machine().note(format_args!("wire {id} is cut"));
            wire.cut();
        }
    }

    /// Stops all connections from delivering anything, without an end.
    pub(crate) fn fall_silent(&self) {
        for (_, wire) in self.wires(None) {
            wire.silence(Side::Client);
            wire.silence(Side::Server);
        }
    }

    /// Returns the number of connections that an end still holds.
    pub(crate) fn len(&self) -> usize {
        self.wires(None).len()
    }

    fn wires(&self, client: Option<usize>) -> Vec<(u64, Arc<Wire>)> {
        let mut state = self.state.lock();
        state.wires.retain(|_, (_, wire)| wire.strong_count() > 0);
        let of_client = state.wires.iter().filter(|(_, (of, _))| client.is_none_or(|client| client == *of));
        of_client.filter_map(|(&id, (_, wire))| Some((id, wire.upgrade()?))).collect()
    }

    fn dial(self: &Arc<Self>, client: usize) -> Result<Connection, ConnectError> {
        let refused = || ConnectError::unreachable("connection refused");
        let (id, faults, server) = {
            let mut state = self.state.lock();
            state.counter += 1;
            (state.counter, state.faults.clone(), state.server.clone())
        };
        let (server, runs_on) = server.ok_or_else(refused)?;
        let fated = self.state.lock().faults.take_first();
        let over_http = fated.is_none()
            && self.planted.is_none()
            && self.process.machine().draw(|random| random.chance(350));
        let name = if over_http { poll::NAME } else { "simulated" };
        self.process.machine().note(format_args!("client {client} opens wire {id}, {name}"));
        self.ledger.opened(id, client, over_http);
        let info = self.info(client, name);
        if over_http {
            return Ok(Connection::new(poll::End::new(self.clone(), id, client, None), info));
        }
        let wire = Wire::new(id, self.clone(), &faults);
        if let Some((way, only_fault)) = fated {
            wire.set_fault(if way == Direction::Up { Side::Client } else { Side::Server }, only_fault);
        }
        self.state.lock().wires.insert(id, (client, Arc::downgrade(&wire)));
        self.tampering.lock().opened(id, client);
        let (ours, theirs) = end::pair(wire);
        runs_on.spawn(Box::pin(server.serve(Connection::new(theirs, info.clone()))));
        Ok(Connection::new(ours, info))
    }
}

impl Network {
    /// Opens a connection for a published client, whose URL has this query. Returns `None` if it is refused.
    pub(crate) async fn open_published(
        self: &Arc<Self>,
        client: usize,
        query: String,
        proof: Option<Proof>,
        route: Route,
    ) -> Option<Connection> {
        let (id, faults, (server, runs_on)) = self.reach().await?;
        self.process.machine().note(format_args!("published client {client} opens wire {id}: {route:?}"));
        self.ledger.opened(id, client, route == Route::Polls);
        self.ledger.presented_in_url(id, &query, proof);
        self.state.lock().published.insert(client);
        if route == Route::Polls {
            let info = self.info(client, poll::NAME);
            return Some(Connection::new(poll::End::new(self.clone(), id, client, Some(query)), info));
        }
        let mut info = self.info(client, "simulated");
        info.query = Some(query);
        let wire = Wire::new(id, self.clone(), &faults);
        self.state.lock().wires.insert(id, (client, Arc::downgrade(&wire)));
        let (ours, theirs) = end::pair(wire);
        runs_on.spawn(Box::pin(server.serve(Connection::new(theirs, info.clone()))));
        Some(Connection::new(ours, info))
    }

    /// Opens a connection on which the caller speaks the native dialect itself. Returns `None` if it is refused.
    ///
    /// It has no faults. It carries at most `window` messages that the client has not read.
    pub(crate) async fn open_native(
        self: &Arc<Self>,
        client: usize,
        window: Option<usize>,
    ) -> Option<Connection> {
        let (id, _, (server, runs_on)) = self.reach().await?;
        self.process.machine().note(format_args!("client {client} opens wire {id} by itself"));
        self.ledger.opened(id, client, false);
        let info = self.info(client, "simulated");
        let wire = Wire::new(id, self.clone(), &FaultProfile::NONE);
        wire.set_fault(Side::Client, ConnectionFault::None);
        window.into_iter().for_each(|window| wire.set_window(window));
        self.state.lock().wires.insert(id, (client, Arc::downgrade(&wire)));
        let (ours, theirs) = end::pair(wire);
        runs_on.spawn(Box::pin(server.serve(Connection::new(theirs, info.clone()))));
        Some(Connection::new(ours, info))
    }

    /// Returns what the server is told of a connection.
    fn info(&self, client: usize, transport: &'static str) -> ConnectionInfo {
        let mut info = ConnectionInfo::new(transport);
        info.peer = Some(self.peer(client));
        info
    }

    /// Returns the address that the server sees of a client.
    fn peer(&self, client: usize) -> SocketAddr {
        let address = match self.planted {
            Some(Planted::AddressesHidden) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(Planted::AddressesMerged) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            _ => self.ledger.place(client).address,
        };
        SocketAddr::new(address, PORT)
    }

    /// Waits for the delay of an attempt to connect. Returns `None` if the attempt is refused or never completes.
    async fn reach(&self) -> Option<(u64, FaultProfile, (Server, Process))> {
        let faults = self.state.lock().faults.clone();
        let (delay, dial) = self.process.machine().draw(|random| (faults.delay(random), faults.dial(random)));
        self.process.sleep(delay).await;
        if dial != DialOutcome::Opens {
            return None;
        }
        let mut state = self.state.lock();
        state.counter += 1;
        Some((state.counter, faults, state.server.clone()?))
    }

    /// Forgets the requests of a client whose session is a fresh one.
    fn forget_requests(&self, wire: u64, envelope: &Envelope<'_>) {
        if envelope.t != handshake::ACK_TYPE {
            return;
        }
        let is_fresh = envelope.body::<Value>().is_ok_and(|body| body.pointer("/session/fresh").is_some());
        let mut state = self.state.lock();
        let client = state.wires.get(&wire).map(|(client, _)| *client);
        if let Some(client) = client.filter(|_| is_fresh) {
            state.requests.remove(&client);
        }
    }

    /// Remembers a request. Returns an earlier one if the network repeats one now.
    fn repeated_request(&self, wire: u64, number: u64, message: &Message) -> Option<Message> {
        let mut state = self.state.lock();
        let repeats = self.process.machine().draw(|random| state.faults.repeats(random));
        let client = state.wires.get(&wire)?.0;
        if state.published.contains(&client) {
            return None;
        }
        let requests = state.requests.entry(client).or_default();
        if requests.back().is_none_or(|(last, _)| *last < number) {
            requests.push_back((number, message.clone()));
        }
        if requests.len() > REMEMBERED {
            requests.pop_front();
        }
        let known: Vec<_> = requests.iter().filter(|(of, _)| *of < number).collect();
        if !repeats || known.is_empty() {
            return None;
        }
        let index = self.process.machine().draw(|random| random.below(known.len()));
        Some(known[index].1.clone())
    }
}

/// The transport of one client.
#[derive(Debug)]
pub(crate) struct SimulatedTransport {
    network: Arc<Network>,
    client: usize,
    /// Planted: the previous connection, which should have been closed.
    older: Mutex<Option<Connection>>,
}

impl SimulatedTransport {
    pub(crate) fn new(network: Arc<Network>, client: usize) -> Self {
        Self { network, client, older: Mutex::default() }
    }
}

#[async_trait]
impl Transport for SimulatedTransport {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let process = &self.network.process;
        let faults = self.network.state.lock().faults.clone();
        let (delay, dial) = process.machine().draw(|random| (faults.delay(random), faults.dial(random)));
        process.sleep(delay).await;
        match dial {
            DialOutcome::Opens => {}
            DialOutcome::Refused => return Err(ConnectError::unreachable("connection refused")),
            DialOutcome::Hangs => std::future::pending().await,
        }
        if self.network.planted == Some(Planted::TwoConnections) {
            let first = self.network.dial(self.client)?;
            *self.older.lock() = Some(first);
        }
        self.network.dial(self.client)
    }

    fn is_exposed(&self) -> bool {
        false
    }
}
