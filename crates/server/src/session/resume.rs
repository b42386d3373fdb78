//! Resumes a session over another connection.

use chatcamp_auth::{
    server::{Dialect, Established},
    session_key::Claims,
};
use chatcamp_protocol::{Code, handshake::Continuity};
use chatcamp_transport::{Connection, Message};
use parking_lot::MutexGuard;

use super::{AuthState, Budget, Detached, Phase, Session, State, link::Link};

/// The position from which a client resumes its session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResumePoint {
    /// The serial number of the session key that the client has.
    pub(crate) serial: u32,
    /// The highest message number that a native client has received, and the highest that it has sent; `None` for a published
    /// client.
    pub(crate) numbers: Option<(u64, u64)>,
}

/// The reason why a session is not resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotResumed {
    /// The key was replaced, or the dialect or the numbers do not fit the session.
    UnknownKey,
    /// Messages that the client has missed are no longer kept, or the session is ending.
    TooLate,
    /// The session was ended while it was detached.
    Ended(Code),
}

/// A session that can be resumed, locked until it has its new connection.
#[derive(Debug)]
pub(crate) struct Resumable<'a> {
    session: &'a Session,
    state: MutexGuard<'a, State>,
    serial: u32,
    /// The number of kept messages that the client has received.
    received: usize,
}

impl Session {
    /// Checks whether the session can be resumed from this position.
    ///
    /// # Errors
    /// [`NotResumed`]; the session is unchanged.
    pub(crate) fn check_resume(&self, hint: ResumePoint) -> Result<Resumable<'_>, NotResumed> {
        let state = self.state.lock();
        // A key of the server never names a session of the other dialect, but a holder of the master keys can make one.
        if hint.numbers.is_some() != (self.dialect == Dialect::Native) {
            return Err(NotResumed::UnknownKey);
        }
        if !(state.keys.oldest..=state.keys.issued).contains(&hint.serial) {
            return Err(NotResumed::UnknownKey);
        }
        match state.phase {
            Phase::Open | Phase::Detached { end_code: None, .. } => {}
            Phase::Detached { end_code: Some(code), .. } => return Err(NotResumed::Ended(code)),
            Phase::Opening | Phase::Closing { .. } | Phase::Over => return Err(NotResumed::TooLate),
        }
        let received = match hint.numbers {
            None => 0,
            Some((seen, sent)) if seen > state.last_sent() || sent < state.received.seen() => {
                return Err(NotResumed::UnknownKey);
            }
            Some((seen, _)) => {
                let missing = usize::try_from(state.sent.last() - seen).unwrap_or(usize::MAX);
                state.outbox.len().checked_sub(missing).ok_or(NotResumed::TooLate)?
            }
        };
        Ok(Resumable { session: self, state, serial: hint.serial, received })
    }
}

impl<'a> Resumable<'a> {
    /// Returns the session.
    pub(crate) fn session(&self) -> &'a Session {
        self.session
    }

    /// Returns the part of the acknowledgement that says how much is replayed.
    pub(crate) fn continuity(&self) -> Continuity {
        Continuity::Resumed {
            replayed: (self.state.outbox.len() - self.received) as u64,
            received: self.state.received.seen(),
        }
    }

    /// Returns the claims of the session's next key.
    pub(crate) fn claims(&self, auth: &AuthState, incarnation: u64, now: u64) -> Claims {
        self.session.claim(self.state.keys.issued.wrapping_add(1), auth, incarnation, now)
    }

    /// Resumes the session over `connection`: sends the acknowledgement, then all messages that the client has missed.
    ///
    /// Returns the number of the connection, and the connection that it replaces.
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
        // The client has used this key, so it needs no older one.
        state.keys.oldest = self.serial;
        state.keys.issued = state.keys.issued.wrapping_add(1);
        state.phase = Phase::Open;
        state.auth = AuthState::by(&established.admission);
        state.last_heard = now;
        state.epoch = state.epoch.wrapping_add(1);
        state.address = connection.info().peer.map(|peer| peer.ip());
        let mut before = state.link.replace(Link::new(connection));
        if let (Dialect::Published, Some(before)) = (self.session.dialect, &mut before) {
            state.outbox.put_back(before.carrier.take_back(), budget);
        }

        state.outbox.take(state.outbox.len() - state.outbox.taken());
        state.outbox.forget(self.received, budget);
        state.outbox.rewind();
        let mut batch = vec![Message::from(ack)];
        batch.extend_from_slice(state.outbox.waiting());
        let link = state.link.as_mut().expect("the new link was stored above");
        // A carrier without buffered messages takes at least the first.
        let taken = link.carrier.try_send(&batch).taken;
        link.count(budget);
        state.outbox.take(taken.saturating_sub(1));
        if self.session.dialect == Dialect::Published {
            state.outbox.forget(taken.saturating_sub(1), budget);
        }
        (state.epoch, before.map(|before| before.into_connection(budget)))
    }
}
