//! Calls and their results; edits and how often they run.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chatcamp_client::RequestError;

use super::{Book, Invariant, Ledger};

/// Tolerance for delayed polls.
const SLACK: Duration = Duration::from_secs(2);

/// The kind of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `connect` with a policy that fails fast.
    Connect,
    /// `connect` with a policy that keeps trying.
    PatientConnect,
    /// A request.
    Request,
    /// `disconnect`.
    Disconnect,
}

impl Kind {
    /// Returns the time within which the call must be answered.
    fn limit(self) -> Option<Duration> {
        match self {
            // Twice the time limit of one attempt (20 s): a refused credential is replaced once.
            Self::Connect => Some(Duration::from_secs(40)),
            Self::PatientConnect => None,
            Self::Request => Some(Duration::from_secs(30)),
            Self::Disconnect => Some(chatcamp_protocol::limits::CLOSING),
        }
    }
}

/// A pending call.
#[derive(Debug)]
#[must_use]
pub(crate) struct Promise(u64);

#[derive(Debug, Default)]
pub(super) struct Promises {
    counter: u64,
    outstanding: BTreeMap<u64, Outstanding>,
    /// Edits by the name they write: how often they ran, and the result that the caller got.
    edits: BTreeMap<String, Edit>,
}

#[derive(Debug)]
struct Outstanding {
    client: usize,
    kind: Kind,
    since: Instant,
}

#[derive(Debug, Default)]
struct Edit {
    carried_out: usize,
    told: Option<Told>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    NotDone,
    MayBeDone,
}

impl Ledger {
    pub(crate) fn promise(&self, client: usize, kind: Kind) -> Promise {
        let since = self.machine.now();
        let promises = &mut self.book.lock().promises;
        promises.counter += 1;
        promises.outstanding.insert(promises.counter, Outstanding { client, kind, since });
        Promise(promises.counter)
    }

    /// Records that a call was answered, or that its caller stopped waiting.
    pub(crate) fn kept(&self, promise: Promise) {
        self.book.lock().promises.outstanding.remove(&promise.0);
    }

    /// Records that the store applies an edit.
    pub(crate) fn carried_out(&self, edit: &str) {
        self.machine.note(format_args!("edit {edit} is carried out"));
        let mut book = self.book.lock();
        book.promises.edits.entry(edit.to_owned()).or_default().carried_out += 1;
        book.check_edit(edit);
    }

    /// Records the result of an edit.
    pub(crate) fn told(&self, edit: &str, answer: Result<(), &RequestError>) {
        let told = match answer {
            Ok(()) => Told::Done,
            Err(
                RequestError::Unanswered { may_have_run: true }
                | RequestError::TimedOut { may_have_run: true },
            ) => Told::MayBeDone,
            // The store failed, but may have applied the edit.
            Err(RequestError::Rejected { .. }) => Told::MayBeDone,
            Err(_) => Told::NotDone,
        };
        let mut book = self.book.lock();
        book.promises.edits.entry(edit.to_owned()).or_default().told = Some(told);
        book.check_edit(edit);
    }

    /// Checks that no call is pending.
    pub(crate) fn check_all_kept(&self) {
        let mut book = self.book.lock();
        let left = book.promises.outstanding.values().next();
        if let Some(what) = left.map(|left| format!("{:?} of client {}", left.kind, left.client)) {
            book.violate(Invariant::PromisesKept, format_args!("{what} has no answer"));
        }
    }
}

impl Book {
    pub(super) fn check_promises(&mut self, now: Instant) {
        let is_late =
            |open: &&Outstanding| open.kind.limit().is_some_and(|limit| open.since + limit + SLACK < now);
        let late = self.promises.outstanding.values().find(is_late);
        if let Some(what) = late.map(|open| format!("{:?} of client {}", open.kind, open.client)) {
            self.violate(Invariant::PromisesKept, format_args!("{what} has no answer in time"));
        }
    }

    fn check_edit(&mut self, edit: &str) {
        let Some(Edit { carried_out, told }) = self.promises.edits.get(edit) else { return };
        let allowed = match told {
            None => 0..=1,
            Some(Told::Done) => 1..=1,
            Some(Told::NotDone) => 0..=0,
            Some(Told::MayBeDone) => 0..=1,
        };
        if !allowed.contains(carried_out) {
            let (carried_out, told) = (*carried_out, *told);
            self.violate(
                Invariant::ExactlyOnce,
                format_args!("edit {edit} was carried out {carried_out} times, its caller was told {told:?}"),
            );
        }
    }
}
