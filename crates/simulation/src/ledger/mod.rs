//! The invariants. The network, the store and the clients report what they observe; the ledger records it and reports
//! the first violation.
//!
//! | file | records |
//! |---|---|
//! | `wires` | connections: credentials presented, messages, ends |
//! | `applications` | what applications observe: events, continuity, ends |
//! | `accounts` | credentials: when each ends, which users are suspended |
//! | `sessions` | session keys, session limits, evictions |
//! | `shares` | what sessions may hold, and whose sessions may lose it |
//! | `calls` | calls and their results, edits and how often they run |

mod accounts;
mod applications;
mod calls;
mod sessions;
mod shares;
mod wires;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use self::{
    accounts::Users, applications::Client, calls::Calls, sessions::Sessions, shares::Shares, wires::Wire,
};
use crate::machine::Machine;

pub(crate) use self::{
    accounts::Proof,
    applications::{ClientKind, event_data},
    calls::CallKind,
    sessions::{Bounds, StolenKey},
    shares::Place,
};

/// A rule that holds in every schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Invariant {
    /// A client receives each event at most once and in order.
    OnceInOrder,
    /// A client receives only events of its own user.
    OwnEvents,
    /// A client misses no event while its session continues.
    NothingLost,
    /// A session is replaced by a fresh one only for a reason.
    FreshExplained,
    /// A user without a valid credential has no session and receives nothing.
    AccessRevoked,
    /// A client has at most one connection.
    OneConnection,
    /// A credential provider is asked one question at a time.
    OneQuestion,
    /// A client does what the code of an end advises, and nothing else.
    AdviceFollowed,
    /// Every call is answered in time.
    CallsAnswered,
    /// A request that was answered ran once; any other request ran at most once.
    ExactlyOnce,
    /// No peer reports a protocol violation.
    NoFalseViolations,
    /// Without faults, all users who may connect are connected and every request is answered.
    Recovers,
    /// At rest no task, session or connection is left.
    NoLeaks,
    /// A user has at most as many live sessions as its app allows, and the server at most as many detached ones, and bytes in all
    /// queues, as its limits.
    LimitsKept,
    /// A session loses its queue or its place for want of memory only if its user, address or app holds more than its share.
    SharesKept,
    /// A session is evicted only if a limit was reached.
    EvictedForRoom,
    /// A session is resumed only by its own user, and not with a replaced key.
    KeysRefused,
    /// A session is ended because of its credential only after the credential ended; a refused refresh changes nothing.
    EndsJustified,
    /// A client is shown exactly the token it presented.
    OwnToken,
    /// No task panics or loops without waiting.
    NoPanic,
    /// The simulation terminates.
    Terminates,
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub invariant: Invariant,
    /// What was observed.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// The records of one simulation.
#[derive(Debug)]
pub(crate) struct Ledger {
    machine: Arc<Machine>,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    users: Users,
    clients: Vec<Client>,
    wires: BTreeMap<u64, Wire>,
    calls: Calls,
    sessions: Sessions,
    shares: Shares,
    /// When the store recovered from its latest outage. `None` during an outage.
    store_since: Option<Instant>,
    /// Whether faults stopped so long ago that everything works.
    is_settled: bool,
    broken: Option<Violation>,
}

impl Ledger {
    pub(crate) fn new(machine: Arc<Machine>) -> Arc<Self> {
        let records = Records { store_since: Some(machine.now()), ..Records::default() };
        Arc::new(Self { machine, records: Mutex::new(records) })
    }

    /// Returns the first violation.
    pub(crate) fn broken(&self) -> Option<Violation> {
        self.records.lock().broken.clone()
    }

    pub(crate) fn violate(&self, invariant: Invariant, what: fmt::Arguments<'_>) {
        self.machine.note(format_args!("VIOLATED {invariant:?}: {what}"));
        self.records.lock().violate(invariant, what);
    }

    pub(crate) fn set_settled(&self) {
        self.records.lock().is_settled = true;
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.records.lock().is_settled
    }

    pub(crate) fn store_is_up(&self, up: bool) {
        self.records.lock().store_since = up.then(|| self.machine.now());
    }

    /// Checks all deadlines.
    pub(crate) fn tick(&self) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        records.check_reactions(now);
        records.check_calls(now);
        records.note_excess();
    }

    fn client(&self, client: usize) -> MappedMutexGuard<'_, Client> {
        MutexGuard::map(self.records.lock(), |records| &mut records.clients[client])
    }
}

impl Records {
    fn violate(&mut self, invariant: Invariant, what: fmt::Arguments<'_>) {
        self.broken.get_or_insert_with(|| Violation { invariant, what: what.to_string() });
    }
}
