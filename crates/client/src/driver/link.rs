//! The live connection: sends the messages of the session, receives, and measures how long the peer has been silent.

use std::{
    slice,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use chatcamp_protocol::{handshake::Offer, limits};
use chatcamp_runtime::after;
use chatcamp_transport::{Carrier, Closed, Connection, ConnectionInfo, Message};

use crate::{session::Session, trace::Trace};

/// How long a peer may be silent after the network changed or the process was suspended.
const DOUBT: Duration = Duration::from_secs(5);

/// A live connection of a session.
pub(super) struct Link {
    carrier: Box<dyn Carrier>,
    info: ConnectionInfo,
    opened_at: Instant,
    sent_at: Instant,
    heard_at: Instant,
    arrivals: u32,
    heartbeat: Duration,
    silence: Duration,
    /// When a doubted peer counts as silent.
    doubted: Option<Instant>,
    /// Whether the time during which the process did not run was forgiven; only once until the peer is heard again.
    forgiven: bool,
}

impl Link {
    pub(super) fn new(connection: Connection, offer: &Offer, now: Instant) -> Self {
        let (carrier, info) = connection.into_parts();
        let heartbeat = match offer.heartbeat {
            0 => limits::HEARTBEAT,
            seconds => Duration::from_secs(seconds),
        };
        // The server chooses the heartbeat, the protocol the tolerance beyond it.
        let silence = heartbeat.saturating_add(limits::SILENCE - limits::HEARTBEAT);
        let arrivals = carrier.arrivals();
        Self {
            carrier,
            info,
            opened_at: now,
            sent_at: now,
            heard_at: now,
            arrivals,
            heartbeat,
            silence,
            doubted: None,
            forgiven: false,
        }
    }

    pub(super) fn into_connection(self) -> Connection {
        Connection::from_parts(self.carrier, self.info)
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        trace: &Trace,
        now: Instant,
    ) -> Poll<Result<Message, Closed>> {
        // Flush before waiting, and send more while that makes room. Receiving reports the end of the connection.
        while self.send(session, trace, now) && self.carrier.poll_flush(cx).is_ready() {}
        let _ = self.carrier.poll_flush(cx);
        let received = self.carrier.poll_recv(cx);
        let arrivals = self.carrier.arrivals();
        if arrivals != self.arrivals {
            self.arrivals = arrivals;
            self.heard_at = now;
            self.doubted = None;
            self.forgiven = false;
        }
        received
    }

    /// Sends what the carrier takes; returns `false` if it took nothing.
    fn send(&mut self, session: &mut Session, trace: &Trace, now: Instant) -> bool {
        let mut any = false;
        while let Some(outgoing) = session.outgoing() {
            if self.carrier.try_send(slice::from_ref(&outgoing.message)).taken == 0 {
                break;
            }
            trace.sent(outgoing.message.as_str());
            session.taken(outgoing);
            self.sent_at = now;
            any = true;
        }
        any
    }

    /// Returns when the next `ping` is due or the peer will have been silent for too long.
    pub(super) fn alarm(&self, pinging: bool) -> Instant {
        let silent = self.silent_at();
        if pinging { silent } else { silent.min(after(self.sent_at, self.heartbeat)) }
    }

    /// Returns whether nothing was sent for a heartbeat interval.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        after(self.sent_at, self.heartbeat) <= now
    }

    /// Returns whether the peer has been silent for too long.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.silent_at() <= now
    }

    /// Expects a message from the peer within 5 s.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.doubted = Some(after(now, DOUBT));
    }

    /// Does not count the time before `now` as silence, and expects a message within 5 s. Returns `false` if that was done
    /// before and the peer was not heard since.
    pub(super) fn forgive(&mut self, now: Instant) -> bool {
        if self.forgiven {
            return false;
        }
        self.forgiven = true;
        self.heard_at = now;
        self.doubt(now);
        true
    }

    fn silent_at(&self) -> Instant {
        let silent = after(self.heard_at, self.silence);
        self.doubted.map_or(silent, |doubted| doubted.min(silent))
    }

    pub(super) fn life(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.opened_at)
    }
}
