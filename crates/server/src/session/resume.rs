//! How a session goes on over another connection.

use chatcamp_auth::{
    server::{Dialect, Established},
    session_key::Claims,
};
use chatcamp_protocol::{Code, handshake::Continuity};
use chatcamp_transport::{Connection, Message};
use parking_lot::MutexGuard;

use super::{Budget, Detached, Phase, Session, State, Vouched, link::Link};

/// What a client that comes back says of its session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint {
    /// Which of the session's keys it has.
    pub(crate) serial: u32,
    /// Native: the highest number of the server's it has seen, and of its own that it has sent.
    pub(crate) numbers: Option<(u64, u64)>,
}

/// Why a session does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotResumed {
    /// The key was replaced, or what is said of the session cannot be.
    UnknownKey,
    /// What the client missed is no longer kept, or the session is ending.
    TooLate,
    /// The session was ended while its client was away.
    Ended(Code),
}

/// A session that can go on, locked until it has its new connection.
#[derive(Debug)]
pub(crate) struct TakeUp<'a> {
    session: &'a Session,
    state: MutexGuard<'a, State>,
    serial: u32,
    /// How many messages the client has of those that are kept.
    arrived: usize,
}

impl Session {
    /// Checks whether the session can go on for a client that says this.
    ///
    /// # Errors
    /// [`NotResumed`]; the session is as it was.
    pub(crate) fn take_up(&self, hint: Hint) -> Result<TakeUp<'_>, NotResumed> {
        let state = self.state.lock();
        if !(state.keys.oldest..=state.keys.issued).contains(&hint.serial) {
            return Err(NotResumed::UnknownKey);
        }
        match state.phase {
            Phase::Open | Phase::Detached { sentence: None, .. } => {}
            Phase::Detached { sentence: Some(code), .. } => return Err(NotResumed::Ended(code)),
            Phase::Greeting | Phase::Closing { .. } | Phase::Over => return Err(NotResumed::TooLate),
        }
        let arrived = match hint.numbers {
            None => 0,
            Some((seen, sent)) if seen > state.said() || sent < state.received.seen() => {
                return Err(NotResumed::UnknownKey);
            }
            Some((seen, _)) => {
                let missing = usize::try_from(state.sent.last() - seen).unwrap_or(usize::MAX);
                state.outbox.len().checked_sub(missing).ok_or(NotResumed::TooLate)?
            }
        };
        Ok(TakeUp { session: self, state, serial: hint.serial, arrived })
    }
}

impl<'a> TakeUp<'a> {
    /// The session.
    pub(crate) fn session(&self) -> &'a Session {
        self.session
    }

    /// What the client is told of the session.
    pub(crate) fn continuity(&self) -> Continuity {
        Continuity::Resumed {
            replayed: (self.state.outbox.len() - self.arrived) as u64,
            received: self.state.received.seen(),
        }
    }

    /// What the session's next key claims.
    pub(crate) fn claims(&self, vouched: &Vouched, incarnation: u64, now: u64) -> Claims {
        self.session.claim(self.state.keys.issued.wrapping_add(1), vouched, incarnation, now)
    }

    /// Goes on over `connection`: first the acknowledgement, then all that the client has missed.
    ///
    /// Answers which connection of the session it is, and gives back the one before.
    pub(crate) fn attach(
        mut self,
        established: &Established,
        connection: Connection,
        ack: String,
        now: u32,
        detached: &Detached,
        budget: &Budget,
    ) -> (u32, Option<Connection>) {
        debug_assert_eq!(established.dialect, self.session.dialect);
        let state = &mut *self.state;
        if let Phase::Detached { ticket, .. } = state.phase {
            detached.remove(ticket);
        }
        // Whoever uses a key has it: the older ones are done with.
        state.keys.oldest = self.serial;
        state.keys.issued = state.keys.issued.wrapping_add(1);
        state.phase = Phase::Open;
        state.vouched = Vouched::by(&established.admission);
        state.heard = now;
        state.epoch = state.epoch.wrapping_add(1);
        state.address = connection.info().peer.map(|peer| peer.ip());
        let mut before = state.link.replace(Link::new(connection));
        if let (Dialect::Published, Some(before)) = (self.session.dialect, &mut before) {
            state.outbox.put_back(before.carrier.take_back(), budget);
        }

        state.outbox.take(state.outbox.len() - state.outbox.taken());
        state.outbox.forget(self.arrived, budget);
        state.outbox.rewind();
        let mut batch = vec![Message::from(ack)];
        batch.extend_from_slice(state.outbox.waiting());
        let link = state.link.as_mut().expect("it was put there just now");
        // A carrier with nothing buffered takes the first at least.
        let taken = link.carrier.try_send(&batch).taken;
        link.count(budget);
        state.outbox.take(taken.saturating_sub(1));
        if self.session.dialect == Dialect::Published {
            state.outbox.forget(taken.saturating_sub(1), budget);
        }
        (state.epoch, before.map(|before| before.into_connection(budget)))
    }
}
