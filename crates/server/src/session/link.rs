//! The current connection of a session.

use std::task::{Context, Poll, Waker};

use chatcamp_auth::server::Dialect;
use chatcamp_protocol::limits;
use chatcamp_transport::{Carrier, Closed, Connection, ConnectionInfo, Message};

use super::{Budget, Detached, Handler, Phase, Session, State, reachable, seconds};

/// The parts of a connection that a session keeps.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) carrier: Box<dyn Carrier>,
    pub(super) transport: &'static str,
    /// The driver's waker; `None` until the driver has waited once.
    driver: Option<Waker>,
    arrivals: u32,
    /// The bytes that the budget counts for the carrier's memory.
    counted: u32,
    /// The unsent bytes in the carrier when it last could not flush.
    unsent: u32,
    /// The second since which the peer has taken none of those bytes; `None` if nothing is unsent.
    pub(super) stalled_since: Option<u32>,
}

/// The next step of a connection's driver.
#[derive(Debug)]
pub(super) enum Next {
    /// Handle this message.
    Message(Message),
    /// Stop: the connection ended, or the session no longer uses it.
    Stop,
}

/// The outcome of detaching a session from a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detachment {
    /// The session does not use this connection: it has another one, or none.
    NotAttached,
    /// The session waits for its client to resume it.
    Detached,
    /// The session is over.
    Over,
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        let (carrier, info) = connection.into_parts();
        let arrivals = carrier.arrivals();
        let transport = info.transport;
        Self { carrier, transport, driver: None, arrivals, counted: 0, unsent: 0, stalled_since: None }
    }

    /// Returns the connection, to be closed. Wakes its driver, which then stops.
    pub(super) fn into_connection(self, budget: &Budget) -> Connection {
        budget.count_carried(0, self.counted());
        self.wake();
        Connection::from_parts(self.carrier, ConnectionInfo::new(self.transport))
    }

    /// Sends messages; returns how many of them, from the front, the carrier took.
    pub(super) fn try_send(&mut self, messages: &[Message], budget: &Budget) -> usize {
        let mut taken = 0;
        while taken < messages.len() {
            let sent = self.carrier.try_send(&messages[taken..]);
            taken += sent.taken;
            if !sent.flushed {
                self.wake();
            }
            // A carrier that has ended takes nothing, and has nothing to flush.
            if !sent.flushed || sent.taken == 0 {
                break;
            }
        }
        self.count(budget);
        taken
    }

    /// Updates the budget to the memory that the carrier holds now.
    pub(super) fn count(&mut self, budget: &Budget) {
        let held = saturating_u32(self.carrier.buffered().total());
        budget.count_carried(held as usize, self.counted());
        self.counted = held;
    }

    /// Returns the bytes that the budget counts for the carrier's memory.
    pub(super) fn counted(&self) -> usize {
        self.counted as usize
    }

    /// Notes whether the carrier has sent all its bytes. Returns `true` if the peer has just stopped taking them.
    fn note_stall(&mut self, is_flushed: bool, now: u32) -> bool {
        if is_flushed {
            self.stalled_since = None;
            return false;
        }
        let unsent = saturating_u32(self.carrier.buffered().outgoing);
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
            None => self.driver = Some(cx.waker().clone()),
        }
    }
}

/// Returns the number as `u32`, or `u32::MAX` if it is larger.
fn saturating_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Session {
    /// Flushes connection `epoch`, then receives its next message.
    pub(super) fn poll_next(&self, epoch: u32, cx: &mut Context<'_>, handler: &dyn Handler) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.phase == Phase::Over || !state.flush(self, epoch, cx, handler) {
            return Poll::Ready(Next::Stop);
        }
        let State { link: Some(link), last_heard, phase, is_busy, .. } = &mut *state else {
            return Poll::Ready(Next::Stop);
        };
        *is_busy = false;
        let received = link.carrier.poll_recv(cx);
        let arrivals = link.carrier.arrivals();
        if arrivals != link.arrivals {
            link.arrivals = arrivals;
            *last_heard = handler.now();
        }
        link.count(handler.queued());
        match received {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(message)) => Poll::Ready(Next::Message(message)),
            Poll::Ready(Err(closed)) => {
                tracing::debug!(app = %self.app, user = %self.user, %closed, "a connection ended");
                // Not every transport tells whether the close reached the peer, so a client that resumes is told again.
                let may_be_unaware = matches!(phase, Phase::Closing { end_code: Some(_), .. });
                if !may_be_unaware && (*phase != Phase::Open || ends_session(&closed, self.dialect)) {
                    *phase = Phase::Over;
                }
                Poll::Ready(Next::Stop)
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

    /// Detaches the session from connection `epoch`, or from any connection if that is `None`. Returns the connection, which may
    /// still be open.
    ///
    /// An open session becomes detached, and so does an ending one whose client must be told the code. Any other session is over.
    pub(crate) fn detach(
        &self,
        epoch: Option<u32>,
        now: u32,
        detached: &Detached,
        budget: &Budget,
    ) -> (Detachment, Option<Connection>) {
        let mut state = self.state.lock();
        if epoch.is_some_and(|epoch| epoch != state.epoch) {
            return (Detachment::NotAttached, None);
        }
        let Some(mut link) = state.link.take() else { return (Detachment::NotAttached, None) };
        let end_code = match state.phase {
            Phase::Open => None,
            Phase::Closing { end_code: Some(code), .. } => Some(code),
            _ => {
                state.phase = Phase::Over;
                state.outbox.clear(budget);
                return (Detachment::Over, Some(link.into_connection(budget)));
            }
        };
        let kept = match self.dialect {
            Dialect::Native => limits::KEPT_NATIVE,
            Dialect::Published => limits::KEPT_PUBLISHED,
        };
        if end_code.is_none() && self.dialect == Dialect::Published {
            state.outbox.put_back(link.carrier.take_back(), budget);
        }
        let (until, ticket) = (now + seconds(kept), detached.add(self.id));
        state.phase = Phase::Detached { until, ticket, end_code };
        (Detachment::Detached, Some(link.into_connection(budget)))
    }

    /// Ends a detached session. Returns `false` if it is not detached.
    pub(crate) fn end_detached(&self, detached: &Detached, budget: &Budget) -> bool {
        let mut state = self.state.lock();
        let Phase::Detached { ticket, .. } = state.phase else { return false };
        detached.remove(ticket);
        state.phase = Phase::Over;
        state.outbox.clear(budget);
        true
    }
}

impl State {
    /// Moves queued messages to connection `epoch` while it has room, and flushes it. Returns `false` if the session has another
    /// connection, or none.
    fn flush(&mut self, session: &Session, epoch: u32, cx: &mut Context<'_>, handler: &dyn Handler) -> bool {
        if self.epoch != epoch {
            return false;
        }
        let Some(link) = &mut self.link else { return false };
        link.keep_waker(cx);
        loop {
            // An error is reported when receiving, after the messages that arrived before it.
            let flushed = link.carrier.poll_flush(cx).is_ready();
            let now = handler.now();
            if link.note_stall(flushed, now) {
                let at = reachable(now + seconds(limits::STALLED), now);
                if at < self.next_check {
                    self.next_check = at;
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

/// Returns whether the peer has ended the session by closing its connection. A published SDK closes its WebSocket when it
/// disconnects or its page unloads.
fn ends_session(closed: &Closed, dialect: Dialect) -> bool {
    let Closed::ByPeer(close) = closed else { return matches!(closed, Closed::Violated(_)) };
    match dialect {
        Dialect::Native => close.code == 1000,
        Dialect::Published => matches!(close.code, 1000 | 1001 | 1005),
    }
}
