//! A session's connection, for as long as it has this one.

use std::{
    net::IpAddr,
    slice,
    task::{Context, Poll, Waker},
};

use chatcamp_auth::server::Dialect;
use chatcamp_protocol::limits;
use chatcamp_transport::{Carrier, Closed, Connection, ConnectionInfo, Message};

use super::{Budget, Detached, Phase, Session, State, seconds};

/// A connection, taken apart.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) carrier: Box<dyn Carrier>,
    pub(super) transport: &'static str,
    pub(super) address: Option<IpAddr>,
    /// The driver's waker, once it has waited.
    driver: Option<Waker>,
    arrivals: u32,
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
        let (transport, address) = (info.transport, info.peer.map(|peer| peer.ip()));
        let arrivals = carrier.arrivals();
        Self { carrier, transport, address, driver: None, arrivals }
    }

    /// The connection, to take leave of.
    pub(super) fn into_connection(self) -> Connection {
        self.wake();
        Connection::from_parts(self.carrier, ConnectionInfo::new(self.transport))
    }

    /// Whether the carrier takes the message.
    pub(super) fn try_send(&mut self, message: &Message) -> bool {
        let sent = self.carrier.try_send(slice::from_ref(message));
        if !sent.flushed {
            self.wake();
        }
        sent.taken == 1
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

impl Session {
    /// Flushes, then takes the next message of connection `epoch`.
    pub(super) fn poll_next(
        &self,
        epoch: u32,
        cx: &mut Context<'_>,
        now: u32,
        budget: &Budget,
    ) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.phase == Phase::Over || !state.flush(epoch, self.dialect, cx, budget) {
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
            *heard = now;
        }
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
    pub(super) fn poll_flush(&self, epoch: u32, cx: &mut Context<'_>, budget: &Budget) {
        let mut state = self.state.lock();
        if state.flush(epoch, self.dialect, cx, budget) {
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
                return (Parted::Over, Some(link.into_connection()));
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
        (Parted::Detached, Some(link.into_connection()))
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
    /// Moves what waits to connection `epoch`, as far as there is room, and its bytes to the network; false when the
    /// session has another one, or none.
    fn flush(&mut self, epoch: u32, dialect: Dialect, cx: &mut Context<'_>, budget: &Budget) -> bool {
        if self.epoch != epoch {
            return false;
        }
        let Some(link) = &mut self.link else { return false };
        link.keep_waker(cx);
        loop {
            // An error shows when receiving, after what arrived before it.
            let flushed = link.carrier.poll_flush(cx).is_ready();
            if self.outbox.is_idle() || self.phase != Phase::Open {
                return true;
            }
            let taken = link.carrier.try_send(self.outbox.waiting()).taken;
            self.outbox.take(taken);
            if dialect == Dialect::Published {
                self.outbox.forget(taken, budget);
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
