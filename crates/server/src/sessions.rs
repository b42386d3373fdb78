//! What operators and backends see of live sessions, and do to them.

use std::{cmp::Reverse, net::IpAddr, sync::Arc, time::Duration};

use chatcamp_protocol::{AppId, Code, UserId, envelope, limits};
use serde::Serialize;
use serde_json::Value;

use crate::{Server, server::Shared, session::Session};

/// Sessions that are told before other tasks get their turn.
const BATCH: usize = 256;
/// How long a client that is to come back waits first; spread up to twice this.
const COME_BACK: Duration = Duration::from_millis(500);

/// A live session, as its operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    /// Names it, as long as this process lives.
    pub id: String,
    /// Whose it is.
    pub user: UserId,
    /// The name of the transport it is on, such as `websocket`.
    pub transport: &'static str,
    /// The network address it comes from, where there is one.
    pub address: Option<IpAddr>,
    /// When it began, in Unix seconds.
    pub since: u64,
    /// When its client was last heard, in Unix seconds.
    pub last_seen: u64,
}

/// Whom an event is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// The app's users who are there.
    All,
    /// These users; one named twice is told once.
    Users(Vec<UserId>),
}

/// Why an event was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The type is no type.
    #[error("this is not 1 to {} characters of a-z 0-9 . _ -", limits::EVENT_TYPE)]
    InvalidType,
    /// The event is too large.
    #[error("an event has at most {} bytes", limits::EVENT)]
    TooLarge,
}

/// `app.event.pub`, as clients get it.
#[derive(Serialize)]
struct Event<'a> {
    ok: bool,
    r#type: &'a str,
    data: &'a Value,
}

impl Server {
    /// The live sessions of an app, or of one of its users, in no order that lasts.
    #[must_use]
    pub fn sessions(&self, app: &AppId, user: Option<&UserId>) -> Vec<SessionInfo> {
        self.shared.sessions(app, user)
    }

    /// How many live sessions there are of an app, or of one of its users, and the newest of them, at most `most`.
    #[must_use]
    pub fn newest_sessions(
        &self,
        app: &AppId,
        user: Option<&UserId>,
        most: usize,
    ) -> (usize, Vec<SessionInfo>) {
        self.shared.newest_sessions(app, user, most)
    }

    /// Ends one session, or only its connection when its client is to come back; false when the app has no such session.
    pub fn end_session(&self, app: &AppId, id: &str, come_back: bool) -> bool {
        self.shared.end_session(app, id, come_back)
    }

    /// Ends all sessions of a user, or only their connections when they are to come back; answers how many there were.
    pub fn end_sessions(&self, app: &AppId, user: &UserId, come_back: bool) -> usize {
        self.shared.end_sessions(app, user, come_back)
    }

    /// Tells every session of the recipients of an event; answers how many have it, or have it queued.
    ///
    /// # Errors
    /// [`PublishError`], when nobody was told.
    ///
    /// # Cancel safety
    /// Dropping the future leaves some told and others not.
    pub async fn publish(
        &self,
        app: &AppId,
        to: &Recipients,
        kind: &str,
        data: &Value,
    ) -> Result<usize, PublishError> {
        self.shared.publish(app, to, kind, data).await
    }
}

impl Shared {
    pub(crate) fn sessions(&self, app: &AppId, user: Option<&UserId>) -> Vec<SessionInfo> {
        let (now, unix_now) = (self.wheel.now(), self.clock.now());
        self.sessions_of(app, user).iter().filter_map(|session| session.info(now, unix_now)).collect()
    }

    pub(crate) fn newest_sessions(
        &self,
        app: &AppId,
        user: Option<&UserId>,
        most: usize,
    ) -> (usize, Vec<SessionInfo>) {
        let mut sessions = self.sessions_of(app, user);
        sessions.retain(|session| session.is_live());
        let count = sessions.len();
        sessions.sort_unstable_by_key(|session| (Reverse(session.since()), session.id.number()));
        let (now, unix_now) = (self.wheel.now(), self.clock.now());
        let newest = sessions.iter().take(most).filter_map(|session| session.info(now, unix_now));
        (count, newest.collect())
    }

    pub(crate) fn end_session(&self, app: &AppId, id: &str, come_back: bool) -> bool {
        let session = Session::id_from_text(id).and_then(|id| self.registry.get(id));
        let found = session.filter(|session| session.app == *app);
        found.is_some_and(|session| self.send_away(&session, come_back))
    }

    pub(crate) fn end_sessions(&self, app: &AppId, user: &UserId, come_back: bool) -> usize {
        let sessions = self.registry.of_user(app, user);
        sessions.iter().filter(|session| self.send_away(session, come_back)).count()
    }

    fn send_away(&self, session: &Session, come_back: bool) -> bool {
        match come_back {
            true => self.dismiss(session, Code::Reconnect, Some(self.spread(COME_BACK))),
            false => self.end(session, Code::Disconnected, None),
        }
    }

    pub(crate) async fn publish(
        &self,
        app: &AppId,
        to: &Recipients,
        kind: &str,
        data: &Value,
    ) -> Result<usize, PublishError> {
        let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if kind.is_empty() || kind.len() > limits::EVENT_TYPE || !kind.bytes().all(is_good) {
            return Err(PublishError::InvalidType);
        }
        let text = envelope::push("app.event.pub", &Event { ok: true, r#type: kind, data });
        if text.len() > limits::EVENT {
            return Err(PublishError::TooLarge);
        }
        let mut delivered = 0;
        for (told, session) in (1..).zip(self.recipients(app, to)) {
            delivered += usize::from(self.push(&session, &text));
            if told % BATCH == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(delivered)
    }

    /// Each session once, those of one user in the order they joined.
    fn recipients(&self, app: &AppId, to: &Recipients) -> Vec<Arc<Session>> {
        match to {
            Recipients::All => self.sessions_of(app, None),
            Recipients::Users(users) => {
                let mut users: Vec<_> = users.iter().collect();
                users.sort_unstable();
                users.dedup();
                users.into_iter().flat_map(|user| self.registry.of_user(app, user)).collect()
            }
        }
    }

    fn sessions_of(&self, app: &AppId, user: Option<&UserId>) -> Vec<Arc<Session>> {
        match user {
            Some(user) => self.registry.of_user(app, user),
            None => self.registry.all().into_iter().filter(|session| session.app == *app).collect(),
        }
    }
}
