//! A session: plain data under a short mutex, with no task, channel or timer of its own.
//!
//! It outlives its connections: `link` is the one it has, `resume` changes it for another, and while it has none it waits
//! among the `detached`. Whoever has something to say to a user writes it to the connection at once, and queues it only when
//! that is full or gone (`outbox`). A connection's one task (`driver`) flushes and listens; one wheel asks every session about
//! its deadlines (`deadline`); [`Sessions`](crate::sessions::Sessions)
//! finds them.
//!
//! ```text
//!             greet              lost, silent
//!  Greeting ---------> Open <-------------------> Detached
//!                       |         take_up            |
//!                   end |                            | end, its time is over, no room
//!                       v                            v
//!                    Closing ---------------------> Over
//! ```

mod budget;
mod deadline;
mod detached;
mod driver;
mod info;
mod link;
mod outbox;
mod resume;
mod shares;

use std::{net::IpAddr, sync::Arc, time::Duration};

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

use crate::network::network;

pub(crate) use budget::{Budget, Overflow, Reserved};
pub(crate) use deadline::{Due, SPAN, reachable};
pub(crate) use detached::Detached;
pub(crate) use driver::{Driver, Handler, Work};
pub use info::SessionInfo;
use link::Link;
pub(crate) use link::Parted;
use outbox::Outbox;
pub(crate) use resume::{Hint, NotResumed, TakeUp};
pub(crate) use shares::{Holding, choose};

/// Names a session for the life of this process; the generation tells apart those that had the same slot.
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
    /// When it began, in Unix seconds.
    since: u64,
    state: Mutex<State>,
    /// The request being carried out; it outlives the connection that it came by.
    work: Mutex<Option<Work>>,
}

/// The part that changes.
#[derive(Debug)]
struct State {
    phase: Phase,
    vouched: Vouched,
    /// Its connection; none while it is detached.
    link: Option<Link>,
    /// The address of its newest connection.
    address: Option<IpAddr>,
    /// Counts its connections.
    epoch: u32,
    keys: Keys,
    outbox: Outbox,
    /// Native: numbers what is said.
    sent: Counter,
    /// Native: follows the numbers of requests.
    received: Tracker,
    /// The second anything was last heard.
    heard: u32,
    /// The second at which the wheel asks about deadlines.
    look_at: u32,
    /// Whether a request is being carried out, while which nothing is read.
    is_busy: bool,
}

/// What vouches for a session, and how; see [`crate::directory::standing`].
#[derive(Debug, Clone)]
pub(crate) struct Vouched {
    pub(crate) stamp: Stamp,
    pub(crate) proven_by: ProvenBy,
    /// The very token it presented last: what its own user object shows, and no other session's.
    pub(crate) token: Option<AccessToken>,
    /// When the credential ends, in Unix seconds, where it does.
    pub(crate) valid_until: Option<u64>,
}

/// The serial numbers of its session keys.
#[derive(Debug, Clone, Copy)]
struct Keys {
    /// The newest.
    issued: u32,
    /// The oldest that still counts.
    oldest: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The acknowledgement is not sent yet: what others say waits for it.
    Greeting,
    Open,
    /// It has no connection, and waits for its client until this second.
    Detached {
        until: u32,
        ticket: u64,
        /// Why the client is to be refused when it comes back.
        sentence: Option<Code>,
    },
    /// The close was said; the peer has until this second to agree.
    Closing {
        until: u32,
        /// What it is told when it comes back, in case it has not heard.
        sentence: Option<Code>,
    },
    /// Nothing is waited for any more.
    Over,
}

impl SessionId {
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    #[allow(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    pub(crate) fn from_number(number: u64) -> Self {
        Self { slot: number as u32, generation: (number >> 32) as u32 }
    }
}

impl Vouched {
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
    /// Seconds a peer has to agree to a close.
    pub(crate) const CLOSING: u32 = limits::CLOSING.as_secs() as u32;

    pub(crate) fn new(
        id: SessionId,
        dialect: Dialect,
        admission: &Admission,
        connection: Connection,
        now: u32,
        unix_now: u64,
    ) -> Arc<Self> {
        let state = State {
            phase: Phase::Greeting,
            vouched: Vouched::by(admission),
            address: connection.info().peer.map(|peer| peer.ip()),
            link: Some(Link::new(connection)),
            epoch: 1,
            keys: Keys { issued: 1, oldest: 1 },
            outbox: Outbox::default(),
            sent: Counter::default(),
            received: Tracker::default(),
            heard: now,
            look_at: u32::MAX,
            is_busy: false,
        };
        Arc::new(Self {
            id,
            app: admission.app.clone(),
            user: admission.user.id.clone(),
            dialect,
            since: unix_now,
            state: Mutex::new(state),
            work: Mutex::new(None),
        })
    }

    /// What a key for this session claims; it lives a day, or as long as the token.
    pub(crate) fn claims(&self, incarnation: u64, now: u64) -> Claims {
        let state = self.state.lock();
        self.claim(state.keys.issued, &state.vouched, incarnation, now)
    }

    fn claim(&self, serial: u32, vouched: &Vouched, incarnation: u64, now: u64) -> Claims {
        let day = now + limits::SESSION_KEY_LIFETIME.as_secs();
        Claims {
            app: self.app.clone(),
            user: self.user.clone(),
            stamp: vouched.stamp,
            session: self.id.number(),
            incarnation,
            node: 0,
            serial,
            expires_at: vouched.valid_until.map_or(day, |end| end.min(day)),
            proven_by: vouched.proven_by,
            is_native: self.dialect == Dialect::Native,
        }
    }

    /// When it began, in Unix seconds.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// What vouches for it.
    pub(crate) fn vouched(&self) -> Vouched {
        self.state.lock().vouched.clone()
    }

    /// Whether it has a connection, and is not ending.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Greeting | Phase::Open)
    }

    /// Which of its connections it has, or had last.
    pub(crate) fn epoch(&self) -> u32 {
        self.state.lock().epoch
    }

    /// Whether its requests are still carried out, by the driver of connection `epoch`.
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

    /// Opens the session with its acknowledgement, the first thing said on it.
    pub(crate) fn greet(&self, ack: String) {
        let mut state = self.state.lock();
        if state.phase == Phase::Greeting {
            state.phase = Phase::Open;
            if let Some(link) = &mut state.link {
                // A carrier with nothing buffered always takes something.
                link.carrier.try_send(&[Message::from(ack)]);
                link.wake();
            }
        }
    }

    /// Says something, now or as soon as there is a connection with room; false when the session is ending.
    ///
    /// # Errors
    /// [`Overflow`] when there is no room for more that waits.
    pub(crate) fn push(&self, message: &Message, budget: &Budget) -> Result<bool, Overflow> {
        let mut state = self.state.lock();
        let State { phase, link, outbox, sent, .. } = &mut *state;
        if matches!(phase, Phase::Closing { .. } | Phase::Over | Phase::Detached { sentence: Some(_), .. }) {
            return Ok(false);
        }
        // A number counts as given once there is room: what found none is said again, or never.
        let mut count = *sent;
        let message = match self.dialect {
            Dialect::Native => Message::from(envelope::number(message.as_str(), count.next())),
            Dialect::Published => message.clone(),
        };
        if *phase == Phase::Open
            && outbox.is_idle()
            && link.as_mut().is_some_and(|link| link.try_send(&message, budget))
        {
            *sent = count;
            if self.dialect == Dialect::Native {
                outbox.keep(message, budget);
            }
            return Ok(true);
        }
        outbox.push(message, budget)?;
        *sent = count;
        Ok(true)
    }

    /// Returns the memory that the session holds; `None` if it holds none.
    ///
    /// Counts its carrier's memory anew, since a client that polls takes from it while the session is not told.
    pub(crate) fn holding(&self, budget: &Budget) -> Option<Holding<'_>> {
        let mut state = self.state.lock();
        if let Some(link) = &mut state.link {
            link.count(budget);
        }
        let is_live = matches!(state.phase, Phase::Greeting | Phase::Open);
        let buffered = state.link.as_ref().map_or(0, Link::counted);
        let bytes = state.outbox.memory() + buffered;
        let is_spare = match state.phase {
            Phase::Closing { .. } | Phase::Over => true,
            _ => is_live && state.outbox.is_idle() && buffered == 0,
        };
        let address = state.address.and_then(network);
        (bytes > 0).then_some(Holding { app: &self.app, user: &self.user, address, bytes, is_spare })
    }

    /// Drops what its client has not acknowledged, if that is all it holds; returns whether it was.
    pub(crate) fn forget_sent(&self, budget: &Budget) -> bool {
        let mut state = self.state.lock();
        let is_all = state.phase == Phase::Open && state.outbox.is_idle() && state.outbox.len() > 0;
        if is_all {
            state.outbox.clear(budget);
        }
        is_all
    }

    /// Native: the client has everything up to `seen`, which need not be kept; false when it cannot have it.
    pub(crate) fn acknowledge(&self, seen: u64, budget: &Budget) -> bool {
        let mut state = self.state.lock();
        if seen > state.said() {
            return false;
        }
        let State { outbox, sent, .. } = &mut *state;
        let kept = sent.last() - seen;
        outbox.forget(outbox.len().saturating_sub(usize::try_from(kept).unwrap_or(usize::MAX)), budget);
        true
    }

    /// A request has come, which shows that its client has the newest key; judges its number, where it has one.
    pub(crate) fn arrive(&self, epoch: u32, r: Option<u64>) -> Arrival {
        let mut state = self.state.lock();
        // One of an older connection, read before that was replaced, shows nothing of the newest key.
        if state.epoch == epoch {
            state.keys.oldest = state.keys.issued;
        }
        match self.dialect {
            Dialect::Native => r.filter(|&r| r > 0).map_or(Arrival::Gap, |r| state.received.arrive(r)),
            Dialect::Published => Arrival::Next,
        }
    }

    /// Puts another credential in place of the one that vouches for it, unless another connection has done so meanwhile.
    pub(crate) fn vouch(&self, epoch: u32, vouched: Vouched) {
        let mut state = self.state.lock();
        if state.epoch == epoch {
            state.vouched = vouched;
        }
    }

    /// Brings the end of the credential forward; false when it is no earlier than before.
    pub(crate) fn limit(&self, valid_until: u64) -> bool {
        let mut state = self.state.lock();
        let earlier = state.vouched.valid_until.is_none_or(|end| valid_until < end);
        if earlier {
            state.vouched.valid_until = Some(valid_until);
        }
        earlier
    }

    /// Ends the session: says why, closes, and leaves the peer until some seconds after `now` to agree.
    ///
    /// With `only`, as long as this stamp vouches for it. The wheel must be asked to look at the session by then. A detached one is over, unless its client is to be told why
    /// when it comes back.
    pub(crate) fn end(
        &self,
        code: Code,
        retry_after: Option<Duration>,
        only: Option<Stamp>,
        now: u32,
        detached: &Detached,
        budget: &Budget,
    ) -> End {
        // What else ends a session is found again when its client comes back.
        let sentence = matches!(code, Code::Disconnected | Code::SessionEvicted).then_some(code);
        let mut state = self.state.lock();
        if only.is_some_and(|stamp| state.vouched.stamp != stamp) {
            return End::Already;
        }
        let end = match state.phase {
            Phase::Closing { .. } | Phase::Over | Phase::Detached { sentence: Some(_), .. } => {
                return End::Already;
            }
            Phase::Detached { until, ticket, .. } if sentence.is_some() => {
                state.phase = Phase::Detached { until, ticket, sentence };
                End::Begun
            }
            Phase::Detached { ticket, .. } => {
                detached.remove(ticket);
                state.phase = Phase::Over;
                End::Gone
            }
            Phase::Greeting | Phase::Open => {
                state.phase = Phase::Closing { until: now + Self::CLOSING, sentence };
                End::Begun
            }
        };
        tracing::debug!(app = %self.app, user = %self.user, code = code.as_str(), "ending a session");
        state.outbox.clear(budget);
        if let Some(link) = &mut state.link {
            if let Some(words) = server::ended(self.dialect, code, retry_after).final_message {
                link.carrier.try_send(&[Message::from(words)]);
            }
            link.carrier.close(Close::new(code.number(), code.reason()));
            link.wake();
        }
        end
    }

    /// Its place among those that wait, while it does.
    pub(crate) fn ticket(&self) -> Option<u64> {
        match self.state.lock().phase {
            Phase::Detached { ticket, .. } => Some(ticket),
            _ => None,
        }
    }

    /// Gives up a request that nobody carries out any more: it may hold the session.
    pub(crate) fn drop_work(&self) {
        let work = self.work.try_lock().and_then(|mut work| work.take());
        work.into_iter().for_each(|mut work| work.dismiss());
    }

    /// Lets go of the connection at once.
    pub(crate) fn abandon(&self, budget: &Budget) {
        let mut state = self.state.lock();
        state.outbox.clear(budget);
        state.phase = Phase::Over;
        if let Some(link) = &state.link {
            link.wake();
        }
    }
}

impl State {
    /// Native: the highest number that a carrier has taken.
    fn said(&self) -> u64 {
        self.sent.last() - (self.outbox.len() - self.outbox.taken()) as u64
    }
}

/// What came of an attempt to end a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was ending.
    Already,
    /// It ends when its peer agrees, or its time is over.
    Begun,
    /// It had no connection, and is over.
    Gone,
}

/// Whole seconds of one of the protocol's times.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).expect("the protocol's times are minutes at most")
}
