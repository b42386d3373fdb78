//! Sends to sessions, detaches them from their connections, ends them and removes them.

use std::{slice, time::Duration};

use chatcamp_auth::{
    server::{self, Ended},
    token::Stamp,
};
use chatcamp_protocol::{Code, limits};
use chatcamp_runtime::{Runtime, timeout};
use chatcamp_transport::{Close, Connection, Message};

use super::Sessions;
use crate::{
    activity,
    session::{Detachment, Due, EndOutcome, Overflow, PushOutcome, Reserved, Session, SessionId, choose},
};

impl Sessions {
    /// Sends a message. Ends the session if its queue is full.
    pub(crate) fn push(&self, session: &Session, message: &Message) -> PushOutcome {
        self.push_all(session, slice::from_ref(message))
    }

    /// Sends messages, in one write if possible. Ends the session if its queue is full.
    pub(crate) fn push_all(&self, session: &Session, mut messages: &[Message]) -> PushOutcome {
        let mut pushed = session.push(&mut messages, &self.queued);
        if pushed == Err(Overflow::Process) {
            self.reclaim();
            pushed = session.push(&mut messages, &self.queued);
        }
        self.reclaim_if_nearly_full();
        pushed.unwrap_or_else(|_| {
            self.end(session, Code::SlowConsumer, None);
            PushOutcome::Ending
        })
    }

    /// Frees memory of the sessions that hold most if their budget is nearly full.
    pub(crate) fn reclaim_if_nearly_full(&self) {
        if self.queued.is_nearly_full() {
            self.reclaim();
        }
    }

    /// Frees a part of the sessions' budget (docs/decisions, page 8).
    ///
    /// Reads the memory of every session, which takes a few milliseconds for a hundred thousand of them. It runs again only after
    /// another sixteenth of the budget was used.
    fn reclaim(&self) {
        // One thread is enough.
        let Some(_reclaiming) = self.reclaiming.try_lock() else { return };
        let sessions = self.registry.all();
        let holdings = sessions
            .iter()
            .filter_map(|session| Some((session, session.holding(&self.queued, &self.proxies)?)));
        let (holders, holdings): (Vec<_>, Vec<_>) = holdings.unzip();
        let chosen = choose(&holdings, self.queued.total());
        if !chosen.is_empty() {
            tracing::debug!(
                sessions = chosen.len(),
                "the queues of all sessions are nearly full; freeing the largest"
            );
        }
        for n in chosen {
            let session = holders[n];
            let is_freed = session.drop_unacknowledged(&self.queued)
                || self.evict(session)
                || self.end(session, Code::SlowConsumer, None);
            if !is_freed {
                // The session was already ending, and its client has not read the close.
                session.abort(&self.queued);
            }
        }
        self.queued.reclaimed();
    }

    /// Ends a session and schedules a check that its client confirmed the close. Returns `false` if it was already ending.
    pub(crate) fn end(&self, session: &Session, code: Code, retry_after: Option<Duration>) -> bool {
        self.end_if(session, code, retry_after, None)
    }

    /// Does the same if the session's credential still has this stamp.
    pub(crate) fn end_if_stamp(&self, session: &Session, code: Code, stamp: Stamp) -> bool {
        self.end_if(session, code, None, Some(stamp))
    }

    fn end_if(
        &self,
        session: &Session,
        code: Code,
        retry_after: Option<Duration>,
        only: Option<Stamp>,
    ) -> bool {
        let now = self.wheel.now();
        match session.end(code, retry_after, only, now, &self.detached, &self.queued) {
            EndOutcome::AlreadyEnding => return false,
            EndOutcome::Ending => self.schedule_check(session, now + Session::CLOSING),
            EndOutcome::Over => self.remove(session),
        }
        true
    }

    /// Ends a session's connection and tells its client to resume the session. Returns `false` if it has no connection.
    pub(crate) fn end_connection(
        &self,
        session: &Session,
        code: Code,
        retry_after: Option<Duration>,
    ) -> bool {
        self.end_connection_of(session, None, code, retry_after)
    }

    fn end_connection_of(
        &self,
        session: &Session,
        epoch: Option<u32>,
        code: Code,
        retry_after: Option<Duration>,
    ) -> bool {
        let Some(connection) = self.detach(session, epoch) else { return false };
        self.close_in_background(connection, server::ended(session.dialect, code, retry_after));
        true
    }

    /// Closes a connection, detached from its session, in the background. Drops it at once if the budget for such connections is
    /// used up.
    pub(crate) fn close_in_background(&self, connection: Connection, ended: Ended) {
        let Ok(held) = Reserved::new(&self.closing, connection.buffered().total()) else { return };
        let task = self.shutdown.enter();
        let runtime = self.runtime.clone();
        self.runtime.spawn(Box::pin(async move {
            close_connection(&*runtime, connection, ended).await;
            drop((held, task));
        }));
    }

    /// Removes a session whose client begins another one. Closes the connection that it may still have.
    pub(crate) fn supersede(&self, session: &Session) {
        let (detachment, connection) = session.detach(None, self.wheel.now(), &self.detached, &self.queued);
        if detachment != Detachment::NotAttached {
            self.last_seen.note(session, self.clock.now());
        }
        if detachment == Detachment::Over || session.end_detached(&self.detached, &self.queued) {
            self.remove(session);
        }
        if let Some(connection) = connection {
            self.close_in_background(connection, server::ended(session.dialect, Code::Replaced, None));
        }
    }

    /// Detaches a session from connection `epoch`, which is lost.
    pub(crate) fn lost(&self, session: &Session, epoch: u32) {
        self.detach(session, Some(epoch));
    }

    /// Detaches a session from connection `epoch`, or from any connection if that is `None`. Returns the connection.
    fn detach(&self, session: &Session, epoch: Option<u32>) -> Option<Connection> {
        let (detachment, connection) = session.detach(epoch, self.wheel.now(), &self.detached, &self.queued);
        match detachment {
            Detachment::NotAttached => {}
            Detachment::Over => {
                activity::disconnected(&session.app, &session.user);
                self.last_seen.note(session, self.clock.now());
                self.remove(session);
            }
            Detachment::Detached => {
                if activity::is_reported() && session.can_be_resumed() {
                    activity::connection_lost(&session.app, &session.user);
                }
                self.last_seen.note(session, self.clock.now());
                self.schedule_check(session, u32::MAX);
                self.bound_detached(session);
            }
        }
        connection
    }

    /// Evicts detached sessions until their number is within the limits of the user and of the process.
    fn bound_detached(&self, session: &Session) {
        let limit = self.max_detached_per_user;
        let excess = || self.registry.oldest_detached(&session.app, &session.user, limit);
        while excess().is_some_and(|id| self.evict_id(id)) {}
        let evict_oldest = || self.detached.oldest().is_some_and(|id| self.evict_id(id));
        while self.detached.len() > self.max_detached && evict_oldest() {}
    }

    fn evict_id(&self, id: SessionId) -> bool {
        self.registry.get(id).is_some_and(|session| self.evict(&session))
    }

    /// Evicts a detached session. Returns `false` if it is not detached.
    fn evict(&self, session: &Session) -> bool {
        if session.ticket().is_none() {
            return false;
        }
        // Noted first, since its client may resume at any moment.
        self.detached.note_evicted(session.id);
        self.end_detached(session)
    }

    /// Ends all sessions and drops their connections at once, without a close.
    pub(crate) fn abort_all(&self) {
        for session in self.registry.all() {
            if !self.end_detached(&session) {
                session.abort(&self.queued);
            }
        }
    }

    /// Ends every detached session.
    pub(crate) fn end_all_detached(&self) {
        for session in self.registry.all() {
            self.end_detached(&session);
        }
    }

    /// Ends a detached session. Returns `false` if it is not detached.
    pub(crate) fn end_detached(&self, session: &Session) -> bool {
        let has_ended = session.end_detached(&self.detached, &self.queued);
        if has_ended {
            self.remove(session);
        }
        has_ended
    }

    /// Makes a session's credential expire at `valid_until`, in Unix seconds, unless it expires earlier.
    pub(crate) fn limit(&self, session: &Session, valid_until: u64) {
        if session.limit(valid_until) {
            self.schedule_check(session, self.wheel.now());
        }
    }

    /// Schedules a check of a session's deadlines at second `at`, or as near to it as the wheel can.
    pub(crate) fn schedule_check(&self, session: &Session, at: u32) {
        if let Some(at) = session.check_by(at, self.wheel.now()) {
            self.wheel.schedule(session.id, at);
        }
    }

    /// Removes a session that is over.
    fn remove(&self, session: &Session) {
        debug_assert!(
            session.holding(&self.queued, &self.proxies).is_none(),
            "a session that is over has freed its memory"
        );
        self.registry.remove(session);
        session.drop_work();
    }

    /// Checks a session's deadlines and acts on them. Returns the second of the next check; `None` if no check is to be scheduled.
    pub(crate) fn check_deadlines(&self, id: SessionId, now: u32, unix_now: u64) -> Option<u32> {
        let session = self.registry.get(id)?;
        match session.on_deadline(now, unix_now) {
            Due::Nothing => return None,
            Due::Later(at) => return Some(at),
            Due::End(code) => _ = self.end(&session, code, None),
            Due::EndConnection(code, epoch) => _ = self.end_connection_of(&session, Some(epoch), code, None),
            Due::EndDetached => {
                let is_expired = session.can_be_resumed();
                if self.end_detached(&session) && is_expired {
                    activity::expired(&session.app, &session.user);
                }
            }
            Due::Abort(epoch) => self.lost(&session, epoch),
        }
        None
    }
}

/// Sends the final message, if there is one, and closes the connection. Drops it if the peer does not confirm in time.
pub(crate) async fn close_connection(runtime: &dyn Runtime, mut connection: Connection, ended: Ended) {
    let close = Close::new(ended.code.number(), ended.code.reason());
    let closing = async {
        if let Some(message) = ended.final_message {
            connection.send(Message::from(message)).await.ok()?;
        }
        Some(connection.close(close).await)
    };
    _ = timeout(runtime, limits::CLOSING, closing).await;
}
