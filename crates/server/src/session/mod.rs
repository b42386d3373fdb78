//! A session: plain data under a short mutex, with no task, channel or timer of its own.
//!
//! Whoever has something to say to a user writes it to the connection at once, and queues it only when the
//! connection is full. The connection's one task (`driver`) flushes and listens; one wheel asks every session about its
//! deadlines; the `registry` finds sessions by number and by user.

mod driver;
mod outbox;
mod registry;
mod requests;

use std::{
    net::IpAddr,
    slice,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use chatcamp_auth::{
    directory::Admission,
    server::{self, Dialect, Established},
    session_key::{Claims, ProvenBy},
    token::{LEEWAY, Stamp},
};
use chatcamp_protocol::{
    AccessToken, AppId, Code, UserId, envelope, limits,
    sequence::{Counter, Tracker},
};
use chatcamp_transport::{Carrier, Close, Connection, Message};
use parking_lot::Mutex;

use crate::SessionInfo;

pub(crate) use driver::Driver;
use outbox::Outbox;
pub(crate) use outbox::{Budget, Overflow, Reserved};
pub(crate) use registry::Registry;

/// Names a session for the life of this process; the generation tells apart those that had the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// One user's authenticated connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) app: AppId,
    pub(crate) user: UserId,
    pub(crate) dialect: Dialect,
    /// What vouches for it, and how; see [`crate::directory::standing`].
    pub(crate) stamp: Stamp,
    pub(crate) proven_by: ProvenBy,
    /// The very token it presented: what its own user object shows, and no other session's.
    pub(crate) token: Option<AccessToken>,
    /// When it began, in Unix seconds.
    since: u64,
    state: Mutex<State>,
}

/// The part that changes.
#[derive(Debug)]
struct State {
    carrier: Box<dyn Carrier>,
    /// The transport's name, and the address of the peer.
    transport: &'static str,
    address: Option<IpAddr>,
    outbox: Outbox,
    /// Unix seconds at which its credential ends.
    valid_until: Option<u64>,
    /// The driver's waker, once it has waited.
    driver: Option<Waker>,
    phase: Phase,
    /// Native: numbers what is sent.
    sent: Counter,
    /// Native: follows the numbers of requests.
    received: Tracker,
    arrivals: u32,
    /// The second anything was last heard.
    heard: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The acknowledgement is not sent yet: what others say waits for it.
    Greeting,
    Open,
    /// The close was said; the peer has until this second to agree.
    Closing {
        until: u32,
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

impl Session {
    /// Seconds after which a new session is first asked about its deadlines.
    pub(crate) const FIRST_LOOK: u32 = limits::HEARTBEAT.as_secs() as u32;
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
        let (carrier, facts) = connection.into_parts();
        let state = State {
            carrier,
            transport: facts.transport,
            address: facts.peer.map(|peer| peer.ip()),
            outbox: Outbox::default(),
            valid_until: admission.valid_until,
            driver: None,
            phase: Phase::Greeting,
            sent: Counter::default(),
            received: Tracker::default(),
            arrivals: 0,
            heard: now,
        };
        Arc::new(Self {
            id,
            app: admission.app.clone(),
            user: admission.user.id.clone(),
            dialect,
            stamp: admission.stamp,
            proven_by: admission.proven_by,
            token: admission.user.access_token.clone(),
            since: unix_now,
            state: Mutex::new(state),
        })
    }

    /// What its operator sees of it.
    pub(crate) fn info(&self, now: u32, unix_now: u64) -> SessionInfo {
        let state = self.state.lock();
        SessionInfo {
            id: format!("{:x}", self.id.number()),
            user: self.user.clone(),
            transport: state.transport,
            address: state.address,
            since: self.since,
            last_seen: unix_now.saturating_sub(u64::from(now.saturating_sub(state.heard))),
        }
    }

    /// Reads the id that [`SessionInfo`] shows.
    pub(crate) fn id_from_text(text: &str) -> Option<SessionId> {
        u64::from_str_radix(text, 16).ok().map(SessionId::from_number)
    }

    /// What a key for this session claims; it lives a day, or as long as the token.
    pub(crate) fn claims(&self, incarnation: u64, now: u64) -> Claims {
        let day = now + limits::SESSION_KEY_LIFETIME.as_secs();
        Claims {
            app: self.app.clone(),
            user: self.user.clone(),
            stamp: self.stamp,
            session: self.id.number(),
            incarnation,
            node: 0,
            expires_at: self.state.lock().valid_until.map_or(day, |end| end.min(day)),
            proven_by: self.proven_by,
            is_native: self.dialect == Dialect::Native,
        }
    }

    /// Opens the session with its acknowledgement, the first thing said on it.
    pub(crate) fn greet(&self, established: &Established, ack: String) {
        debug_assert_eq!(established.dialect, self.dialect);
        let mut state = self.state.lock();
        if state.phase == Phase::Greeting {
            state.phase = Phase::Open;
            // A carrier with nothing buffered always takes something.
            state.carrier.try_send(&[Message::from(ack)]);
            state.wake();
        }
    }

    /// Says something, now or, when the connection is full, as soon as there is room; false when the session is ending.
    ///
    /// # Errors
    /// [`Overflow`] when the client has not read for so long that there is no room for more.
    pub(crate) fn push(&self, text: &str, budget: &Budget) -> Result<bool, Overflow> {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Greeting | Phase::Open) {
            return Ok(false);
        }
        let message = match self.dialect {
            Dialect::Native => Message::from(envelope::number(text, state.sent.next())),
            Dialect::Published => Message::from(text),
        };
        if state.phase == Phase::Open && state.outbox.is_empty() {
            let sent = state.carrier.try_send(slice::from_ref(&message));
            if !sent.flushed {
                state.wake();
            }
            if sent.taken == 1 {
                return Ok(true);
            }
        }
        state.outbox.push(message, budget).map(|()| true)
    }

    /// Brings the end of the credential forward; false when it is no earlier than before.
    pub(crate) fn limit(&self, valid_until: u64) -> bool {
        let mut state = self.state.lock();
        let earlier = state.valid_until.is_none_or(|end| valid_until < end);
        if earlier {
            state.valid_until = Some(valid_until);
        }
        earlier
    }

    /// Ends the session: says why, closes, and leaves the peer until some seconds after `now` to agree.
    ///
    /// The wheel must be asked to look at the session by then.
    ///
    /// False when it was ending already.
    pub(crate) fn end(&self, code: Code, retry_after: Option<Duration>, now: u32, budget: &Budget) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Greeting | Phase::Open) {
            return false;
        }
        tracing::debug!(app = %self.app, user = %self.user, code = code.as_str(), "ending a session");
        state.phase = Phase::Closing { until: now + Self::CLOSING };
        state.outbox.clear(budget);
        if let Some(words) = server::farewell(self.dialect, code, retry_after).last_words {
            let words = match self.dialect {
                Dialect::Native => envelope::number(&words, state.sent.next()),
                Dialect::Published => words,
            };
            state.carrier.try_send(&[Message::from(words)]);
        }
        state.carrier.close(Close::new(code.number(), code.reason()));
        state.wake();
        true
    }

    /// Lets go of the connection at once.
    pub(crate) fn abandon(&self, budget: &Budget) {
        let mut state = self.state.lock();
        state.outbox.clear(budget);
        state.phase = Phase::Over;
        state.wake();
    }

    /// Checks the deadlines at second `now`; answers at which second to ask again.
    pub(crate) fn on_deadline(&self, now: u32, unix_now: u64, budget: &Budget) -> Option<u32> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Over => return None,
            Phase::Closing { until } if now >= until => {
                state.phase = Phase::Over;
                state.wake();
                return None;
            }
            Phase::Closing { until } => return Some(until),
            Phase::Greeting | Phase::Open => {}
        }
        let silence = now - state.heard.min(now);
        let expired = state.valid_until.is_some_and(|end| unix_now > end.saturating_add(LEEWAY.as_secs()));
        if let Some(code) = match () {
            () if expired => Some(Code::AccessTokenExpired),
            () if silence >= seconds(limits::SILENCE) => Some(Code::IdleTimeout),
            () => None,
        } {
            drop(state);
            self.end(code, None, now, budget);
            return Some(now + Self::CLOSING);
        }
        let mut next = state.heard + seconds(limits::SILENCE);
        if self.dialect == Dialect::Published {
            // A published SDK does not notice a dead connection: its browser answers our pings.
            let ping_at = state.heard + seconds(limits::HEARTBEAT);
            if now >= ping_at {
                state.carrier.keep_alive();
                state.wake();
            } else {
                next = ping_at;
            }
        }
        let until_expiry =
            state.valid_until.map(|end| end.saturating_add(LEEWAY.as_secs() + 1).saturating_sub(unix_now));
        let expiry =
            until_expiry.and_then(|s| u32::try_from(s).ok()).map_or(u32::MAX, |s| now.saturating_add(s));
        Some(next.min(expiry))
    }

    /// Flushes, then takes the next message; ready with none when the connection is over.
    fn poll_next(&self, cx: &mut Context<'_>, now: u32, budget: &Budget) -> Poll<Option<Message>> {
        let mut state = self.state.lock();
        if state.phase == Phase::Over {
            return Poll::Ready(None);
        }
        state.keep_waker(cx);
        state.flush(cx, budget);
        let received = state.carrier.poll_recv(cx);
        let arrivals = state.carrier.arrivals();
        if arrivals != state.arrivals {
            state.arrivals = arrivals;
            state.heard = now;
        }
        match received {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(message)) => Poll::Ready(Some(message)),
            Poll::Ready(Err(closed)) => {
                tracing::debug!(app = %self.app, user = %self.user, %closed, "a connection ended");
                state.phase = Phase::Over;
                Poll::Ready(None)
            }
        }
    }

    /// Flushes while the driver is busy with a request.
    fn poll_flush(&self, cx: &mut Context<'_>, budget: &Budget) {
        let mut state = self.state.lock();
        state.keep_waker(cx);
        state.flush(cx, budget);
    }

    /// Native: whether request `r` is the next one of its session.
    fn is_in_sequence(&self, r: u64) -> bool {
        self.state.lock().received.arrive(r) == chatcamp_protocol::sequence::Arrival::Next
    }

    fn is_open(&self) -> bool {
        self.state.lock().phase == Phase::Open
    }
}

impl State {
    /// Moves what waits to the connection, as far as there is room, and the connection's bytes to the network.
    fn flush(&mut self, cx: &mut Context<'_>, budget: &Budget) {
        loop {
            // An error shows when receiving, after what arrived before it.
            let flushed = self.carrier.poll_flush(cx).is_ready();
            if self.outbox.is_empty() || self.phase != Phase::Open {
                return;
            }
            let taken = self.carrier.try_send(self.outbox.batch()).taken;
            self.outbox.advance(taken, budget);
            if taken == 0 || !flushed {
                return;
            }
        }
    }

    fn keep_waker(&mut self, cx: &Context<'_>) {
        match &mut self.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }
}

/// Whole seconds of one of the protocol's times.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).expect("the protocol's times are minutes at most")
}
