//! How sessions are spoken to, lose their connections, end and are forgotten.

use std::time::Duration;

use chatcamp_auth::{
    server::{self, Ended},
    token::Stamp,
};
use chatcamp_protocol::{Code, limits};
use chatcamp_runtime::{Runtime, timeout};
use chatcamp_transport::{Close, Connection, Message};

use super::Sessions;
use crate::session::{Due, End, Overflow, Parted, Reserved, Session, SessionId, choose};

impl Sessions {
    /// Says something on a session, and whether it is still there to hear; ends it when there is no room for more.
    pub(crate) fn push(&self, session: &Session, message: &Message) -> bool {
        let mut said = session.push(message, &self.queued);
        if said == Err(Overflow::Process) {
            self.reclaim();
            said = session.push(message, &self.queued);
        }
        self.reclaim_if_nearly_full();
        said.unwrap_or_else(|_| {
            self.end(session, Code::SlowConsumer, None);
            false
        })
    }

    /// Ends the sessions that hold most if their budget is nearly full.
    pub(crate) fn reclaim_if_nearly_full(&self) {
        if self.queued.is_nearly_full() {
            self.reclaim();
        }
    }

    /// Frees a part of the sessions' budget (docs/decisions, page 8).
    ///
    /// It looks at what every session holds, which takes a few milliseconds for a hundred thousand of them. A sixteenth of the
    /// budget must fill up before the next time.
    fn reclaim(&self) {
        // One thread does it for all.
        let Some(_reclaiming) = self.reclaiming.try_lock() else { return };
        let sessions = self.registry.all();
        let holdings = sessions.iter().filter_map(|session| Some((session, session.holding(&self.queued)?)));
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
            let is_freed = session.forget_sent(&self.queued)
                || self.evict(session)
                || self.end(session, Code::SlowConsumer, None);
            if !is_freed {
                // It was ending already, and its client has not read that.
                session.abandon(&self.queued);
            }
        }
        self.queued.reclaimed();
    }

    /// Ends a session, and looks again whether its client agreed; false when it was ending already.
    pub(crate) fn end(&self, session: &Session, code: Code, retry_after: Option<Duration>) -> bool {
        self.end_if(session, code, retry_after, None)
    }

    /// The same as long as this stamp vouches for the session.
    pub(crate) fn end_vouched(&self, session: &Session, code: Code, by: Stamp) -> bool {
        self.end_if(session, code, None, Some(by))
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
            End::Already => return false,
            End::Begun => self.watch(session, now + Session::CLOSING),
            End::Gone => self.forget(session),
        }
        true
    }

    /// Ends a session's connection, telling its client to come back and go on; false when it has none.
    pub(crate) fn dismiss(&self, session: &Session, code: Code, retry_after: Option<Duration>) -> bool {
        self.dismiss_connection(session, None, code, retry_after)
    }

    fn dismiss_connection(
        &self,
        session: &Session,
        epoch: Option<u32>,
        code: Code,
        retry_after: Option<Duration>,
    ) -> bool {
        let Some(connection) = self.part(session, epoch) else { return false };
        self.see_off(connection, server::ended(session.dialect, code, retry_after));
        true
    }

    /// Closes, in the background, a connection that no session has any more; at once if there is no memory to wait for it.
    pub(crate) fn see_off(&self, connection: Connection, ended: Ended) {
        let Ok(held) = Reserved::new(&self.closing, connection.buffered().total()) else { return };
        let (task, runtime) = (self.shutdown.enter(), self.runtime.clone());
        self.runtime.spawn(Box::pin(async move {
            close_connection(&*runtime, connection, ended).await;
            drop((held, task));
        }));
    }

    /// Forgets a session whose client begins another; a connection it still has is told.
    pub(crate) fn supersede(&self, session: &Session) {
        let (parted, connection) = session.part(None, self.wheel.now(), &self.detached, &self.queued);
        if parted != Parted::Before {
            self.last_seen.left(session, self.clock.now());
        }
        if parted == Parted::Over || session.give_up(&self.detached, &self.queued) {
            self.forget(session);
        }
        if let Some(connection) = connection {
            self.see_off(connection, server::ended(session.dialect, Code::Replaced, None));
        }
    }

    /// A connection of a session is lost: the session waits for its client, if it is to.
    pub(crate) fn lost(&self, session: &Session, epoch: u32) {
        self.part(session, Some(epoch));
    }

    fn part(&self, session: &Session, epoch: Option<u32>) -> Option<Connection> {
        let (parted, connection) = session.part(epoch, self.wheel.now(), &self.detached, &self.queued);
        match parted {
            Parted::Before => {}
            Parted::Over => {
                self.last_seen.left(session, self.clock.now());
                self.forget(session);
            }
            Parted::Detached => {
                self.last_seen.left(session, self.clock.now());
                self.watch(session, u32::MAX);
                self.bound_detached(session);
            }
        }
        connection
    }

    /// Keeps the sessions without a connection within their bounds.
    fn bound_detached(&self, session: &Session) {
        let most = self.max_detached_per_user;
        let longest = || self.registry.longest_away(&session.app, &session.user, most);
        while longest().is_some_and(|id| self.evict_id(id)) {}
        let oldest = || self.detached.oldest().is_some_and(|id| self.evict_id(id));
        while self.detached.len() > self.max_detached && oldest() {}
    }

    fn evict_id(&self, id: SessionId) -> bool {
        self.registry.get(id).is_some_and(|session| self.evict(&session))
    }

    /// Gives up a session without a connection, to make room; returns `false` if it has one.
    fn evict(&self, session: &Session) -> bool {
        if session.ticket().is_none() {
            return false;
        }
        // Noted first, since its client may come back at any moment.
        self.detached.note_evicted(session.id);
        self.give_up(session)
    }

    /// Lets go of the connections of all sessions at once, and gives up those that have none.
    pub(crate) fn abandon_all(&self) {
        for session in self.registry.all() {
            if !self.give_up(&session) {
                session.abandon(&self.queued);
            }
        }
    }

    /// Gives up every session that has no connection.
    pub(crate) fn give_up_all(&self) {
        for session in self.registry.all() {
            self.give_up(&session);
        }
    }

    /// Gives up a session, unless it has a connection.
    pub(crate) fn give_up(&self, session: &Session) -> bool {
        let gone = session.give_up(&self.detached, &self.queued);
        if gone {
            self.forget(session);
        }
        gone
    }

    /// Lets a session go on until then, in Unix seconds, and no longer.
    pub(crate) fn limit(&self, session: &Session, valid_until: u64) {
        if session.limit(valid_until) {
            self.watch(session, self.wheel.now());
        }
    }

    /// Has a session's deadlines looked at in second `at`, or as soon as the wheel can.
    pub(crate) fn watch(&self, session: &Session, at: u32) {
        if let Some(at) = session.look_by(at, self.wheel.now()) {
            self.wheel.schedule(session.id, at);
        }
    }

    /// Forgets a session that is over.
    fn forget(&self, session: &Session) {
        self.registry.remove(session);
        session.drop_work();
    }

    /// What is due on a session; answers when to ask again.
    pub(crate) fn look(&self, id: SessionId, now: u32, unix_now: u64) -> Option<u32> {
        let session = self.registry.get(id)?;
        match session.on_deadline(now, unix_now) {
            Due::Nothing => return None,
            Due::Later(at) => return Some(at),
            Due::End(code) => _ = self.end(&session, code, None),
            Due::Dismiss(code, epoch) => _ = self.dismiss_connection(&session, Some(epoch), code, None),
            Due::GiveUp => _ = self.give_up(&session),
            Due::Abandon(epoch) => self.lost(&session, epoch),
        }
        None
    }
}

/// Sends the final message, if there is one, and closes; a peer that does not agree in time is cut off.
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
