//! What must always hold. The seams report what they see; the ledger keeps accounts and names the first thing that does
//! not add up.
//!
//! | file | keeps accounts of |
//! |---|---|
//! | `wires` | connections: who is on them, what was said, what came of an end |
//! | `applications` | what applications are told: events, continuity, ends |
//! | `accounts` | credentials: until when each is good, who is shut out |
//! | `sessions` | session keys, session limits, evictions |
//! | `promises` | calls and what they resolve to, edits and how often they are carried out |

mod accounts;
mod applications;
mod promises;
mod sessions;
mod wires;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use self::{accounts::Users, applications::Client, promises::Promises, sessions::Sessions, wires::Wire};
use crate::machine::Machine;

pub(crate) use self::{
    accounts::Proof,
    applications::{ClientKind, event_data},
    promises::Kind,
    sessions::{Bounds, StolenKey},
};

/// What must always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Invariant {
    /// No event is delivered twice, or before an earlier one.
    OnceInOrder,
    /// An event is for the user it was published to.
    OwnEvents,
    /// No event is missing while the application is told that its session goes on.
    NothingLost,
    /// A session begins anew only when it had to.
    FreshExplained,
    /// Who was shut out hears nothing more, and has no session.
    ShutOut,
    /// A client has one connection at most.
    OneConnection,
    /// A provider is asked one question at a time.
    OneQuestion,
    /// Every end is followed by what its code advises, and by nothing else.
    EndsActedOn,
    /// Every call is answered, in its time.
    PromisesKept,
    /// A request is carried out once if it was answered, at most once if not.
    ExactlyOnce,
    /// Peers that keep to the protocol are not accused of breaking it.
    NobodyAccused,
    /// In calm weather everybody who may be is connected, and every request is answered.
    CalmRecovers,
    /// At rest, nothing is left: no task, no session, no connection.
    NothingLeft,
    /// A user has no more live sessions than its app allows, and the server no more detached ones than it may keep.
    LimitsKept,
    /// A session is evicted for room only when there was none.
    EvictedForRoom,
    /// A session goes on only for its own user, and not by a key that was replaced.
    KeysRefused,
    /// The server ends a session for its credential only once the credential has ended; a refused refresh changes nothing.
    EndsJustified,
    /// A client is shown exactly the token that it presented.
    OwnToken,
    /// No task panics, or goes round and round without waiting.
    NoPanic,
    /// It comes to an end.
    Ends,
}

/// What did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// The accounts of one simulation.
#[derive(Debug)]
pub(crate) struct Ledger {
    machine: Arc<Machine>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    users: Users,
    clients: Vec<Client>,
    wires: BTreeMap<u64, Wire>,
    promises: Promises,
    sessions: Sessions,
    /// When the store answered again after its latest outage; none during one.
    store_since: Option<Instant>,
    /// It has been calm for so long that everything works.
    is_settled: bool,
    broken: Option<Violation>,
}

impl Ledger {
    pub(crate) fn new(machine: Arc<Machine>) -> Arc<Self> {
        let book = Book { store_since: Some(machine.now()), ..Book::default() };
        Arc::new(Self { machine, book: Mutex::new(book) })
    }

    /// The first thing that did not hold.
    pub(crate) fn broken(&self) -> Option<Violation> {
        self.book.lock().broken.clone()
    }

    pub(crate) fn violate(&self, invariant: Invariant, what: fmt::Arguments<'_>) {
        self.machine.note(format_args!("VIOLATED {invariant:?}: {what}"));
        self.book.lock().violate(invariant, what);
    }

    pub(crate) fn set_settled(&self) {
        self.book.lock().is_settled = true;
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.book.lock().is_settled
    }

    pub(crate) fn store_is_up(&self, up: bool) {
        self.book.lock().store_since = up.then(|| self.machine.now());
    }

    /// Looks at what is due by now.
    pub(crate) fn tick(&self) {
        let now = self.machine.now();
        let mut book = self.book.lock();
        book.check_owed(now);
        book.check_promises(now);
    }

    fn client(&self, client: usize) -> MappedMutexGuard<'_, Client> {
        MutexGuard::map(self.book.lock(), |book| &mut book.clients[client])
    }
}

impl Book {
    fn violate(&mut self, invariant: Invariant, what: fmt::Arguments<'_>) {
        self.broken.get_or_insert_with(|| Violation { invariant, what: what.to_string() });
    }
}
