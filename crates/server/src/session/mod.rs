//! A session: plain data under a short mutex, with no task, channel or timer of its own.
//!
//! A session outlives its connections. `link` is its current connection, and `resume` replaces that with another. A session
//! without a connection is one of the `detached`. A publisher writes a message to the connection directly, and queues it only if
//! the connection is full or missing (`outbox`). Each connection has one task (`driver`), which flushes and receives. One wheel
//! checks the deadlines of all sessions (`deadline`); [`Sessions`](crate::sessions::Sessions) finds sessions.
//!
//! ```text
//!              open         connection lost, silence
//!  Opening ---------> Open <------------------------> Detached
//!                      |            resume               |
//!                  end |                                 | end, timeout, eviction
//!                      v                                 v
//!                   Closing -------------------------> Over
//! ```

mod budget;
mod deadline;
mod detached;
mod driver;
mod info;
mod link;
mod outbox;
mod request_rate;
mod resume;
mod shares;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicU16},
    time::Duration,
};

use chatcamp_auth::{
    authenticator::Admission,
    server::{self, Dialect},
    session_key::{Claims, ProvenBy},
    token::Stamp,
};
use chatcamp_protocol::{
    AccessToken, AppId, Code, UserId, envelope, limits,
    sequence::{Arrival, Counter, Tracker},
};
use chatcamp_transport::{Close, Connection, Message};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::{
    Proxies, activity,
    rate::{Meter, SharedMeter},
};

pub(crate) use budget::{Budget, Overflow, Reserved};
pub(crate) use deadline::{Due, SPAN, reachable};
pub(crate) use detached::Detached;
pub(crate) use driver::{Driver, Handler, Work};
pub use info::SessionInfo;
pub(crate) use link::Detachment;
use link::Link;
use outbox::Outbox;
pub(crate) use request_rate::RequestPace;
pub(crate) use resume::{NotResumed, Resumable, ResumePoint};
pub(crate) use shares::{Holding, choose};

/// Identifies a session within this process. The generation distinguishes sessions that used the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// One user's authenticated session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) app: AppId,
    pub(crate) user: UserId,
    pub(crate) dialect: Dialect,
    /// The time it began, in Unix seconds.
    since: u64,
    /// The rate of its requests, and how many were refused for it. Both are in the padding after `dialect`.
    requests: SharedMeter,
    refused: AtomicU16,
    state: Mutex<State>,
    /// The request being carried out. It outlives the connection that brought it.
    work: Mutex<Option<Work>>,
}

/// The mutable part of a session.
#[derive(Debug)]
struct State {
    phase: Phase,
    auth: AuthState,
    /// Its connection; `None` while it is detached.
    link: Option<Link>,
    /// The address of its newest connection.
    address: Option<IpAddr>,
    /// The number of its newest connection, counted from 1.
    epoch: u32,
    keys: Keys,
    outbox: Outbox,
    /// Native: numbers the messages to the client.
    sent: Counter,
    /// Native: checks the numbers of requests.
    received: Tracker,
    /// The second at which anything last arrived.
    last_heard: u32,
    /// The second at which the wheel checks the deadlines.
    next_check: u32,
    /// Whether a request is being carried out. Nothing is read until it is done.
    is_busy: bool,
}

/// The credential that a session was authenticated with. Its validity is checked again by `admission::standing`.
#[derive(Debug, Clone)]
pub(crate) struct AuthState {
    pub(crate) stamp: Stamp,
    pub(crate) proven_by: ProvenBy,
    /// The token that this session presented last. Its own user object shows this token and never that of another session.
    pub(crate) token: Option<AccessToken>,
    /// The time the credential expires, in Unix seconds; `None` if it does not expire.
    pub(crate) valid_until: Option<u64>,
}

/// The serial numbers of a session's keys.
#[derive(Debug, Clone, Copy)]
struct Keys {
    /// The newest key.
    issued: u32,
    /// The oldest key that is still accepted.
    oldest: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The acknowledgement is not sent yet. Other messages wait for it.
    Opening,
    Open,
    /// It has no connection, and waits until this second for its client to resume it.
    Detached {
        until: u32,
        ticket: u64,
        /// The code that refuses the client when it resumes; `None` if it may resume.
        end_code: Option<Code>,
    },
    /// The close was sent. The peer has until this second to confirm it.
    Closing {
        until: u32,
        /// The code that refuses the client when it resumes, in case the close did not reach it.
        end_code: Option<Code>,
    },
    /// It has ended and waits for nothing.
    Over,
}

impl SessionId {
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    #[allow(clippy::cast_possible_truncation, reason = "splits the number into its two halves")]
    pub(crate) fn from_number(number: u64) -> Self {
        Self { slot: number as u32, generation: (number >> 32) as u32 }
    }
}

impl AuthState {
    /// Returns the credential that an admission accepted.
    pub(crate) fn by(admission: &Admission) -> Self {
        Self {
            stamp: admission.stamp,
            proven_by: admission.proven_by,
            token: admission.user.access_token.clone(),
            valid_until: admission.valid_until,
        }
    }
}

impl Session {
    /// Seconds that a peer has to confirm a close.
    pub(crate) const CLOSING: u32 = limits::CLOSING.as_secs() as u32;

    pub(crate) fn new(
        id: SessionId,
        dialect: Dialect,
        admission: &Admission,
        connection: Connection,
        now: u32,
        millis: u32,
        unix_now: u64,
    ) -> Arc<Self> {
        let state = State {
            phase: Phase::Opening,
            auth: AuthState::by(admission),
            address: connection.info().peer.map(|peer| peer.ip()),
            link: Some(Link::new(connection)),
            epoch: 1,
            keys: Keys { issued: 1, oldest: 1 },
            outbox: Outbox::default(),
            sent: Counter::default(),
            received: Tracker::default(),
            last_heard: now,
            next_check: u32::MAX,
            is_busy: false,
        };
        Arc::new(Self {
            id,
            app: admission.app.clone(),
            user: admission.user.id.clone(),
            dialect,
            since: unix_now,
            requests: SharedMeter::new(Meter::full(millis)),
            refused: AtomicU16::new(0),
            state: Mutex::new(state),
            work: Mutex::new(None),
        })
    }

    /// Returns the claims of a key for this session. The key expires after a day, or earlier with the credential.
    pub(crate) fn claims(&self, incarnation: u64, now: u64) -> Claims {
        let state = self.state.lock();
        self.claim(state.keys.issued, &state.auth, incarnation, now)
    }

    fn claim(&self, serial: u32, auth: &AuthState, incarnation: u64, now: u64) -> Claims {
        let day = now + limits::SESSION_KEY_LIFETIME.as_secs();
        Claims {
            app: self.app.clone(),
            user: self.user.clone(),
            stamp: auth.stamp,
            session: self.id.number(),
            incarnation,
            node: 0,
            serial,
            expires_at: auth.valid_until.map_or(day, |end| end.min(day)),
            proven_by: auth.proven_by,
            is_native: self.dialect == Dialect::Native,
        }
    }

    /// Returns the time the session began, in Unix seconds.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// Returns the credential that the session is authenticated with.
    pub(crate) fn auth(&self) -> AuthState {
        self.state.lock().auth.clone()
    }

    /// Returns whether the session has a connection and is not ending.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Opening | Phase::Open)
    }

    /// Returns whether the session is detached, and its client may resume it.
    pub(crate) fn can_be_resumed(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Detached { end_code: None, .. })
    }

    /// Returns the number of the session's current or last connection.
    pub(crate) fn epoch(&self) -> u32 {
        self.state.lock().epoch
    }

    /// Returns whether `epoch` is the current or last connection and the session is not over.
    fn is_for(&self, epoch: u32) -> bool {
        let state = self.state.lock();
        state.epoch == epoch && state.phase != Phase::Over
    }

    fn is_over(&self) -> bool {
        self.state.lock().phase == Phase::Over
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().phase == Phase::Open
    }

    /// Opens the session with its acknowledgement, which is its first message.
    pub(crate) fn open(&self, ack: String) {
        let mut state = self.state.lock();
        if state.phase == Phase::Opening {
            state.phase = Phase::Open;
            if let Some(link) = &mut state.link {
                // A carrier without buffered messages always takes at least one.
                link.carrier.try_send(&[Message::from(ack)]);
                link.wake();
            }
        }
    }

    /// Sends messages now, in one write if possible, or queues them until a connection has room. Removes those from `messages` that it
    /// has sent or queued, or dropped because the session is ending.
    ///
    /// # Errors
    /// [`Overflow`] if the queue is full; the remaining messages are neither sent nor queued.
    pub(crate) fn push(&self, messages: &mut &[Message], budget: &Budget) -> Result<PushOutcome, Overflow> {
        let mut state = self.state.lock();
        let State { phase, link, outbox, sent, .. } = &mut *state;
        let outcome = match phase {
            Phase::Opening | Phase::Open => PushOutcome::Delivered,
            Phase::Detached { end_code: None, .. } => PushOutcome::Queued,
            Phase::Closing { .. } | Phase::Over | Phase::Detached { end_code: Some(_), .. } => {
                *messages = &[];
                return Ok(PushOutcome::Ending);
            }
        };
        // A number is used up only if its message is sent or queued. Otherwise the next attempt uses it.
        let mut count = *sent;
        let numbered: SmallVec<[Message; 1]> = match self.dialect {
            Dialect::Native => {
                messages.iter().map(|text| envelope::number(text.as_str(), count.next()).into()).collect()
            }
            Dialect::Published => messages.iter().cloned().collect(),
        };
        let taken = match link {
            Some(link) if *phase == Phase::Open && outbox.is_idle() => link.try_send(&numbered, budget),
            _ => 0,
        };
        for (index, message) in numbered.into_iter().enumerate() {
            if index >= taken {
                outbox.push(message, budget)?;
            } else if self.dialect == Dialect::Native {
                outbox.keep(message, budget);
            }
            sent.next();
            *messages = &messages[1..];
        }
        Ok(outcome)
    }

    /// Returns the memory that the session holds; `None` if it holds none.
    ///
    /// Counts the carrier's memory again first: a client that polls takes messages from it without notice to the session.
    pub(crate) fn holding(&self, budget: &Budget, proxies: &Proxies) -> Option<Holding<'_>> {
        let mut state = self.state.lock();
        if let Some(link) = &mut state.link {
            link.count(budget);
        }
        let is_live = matches!(state.phase, Phase::Opening | Phase::Open);
        let buffered = state.link.as_ref().map_or(0, Link::counted);
        let bytes = state.outbox.memory() + buffered;
        let is_spare = match state.phase {
            Phase::Closing { .. } | Phase::Over => true,
            _ => is_live && state.outbox.is_idle() && buffered == 0,
        };
        let address = state.address.and_then(|address| proxies.network(address));
        (bytes > 0).then_some(Holding { app: &self.app, user: &self.user, address, bytes, is_spare })
    }

    /// Drops the unacknowledged messages if the session holds nothing else. Returns `false` if it holds none or also queued ones.
    pub(crate) fn drop_unacknowledged(&self, budget: &Budget) -> bool {
        let mut state = self.state.lock();
        let is_all = state.phase == Phase::Open && state.outbox.is_idle() && state.outbox.len() > 0;
        if is_all {
            state.outbox.clear(budget);
        }
        is_all
    }

    /// Native: drops the messages up to number `seen`, which the client has received, and returns how many they were. Returns `None`
    /// if that number was not sent yet.
    pub(crate) fn acknowledge(&self, seen: u64, budget: &Budget) -> Option<usize> {
        let mut state = self.state.lock();
        if seen > state.last_sent() {
            return None;
        }
        let State { outbox, sent, .. } = &mut *state;
        let kept = sent.last() - seen;
        let received = outbox.len().saturating_sub(usize::try_from(kept).unwrap_or(usize::MAX));
        outbox.forget(received, budget);
        Some(received)
    }

    /// Notes that a request arrived over connection `epoch`, and checks its number. A request shows that the client has the
    /// newest session key, so older keys become invalid.
    pub(crate) fn arrive(&self, epoch: u32, r: Option<u64>) -> Arrival {
        let mut state = self.state.lock();
        // A request of an older connection, read before that was replaced, does not show that the client has the newest key.
        if state.epoch == epoch {
            state.keys.oldest = state.keys.issued;
        }
        match self.dialect {
            Dialect::Native => r.filter(|&r| r > 0).map_or(Arrival::Gap, |r| state.received.arrive(r)),
            Dialect::Published => Arrival::Next,
        }
    }

    /// Replaces the session's credential, unless `epoch` is no longer its connection.
    pub(crate) fn set_auth(&self, epoch: u32, auth: AuthState) {
        let mut state = self.state.lock();
        if state.epoch == epoch {
            state.auth = auth;
        }
    }

    /// Makes the credential expire at `valid_until`. Returns `false` if it already expires then or earlier.
    pub(crate) fn limit(&self, valid_until: u64) -> bool {
        let mut state = self.state.lock();
        let earlier = state.auth.valid_until.is_none_or(|end| valid_until < end);
        if earlier {
            state.auth.valid_until = Some(valid_until);
        }
        earlier
    }

    /// Ends the session: sends the reason and closes its connection. The peer has [`CLOSING`](Self::CLOSING) seconds from `now` to
    /// confirm; the caller schedules a check of the deadlines for that second.
    ///
    /// If `only` is given, the session ends only if its credential has this stamp. A detached session is over at once, unless its
    /// client must be told the code when it resumes.
    pub(crate) fn end(
        &self,
        code: Code,
        retry_after: Option<Duration>,
        only: Option<Stamp>,
        now: u32,
        detached: &Detached,
        budget: &Budget,
    ) -> EndOutcome {
        // With any other code, the handshake of the resuming client finds the reason again.
        let end_code = matches!(code, Code::Disconnected | Code::SessionEvicted).then_some(code);
        let mut state = self.state.lock();
        if only.is_some_and(|stamp| state.auth.stamp != stamp) {
            return EndOutcome::AlreadyEnding;
        }
        let end = match state.phase {
            Phase::Closing { .. } | Phase::Over | Phase::Detached { end_code: Some(_), .. } => {
                return EndOutcome::AlreadyEnding;
            }
            Phase::Detached { until, ticket, .. } if end_code.is_some() => {
                state.phase = Phase::Detached { until, ticket, end_code };
                EndOutcome::Ending
            }
            Phase::Detached { ticket, .. } => {
                detached.remove(ticket);
                state.phase = Phase::Over;
                EndOutcome::Over
            }
            Phase::Opening | Phase::Open => {
                state.phase = Phase::Closing { until: now + Self::CLOSING, end_code };
                EndOutcome::Ending
            }
        };
        activity::ending(&self.app, &self.user, code);
        state.outbox.clear(budget);
        if let Some(link) = &mut state.link {
            if let Some(message) = server::ended(self.dialect, code, retry_after).final_message {
                link.carrier.try_send(&[Message::from(message)]);
            }
            link.carrier.close(Close::new(code.number(), code.reason()));
            link.wake();
        }
        end
    }

    /// Returns the session's ticket among the detached sessions; `None` if it is not detached.
    pub(crate) fn ticket(&self) -> Option<u64> {
        match self.state.lock().phase {
            Phase::Detached { ticket, .. } => Some(ticket),
            _ => None,
        }
    }

    /// Drops the request that is being carried out. The request holds a reference to the session, which would leak otherwise.
    pub(crate) fn drop_work(&self) {
        let work = self.work.try_lock().and_then(|mut work| work.take());
        work.into_iter().for_each(|mut work| work.wake_driver());
    }

    /// Ends the session and drops its connection at once, without a close.
    pub(crate) fn abort(&self, budget: &Budget) {
        let mut state = self.state.lock();
        state.outbox.clear(budget);
        state.phase = Phase::Over;
        if let Some(link) = &state.link {
            link.wake();
        }
    }
}

impl State {
    /// Native: returns the highest message number that a carrier has taken.
    fn last_sent(&self) -> u64 {
        self.sent.last() - (self.outbox.len() - self.outbox.taken()) as u64
    }
}

/// The outcome of sending a message to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushOutcome {
    /// The session has a connection, which has the message or gets it as soon as its peer reads on.
    Delivered,
    /// The session is detached and keeps the message for its client.
    Queued,
    /// The session is ending, and the message is dropped.
    Ending,
}

/// The outcome of an attempt to end a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndOutcome {
    /// It was already ending or over, or has another credential.
    AlreadyEnding,
    /// It ends once its peer confirms the close, or when its time is over.
    Ending,
    /// It was detached and is over.
    Over,
}

/// Returns the whole seconds of a duration that the protocol defines.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).expect("every duration of the protocol is at most minutes")
}
