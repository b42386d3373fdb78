//! Calls and their results; edits and how often they run.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chatcamp_client::RequestError;

use super::{Invariant, Ledger, Records};

/// Tolerance for delayed polls.
const SLACK: Duration = Duration::from_secs(2);

/// The kind of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// `connect` with a policy that fails fast.
    Connect,
    /// `connect` with a policy that keeps trying.
    PatientConnect,
    /// A request.
    Request,
    /// `disconnect`.
    Disconnect,
}

impl CallKind {
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
pub(crate) struct PendingCall(u64);

#[derive(Debug, Default)]
pub(super) struct Calls {
    counter: u64,
    outstanding: BTreeMap<u64, Outstanding>,
    /// Edits by the name they write: how often they ran, and the result that the caller got.
    edits: BTreeMap<String, Edit>,
}

#[derive(Debug)]
struct Outstanding {
    client: usize,
    kind: CallKind,
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
    pub(crate) fn call_started(&self, client: usize, kind: CallKind) -> PendingCall {
        let since = self.machine.now();
        let calls = &mut self.records.lock().calls;
        calls.counter += 1;
        calls.outstanding.insert(calls.counter, Outstanding { client, kind, since });
        PendingCall(calls.counter)
    }

    /// Records that a call was answered, or that its caller stopped waiting.
    pub(crate) fn call_finished(&self, call: PendingCall) {
        self.records.lock().calls.outstanding.remove(&call.0);
    }

    /// Records that the store applies an edit.
    pub(crate) fn carried_out(&self, edit: &str) {
        self.machine.note(format_args!("edit {edit} runs"));
        let mut records = self.records.lock();
        records.calls.edits.entry(edit.to_owned()).or_default().carried_out += 1;
        records.check_edit(edit);
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
        let mut records = self.records.lock();
        records.calls.edits.entry(edit.to_owned()).or_default().told = Some(told);
        records.check_edit(edit);
    }

    /// Checks that no call is pending.
    pub(crate) fn check_all_answered(&self) {
        let mut records = self.records.lock();
        let left = records.calls.outstanding.values().next();
        if let Some(what) = left.map(|left| format!("{:?} of client {}", left.kind, left.client)) {
            records.violate(Invariant::CallsAnswered, format_args!("{what} was not answered"));
        }
    }
}

impl Records {
    pub(super) fn check_calls(&mut self, now: Instant) {
        let is_late =
            |open: &&Outstanding| open.kind.limit().is_some_and(|limit| open.since + limit + SLACK < now);
        let late = self.calls.outstanding.values().find(is_late);
        if let Some(what) = late.map(|open| format!("{:?} of client {}", open.kind, open.client)) {
            self.violate(Invariant::CallsAnswered, format_args!("{what} was not answered in time"));
        }
    }

    fn check_edit(&mut self, edit: &str) {
        let Some(Edit { carried_out, told }) = self.calls.edits.get(edit) else { return };
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
                format_args!("edit {edit} ran {carried_out} times; its caller was told {told:?}"),
            );
        }
    }
}
