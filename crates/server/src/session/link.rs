//! A session's connection, for as long as it has this one.

use std::{
    slice,
    task::{Context, Poll, Waker},
};

use chatcamp_auth::server::Dialect;
use chatcamp_protocol::limits;
use chatcamp_transport::{Carrier, Closed, Connection, ConnectionInfo, Message};

use super::{Budget, Detached, Handler, Phase, Session, State, reachable, seconds};

/// A connection, taken apart.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) carrier: Box<dyn Carrier>,
    pub(super) transport: &'static str,
    /// The driver's waker, once it has waited.
    driver: Option<Waker>,
    arrivals: u32,
    /// Bytes of the budget that its carrier's memory is counted with.
    counted: u32,
    /// Bytes in its carrier when that could last not send all.
    unsent: u32,
    /// The second since which the peer has taken none of them.
    pub(super) stalled_since: Option<u32>,
}

/// What a connection's driver is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Handle this.
    Message(Message),
    /// Go: the connection is no longer this session's, or of no use to it.
    Go,
}

/// What became of a session that lost its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parted {
    /// It has another one, or none already.
    Before,
    /// It waits for its client.
    Detached,
    /// It is over.
    Over,
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        let (carrier, info) = connection.into_parts();
        let arrivals = carrier.arrivals();
        let transport = info.transport;
        Self { carrier, transport, driver: None, arrivals, counted: 0, unsent: 0, stalled_since: None }
    }

    /// The connection, to take leave of.
    pub(super) fn into_connection(self, budget: &Budget) -> Connection {
        budget.count_carried(0, self.counted());
        self.wake();
        Connection::from_parts(self.carrier, ConnectionInfo::new(self.transport))
    }

    /// Whether the carrier takes the message.
    pub(super) fn try_send(&mut self, message: &Message, budget: &Budget) -> bool {
        let sent = self.carrier.try_send(slice::from_ref(message));
        if !sent.flushed {
            self.wake();
        }
        self.count(budget);
        sent.taken == 1
    }

    /// Counts the memory that the carrier holds now instead of what it held before.
    pub(super) fn count(&mut self, budget: &Budget) {
        let held = small(self.carrier.buffered().total());
        budget.count_carried(held as usize, self.counted());
        self.counted = held;
    }

    /// Returns the bytes that the carrier's memory is counted with.
    pub(super) fn counted(&self) -> usize {
        self.counted as usize
    }

    /// Notes whether the peer takes what waits in the carrier; returns `true` if it has just stopped.
    fn note_stall(&mut self, is_flushed: bool, now: u32) -> bool {
        if is_flushed {
            self.stalled_since = None;
            return false;
        }
        let unsent = small(self.carrier.buffered().outgoing);
        let is_new = self.stalled_since.is_none();
        if is_new || unsent < self.unsent {
            self.stalled_since = Some(now);
        }
        self.unsent = unsent;
        is_new
    }

    pub(super) fn wake(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    fn keep_waker(&mut self, cx: &Context<'_>) {
        match &mut self.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

fn small(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Session {
    /// Flushes, then takes the next message of connection `epoch`.
    pub(super) fn poll_next(&self, epoch: u32, cx: &mut Context<'_>, handler: &dyn Handler) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.phase == Phase::Over || !state.flush(self, epoch, cx, handler) {
            return Poll::Ready(Next::Go);
        }
        let State { link: Some(link), heard, phase, is_busy, .. } = &mut *state else {
            return Poll::Ready(Next::Go);
        };
        *is_busy = false;
        let received = link.carrier.poll_recv(cx);
        let arrivals = link.carrier.arrivals();
        if arrivals != link.arrivals {
            link.arrivals = arrivals;
            *heard = handler.now();
        }
        link.count(handler.queued());
        match received {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(message)) => Poll::Ready(Next::Message(message)),
            Poll::Ready(Err(closed)) => {
                tracing::debug!(app = %self.app, user = %self.user, %closed, "a connection ended");
                // Not every transport tells whether its peer has heard: who comes back is told again.
                let unheard = matches!(phase, Phase::Closing { sentence: Some(_), .. });
                if !unheard && (*phase != Phase::Open || is_for_good(&closed, self.dialect)) {
                    *phase = Phase::Over;
                }
                Poll::Ready(Next::Go)
            }
        }
    }

    /// Flushes while the driver of connection `epoch` is busy with a request.
    pub(super) fn poll_flush(&self, epoch: u32, cx: &mut Context<'_>, handler: &dyn Handler) {
        let mut state = self.state.lock();
        if state.flush(self, epoch, cx, handler) {
            state.is_busy = true;
        }
    }

    /// Takes connection `epoch`, or whichever it has, from the session; gives it back if it may still have a peer.
    ///
    /// A session that was open waits for its client among the `detached`, and so does one whose client has yet to hear of its end.
    pub(crate) fn part(
        &self,
        epoch: Option<u32>,
        now: u32,
        detached: &Detached,
        budget: &Budget,
    ) -> (Parted, Option<Connection>) {
        let mut state = self.state.lock();
        if epoch.is_some_and(|epoch| epoch != state.epoch) {
            return (Parted::Before, None);
        }
        let Some(mut link) = state.link.take() else { return (Parted::Before, None) };
        let sentence = match state.phase {
            Phase::Open => None,
            Phase::Closing { sentence: Some(code), .. } => Some(code),
            _ => {
                state.phase = Phase::Over;
                state.outbox.clear(budget);
                return (Parted::Over, Some(link.into_connection(budget)));
            }
        };
        let kept = match self.dialect {
            Dialect::Native => limits::KEPT_NATIVE,
            Dialect::Published => limits::KEPT_PUBLISHED,
        };
        if sentence.is_none() && self.dialect == Dialect::Published {
            state.outbox.put_back(link.carrier.take_back(), budget);
        }
        let (until, ticket) = (now + seconds(kept), detached.add(self.id));
        state.phase = Phase::Detached { until, ticket, sentence };
        (Parted::Detached, Some(link.into_connection(budget)))
    }

    /// Gives up a detached session; false when it is none.
    pub(crate) fn give_up(&self, detached: &Detached, budget: &Budget) -> bool {
        let mut state = self.state.lock();
        let Phase::Detached { ticket, .. } = state.phase else { return false };
        detached.remove(ticket);
        state.phase = Phase::Over;
        state.outbox.clear(budget);
        true
    }
}

impl State {
    /// Moves what waits to connection `epoch`, as far as there is room, and its bytes to the network; returns `false` if the
    /// session has another connection, or none.
    fn flush(&mut self, session: &Session, epoch: u32, cx: &mut Context<'_>, handler: &dyn Handler) -> bool {
        if self.epoch != epoch {
            return false;
        }
        let Some(link) = &mut self.link else { return false };
        link.keep_waker(cx);
        loop {
            // An error shows when receiving, after what arrived before it.
            let flushed = link.carrier.poll_flush(cx).is_ready();
            let now = handler.now();
            if link.note_stall(flushed, now) {
                let at = reachable(now + seconds(limits::STALLED), now);
                if at < self.look_at {
                    self.look_at = at;
                    handler.schedule(session.id, at);
                }
            }
            if self.outbox.is_idle() || self.phase != Phase::Open {
                return true;
            }
            let taken = link.carrier.try_send(self.outbox.waiting()).taken;
            self.outbox.take(taken);
            if session.dialect == Dialect::Published {
                self.outbox.forget(taken, handler.queued());
            }
            if taken == 0 || !flushed {
                return true;
            }
        }
    }
}

/// Whether the peer has ended the session with its connection. A published SDK closes its WebSocket when it disconnects
/// or its page goes.
fn is_for_good(closed: &Closed, dialect: Dialect) -> bool {
    let Closed::ByPeer(close) = closed else { return matches!(closed, Closed::Violated(_)) };
    match dialect {
        Dialect::Native => close.code == 1000,
        Dialect::Published => matches!(close.code, 1000 | 1001 | 1005),
    }
}
