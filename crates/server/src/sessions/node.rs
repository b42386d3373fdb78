//! Answers the calls of the bus for the sessions of this process.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc, time::Duration};

use chatcamp_protocol::{AppId, Code, UserId};
use chatcamp_transport::Message;

use super::Sessions;
use crate::{
    bus::{EndMode, Node, PublishOutcome, Recipients, SessionList, SessionRef},
    session::{PushOutcome, Session, SessionId, SessionInfo},
};

/// Sessions that an event is sent to before other tasks run.
const BATCH: usize = 256;
/// The shortest wait of a client that is told to reconnect; spread up to twice this.
const RECONNECT: Duration = Duration::from_millis(500);

impl Node for Sessions {
    async fn publish(&self, app: &AppId, to: &Recipients, messages: &[Message]) -> PublishOutcome {
        let mut published = PublishOutcome::default();
        for (sent, session) in (1..).zip(self.recipients(app, to)) {
            match self.push_all(&session, messages) {
                PushOutcome::Delivered => published.delivered += 1,
                PushOutcome::Queued => published.queued += 1,
                PushOutcome::Ending => {}
            }
            if sent % BATCH == 0 {
                tokio::task::yield_now().await;
            }
        }
        published
    }

    fn sessions(&self, app: &AppId, user: Option<&UserId>, most: usize) -> SessionList {
        let mut sessions = self.of(app, user);
        sessions.retain(|session| session.is_live());
        let total = sessions.len();
        sessions.sort_unstable_by_key(|session| (Reverse(session.since()), session.id.number()));
        let newest = sessions.iter().take(most).filter_map(|session| self.info(session));
        SessionList { total, newest: newest.collect() }
    }

    fn end_session(&self, app: &AppId, id: SessionRef, mode: EndMode) -> bool {
        if id.incarnation != self.incarnation {
            return false;
        }
        let session = self.registry.get(SessionId::from_number(id.number));
        session.filter(|session| session.app == *app).is_some_and(|session| self.end_as(&session, mode))
    }

    fn end_sessions(&self, app: &AppId, user: &UserId, mode: EndMode) -> usize {
        let sessions = self.registry.of_user(app, user);
        sessions.iter().filter(|session| self.end_as(session, mode)).count()
    }

    fn is_online(&self, app: &AppId, user: &UserId) -> bool {
        self.registry.is_online(app, user)
    }

    fn online_users(&self, app: &AppId, after: Option<&UserId>) -> Vec<UserId> {
        let sessions = self.of(app, None);
        let users = sessions.iter().filter(|session| session.is_live()).map(|session| &session.user);
        let users: BTreeSet<_> = users.filter(|user| after.is_none_or(|after| *user > after)).collect();
        users.into_iter().cloned().collect()
    }
}

impl Sessions {
    fn info(&self, session: &Session) -> Option<SessionInfo> {
        let id = SessionRef { incarnation: self.incarnation, number: session.id.number() };
        session.info(id.to_string(), self.wheel.now(), self.clock.now())
    }

    fn end_as(&self, session: &Session, mode: EndMode) -> bool {
        match mode {
            EndMode::Reconnect => self.end_connection(session, Code::Reconnect, Some(self.spread(RECONNECT))),
            EndMode::Disconnect => self.end(session, Code::Disconnected, None),
        }
    }

    /// Returns each session of the recipients once. The sessions of one user are in the order in which they began.
    fn recipients(&self, app: &AppId, to: &Recipients) -> Vec<Arc<Session>> {
        match to {
            Recipients::All => self.of(app, None),
            Recipients::Users(users) => {
                let mut users: Vec<_> = users.iter().collect();
                users.sort_unstable();
                users.dedup();
                users.into_iter().flat_map(|user| self.registry.of_user(app, user)).collect()
            }
        }
    }

    /// Returns the sessions of an app, or of one of its users.
    fn of(&self, app: &AppId, user: Option<&UserId>) -> Vec<Arc<Session>> {
        match user {
            Some(user) => self.registry.of_user(app, user),
            None => self.registry.all().into_iter().filter(|session| session.app == *app).collect(),
        }
    }
}
