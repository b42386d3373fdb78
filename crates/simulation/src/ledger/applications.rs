//! The observations of applications.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use chatcamp_client::{ConnectError, Continuity, EndReason, FreshReason, Interruption};
use chatcamp_protocol::{Advice, Envelope, event::AppEvent, limits};
use serde_json::Value;

use super::{
    Invariant, Ledger, Proof, Records,
    sessions::{SessionNumber, session_of},
    shares::{Holding, Place},
    wires::PendingReaction,
};
use crate::keys::claims_of;

/// A number of events that never fills the queue of a session.
const PLENTY: usize = 600;
/// How long, at least, a native session is kept after the server last heard its client.
const KEPT_NATIVE: Duration = limits::KEPT_NATIVE.saturating_sub(Duration::from_secs(3));
/// The same for a published session.
const KEPT_PUBLISHED: Duration = limits::KEPT_PUBLISHED.saturating_sub(Duration::from_secs(3));
/// The maximum delay between an event of the client and its report to the application.
pub(super) const LAG: Duration = Duration::from_secs(1);
/// The number of credentials remembered per client: the newest, and those for which valid keys of the session may have been issued.
const CREDENTIALS: usize = 4;
/// How recent a change must be to explain a refused credential.
const RECENT: Duration = Duration::from_secs(60);

/// The kind of a client, and its dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// The real client, in the native dialect.
    Native,
    /// A client in the published dialect.
    Published,
    /// Presents keys to which it has no right, in the native dialect.
    Intruder,
    /// Makes the server hold messages, in the native dialect.
    Holder,
}

/// One client and its application.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) user: String,
    pub(super) kind: ClientKind,
    /// Published: its latest session.
    session: Option<SessionNumber>,
    /// Events for this client that the server has handed to the network.
    pub(super) handed: BTreeSet<usize>,
    has_provider: bool,
    /// Connections whose client end is open.
    pub(super) open: Vec<u64>,
    /// Its two latest connections and when they were opened, the newest last.
    pub(super) wires: [(u64, Instant); 2],
    pub(super) server_received: Instant,
    /// When the server last read a request of its session. Handshakes do not count, nor do POSTs, which may never be read.
    pub(super) request_heard: Instant,
    pub(super) pending_reaction: Option<PendingReaction>,
    pub(super) is_gone: bool,
    questions: usize,
    /// The highest number of the events received.
    highest: usize,
    /// The session that the application believes to continue.
    run: Option<Run>,
    /// When the server last accepted it.
    pub(super) accepted: Instant,
    /// The latest credentials of its session, and since when.
    ///
    /// A session key ends with the token for which it was given, even if the session was refreshed.
    credentials: VecDeque<(Proof, Instant)>,
    /// When something last happened that allows its session to end.
    excused: Option<Instant>,
    /// The memory that its sessions may hold.
    pub(super) holding: Holding,
    /// Whether more was published than a session keeps. A published session to which a poll returns messages then loses the oldest.
    flooded: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    since: Instant,
    /// When the server began the session.
    accepted: Instant,
    last: Option<usize>,
    lagged: bool,
}

impl Client {
    /// Returns how long its session is kept without a connection.
    pub(super) fn kept(&self) -> Duration {
        match self.kind {
            ClientKind::Native | ClientKind::Intruder | ClientKind::Holder => KEPT_NATIVE,
            ClientKind::Published => KEPT_PUBLISHED,
        }
    }

    /// Allows its session to end.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.excused = Some(now);
    }

    /// Returns whether something happened since this session began that allows it to end.
    pub(super) fn is_excused(&self, run: &Run) -> bool {
        self.excused.is_some_and(|at| at + LAG >= run.accepted)
    }

    /// Records the credential that the server uses from now on.
    pub(super) fn authenticated_with(&mut self, proof: Proof, now: Instant) {
        if self.credentials.len() == CREDENTIALS {
            self.credentials.pop_front();
        }
        self.credentials.push_back((proof, now));
    }
}

impl Ledger {
    /// Adds a client and returns its number.
    pub(crate) fn add_client(&self, user: &str, has_provider: bool, kind: ClientKind, place: Place) -> usize {
        let mut records = self.records.lock();
        records.users.user(user);
        records.clients.push(Client {
            user: user.to_owned(),
            kind,
            session: None,
            handed: BTreeSet::new(),
            has_provider,
            open: Vec::new(),
            wires: [(0, self.machine.now()); 2],
            server_received: self.machine.now(),
            request_heard: self.machine.now(),
            pending_reaction: None,
            is_gone: false,
            questions: 0,
            highest: 0,
            run: None,
            accepted: self.machine.now(),
            credentials: VecDeque::new(),
            excused: None,
            holding: Holding::new(place),
            flooded: false,
        });
        records.clients.len() - 1
    }

    /// Records that the application dropped the client.
    pub(crate) fn gone(&self, client: usize) {
        let mut client = self.client(client);
        (client.is_gone, client.run, client.pending_reaction) = (true, None, None);
    }

    /// Allows the sessions of a user, or all sessions, to end.
    pub(crate) fn excuse(&self, user: Option<&str>, why: &str) {
        let now = self.machine.now();
        self.machine.note(format_args!("{why}: sessions of {} may be replaced", user.unwrap_or("all users")));
        let mut records = self.records.lock();
        let concerned = |client: &&mut Client| user.is_none_or(|user| user == client.user);
        records.clients.iter_mut().filter(concerned).for_each(|client| client.excuse(now));
        if user.is_none() {
            records.clients.iter_mut().for_each(|client| client.holding.server_gone());
        }
    }

    /// Returns the number of the next event of a user, which has this many bytes of data.
    pub(crate) fn publish(&self, user: &str, bytes: usize) -> usize {
        let now = self.machine.now();
        let mut records = self.records.lock();
        records.hold_event(user, bytes);
        let user = records.users.user(user);
        user.published.push(now);
        user.sizes.push(bytes);
        user.published.len()
    }

    /// Records that a call of a credential provider begins or ends.
    pub(crate) fn question(&self, client: usize, begins: bool) {
        let mut records = self.records.lock();
        let of = &mut records.clients[client];
        if begins {
            of.questions += 1
        } else {
            of.questions -= 1
        }
        let questions = of.questions;
        // Asking for another credential is the reaction to a refused one.
        of.pending_reaction = of
            .pending_reaction
            .take()
            .filter(|pending_reaction| pending_reaction.announced.advice != Advice::Credential);
        if questions > 1 {
            records.violate(
                Invariant::OneQuestion,
                format_args!("the provider of client {client} has {questions} calls at once"),
            );
        }
    }

    pub(crate) fn connected(&self, client: usize, continuity: &Continuity) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let of = &mut records.clients[client];
        match continuity {
            Continuity::Resumed { .. } => {
                if of.run.is_none() {
                    records.violate(
                        Invariant::FreshExplained,
                        format_args!("client {client} resumed a session that it never had"),
                    );
                }
            }
            Continuity::Fresh(why) => {
                let (user, heard) = (of.user.clone(), of.request_heard);
                if *why == FreshReason::Evicted && !records.may_be_evicted(&user, heard) {
                    records.violate(
                        Invariant::EvictedForRoom,
                        format_args!(
                            "client {client} is told that its session was evicted while there was room"
                        ),
                    );
                }
                let of = &mut records.clients[client];
                let run = Run { since: now, accepted: of.accepted, last: None, lagged: false };
                let before = of.run.replace(run);
                if before.is_some_and(|before| !of.is_excused(&before)) {
                    records.check_fresh(client, *why, now);
                }
            }
        }
    }

    /// Records that a published client was accepted. Its session key tells whether the session continues.
    pub(crate) fn published_connected(&self, client: usize, key: &str) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let of = &mut records.clients[client];
        let session = claims_of(key).map(|claims| session_of(&claims));
        if session.is_some() && std::mem::replace(&mut of.session, session) == session && of.run.is_some() {
            return;
        }
        let run = Run { since: now, accepted: of.accepted, last: None, lagged: false };
        let before = of.run.replace(run);
        records.check_published_fresh(client, before, FreshReason::TooLate, now);
    }

    /// Records that the session key of a published client was refused.
    pub(crate) fn published_key_refused(&self, client: usize) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let of = &mut records.clients[client];
        of.session = None;
        let before = of.run.take();
        records.check_published_fresh(client, before, FreshReason::UnknownKey, now);
    }

    /// Records that a published client gives its session up.
    pub(crate) fn published_left(&self, client: usize) {
        let mut client = self.client(client);
        (client.session, client.run) = (None, None);
    }

    /// Records that the application was told of the end of its session.
    pub(crate) fn disconnected(&self, client: usize, reason: &EndReason) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let was_said = |code: &str| records.recent_ends(client, now).any(|announced| announced.code == code);
        let is_told = matches!(reason, EndReason::Refused(refusal) if was_said(&refusal.code));
        let of = &mut records.clients[client];
        of.run = None;
        let pending_reaction = of.pending_reaction.take();
        match reason {
            EndReason::Refused(refusal) => {
                if !is_told {
                    records.violate(
                        Invariant::AdviceFollowed,
                        format_args!(
                            "client {client} gave up because of {}, which the server did not send",
                            refusal.code
                        ),
                    );
                } else if refusal.advice == Advice::Credential {
                    records.check_refused(client, &refusal.code, now);
                }
            }
            EndReason::Failed(ConnectError::NotNow { .. }) => {}
            EndReason::Failed(_) => records.clients[client].pending_reaction = pending_reaction,
            _ => {}
        }
    }

    pub(crate) fn reconnecting(&self, client: usize, why: &Interruption) {
        let mut records = self.records.lock();
        let of = &mut records.clients[client];
        let acted = |pending_reaction: &PendingReaction| match why {
            Interruption::Server(refusal) | Interruption::Attempt(ConnectError::NotNow { refusal, .. }) => {
                refusal.code == pending_reaction.announced.code
                    && (refusal.advice == Advice::Retry
                        || (refusal.advice == Advice::Credential && of.has_provider))
            }
            Interruption::CredentialReplaced => true,
            _ => false,
        };
        if of.pending_reaction.as_ref().is_some_and(acted) {
            of.pending_reaction = None;
        }
        if let Interruption::Violation | Interruption::Attempt(ConnectError::Violation { .. }) = why {
            records.violate(
                Invariant::NoFalseViolations,
                format_args!("client {client} reports a protocol violation"),
            );
        }
    }

    pub(crate) fn lagged(&self, client: usize) {
        if let Some(run) = &mut self.client(client).run {
            run.lagged = true;
        }
    }

    /// Records that the application received an event.
    pub(crate) fn event(&self, client: usize, user: &str, n: usize) {
        let mut records = self.records.lock();
        let Records { clients, users, .. } = &mut *records;
        let of = &mut clients[client];
        let published = &users.user(&of.user).published;
        if of.user != user {
            records
                .violate(Invariant::OwnEvents, format_args!("client {client} received event {n} of {user}"));
            return;
        }
        if n <= of.highest {
            let highest = of.highest;
            records.violate(
                Invariant::OnceInOrder,
                format_args!("client {client} received event {n} after event {highest}"),
            );
            return;
        }
        of.highest = n;
        let Some(run) = &mut of.run else { return };
        let first =
            run.last.map_or_else(|| published.partition_point(|&at| at < run.since) + 1, |last| last + 1);
        run.last = Some(n);
        // The published dialect numbers nothing, so messages may be lost on the network.
        let may_be_lost =
            of.kind == ClientKind::Published && (first..n).all(|missing| of.handed.contains(&missing));
        let is_lost = first < n && !may_be_lost && !std::mem::take(&mut run.lagged);
        let has_overflowed = is_lost && of.kind == ClientKind::Published && std::mem::take(&mut of.flooded);
        if is_lost && !has_overflowed {
            records.violate(
                Invariant::NothingLost,
                format_args!("client {client} received event {n} and missed those from {first}"),
            );
        }
    }

    /// Notes that more is published to a user than a session keeps.
    pub(crate) fn flooded(&self, user: &str) {
        let mut records = self.records.lock();
        records
            .clients
            .iter_mut()
            .filter(|client| client.user == user)
            .for_each(|client| client.flooded = true);
    }

    /// Returns whether the backend recently changed the credentials of this user.
    pub(crate) fn has_changed_lately(&self, user: &str) -> bool {
        let changed = self.records.lock().users.user(user).changed;
        changed.is_some_and(|at| at + RECENT > self.machine.now())
    }

    /// Checks that these clients have received everything that was published.
    pub(crate) fn check_arrived(&self, connected: &[usize]) {
        let mut records = self.records.lock();
        let missing = records.clients.iter().enumerate().find_map(|(id, client)| {
            let last = records.users.by_id.get(&client.user)?.published.len();
            (connected.contains(&id) && client.highest < last).then_some((id, client.highest, last))
        });
        if let Some((client, highest, last)) = missing {
            records.violate(
                Invariant::NothingLost,
                format_args!("client {client} received events up to {highest} and missed those up to {last}"),
            );
        }
    }
}

impl Records {
    /// Begins the session that the application believes to continue, unless it goes on; returns the one before.
    pub(super) fn begin_run(&mut self, client: usize, now: Instant, goes_on: bool) -> Option<Run> {
        let of = &mut self.clients[client];
        if goes_on && of.run.is_some() {
            return of.run;
        }
        of.run.replace(Run { since: now, accepted: of.accepted, last: None, lagged: false })
    }

    /// Checks whether a session that was not resumed had a reason to end.
    fn check_fresh(&mut self, client: usize, why: FreshReason, now: Instant) {
        let of = &self.clients[client];
        let away = now - of.server_received;
        let published = self.users.by_id.get(&of.user).map_or(0, |user| {
            let before = of.server_received.checked_sub(limits::SILENCE).unwrap_or(of.server_received);
            user.published.iter().rev().take_while(|&&at| at >= before).count()
        });
        let has_ended = of
            .credentials
            .iter()
            .any(|(proof, at)| self.users.void_since(&of.user, proof, *at).is_some_and(|void| void <= now));
        if has_ended {
            return;
        }
        let user = of.user.clone();
        let (kept, may_be_evicted) = (of.kept(), self.may_be_evicted(&user, of.request_heard));
        self.note_excess();
        let is_excused = published >= PLENTY
            || self.clients[client].holding.has_exceeded()
            || why == FreshReason::Evicted
            // Published clients do not learn the reason.
            || (may_be_evicted && self.clients[client].kind == ClientKind::Published);
        if away < kept && !is_excused {
            self.violate(
                Invariant::FreshExplained,
                format_args!(
                    "client {client} got a fresh session ({why:?}) {away:?} after it was last heard"
                ),
            );
        }
    }

    fn check_published_fresh(&mut self, client: usize, before: Option<Run>, why: FreshReason, now: Instant) {
        if before.is_some_and(|before| !self.clients[client].is_excused(&before)) {
            self.check_fresh(client, why, now);
        }
    }

    /// Checks that a provider's credential was refused only after a recent change.
    fn check_refused(&mut self, client: usize, code: &str, now: Instant) {
        let of = &self.clients[client];
        let changed = self.users.by_id.get(&of.user).and_then(|user| user.changed);
        // A client does not ask its provider a third time, however long ago it was refused.
        let recently = changed.is_some_and(|at| at + RECENT > now || at > of.accepted);
        if of.has_provider && !recently {
            self.violate(
                Invariant::Recovers,
                format_args!(
                    "client {client} gave up because of {code}, although its provider has a valid token"
                ),
            );
        }
    }
}

/// Returns the user and the number of an event.
pub(super) fn event_of(envelope: &Envelope<'_>) -> Option<(String, usize)> {
    let event: AppEvent<'_, Value> = envelope.body().ok()?;
    event_data(&event.data)
}

/// Returns the same from the event's `data`.
pub(crate) fn event_data(data: &Value) -> Option<(String, usize)> {
    let n = usize::try_from(data.get("n")?.as_u64()?).ok().filter(|&n| n > 0)?;
    Some((data.get("user")?.as_str()?.to_owned(), n))
}
