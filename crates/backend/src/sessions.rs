//! Publishes events to live sessions, lists and ends them.

use std::net::IpAddr;

use chatcamp_protocol::UserId;
use serde::{Deserialize, Serialize};

use crate::{
    Backend, Error,
    retry::Repeat,
    users::{NoFields, WithId},
};

/// A live session of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// The id, valid while the session lives.
    pub id: String,
    /// The transport, such as `websocket` or `long-poll`.
    pub transport: String,
    /// The network address of the client, if known.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The start of the session, in Unix seconds.
    pub since: u64,
    /// When the client last sent something, in Unix seconds.
    pub last_seen: u64,
}

/// The sessions that took an event. A user without sessions counts in neither number, and does not get the event later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct PublishOutcome {
    /// Sessions with an open connection, to which the event was handed. The client may not have read it yet.
    pub delivered: u64,
    /// Detached sessions, which keep the event for a client that may come back.
    pub queued: u64,
}

/// Which sessions to end, and whether their clients reconnect. By default all sessions of the user, without reconnecting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Disconnect {
    /// Only the session with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whether the clients should reconnect.
    pub come_back: bool,
}

#[derive(Deserialize)]
struct Sessions {
    sessions: Vec<Session>,
}

#[derive(Deserialize)]
struct Ended {
    ended: u64,
}

#[derive(Serialize)]
struct Event<'a, W, D> {
    #[serde(flatten)]
    to: W,
    r#type: &'a str,
    data: &'a D,
}

#[derive(Serialize)]
struct One {
    id: UserId,
}

#[derive(Serialize)]
struct Several {
    ids: Vec<UserId>,
}

#[derive(Serialize)]
struct ToAll {
    to: All,
}

#[derive(Serialize)]
struct All {
    all: bool,
}

impl Backend {
    /// Lists the live sessions of a user.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](crate::code::USER_NOT_FOUND). For a user without sessions, returns an empty list.
    ///
    /// # Cancel safety
    /// Cancel safe: the call only reads.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// for session in chat.sessions("alice").await? {
    ///     println!("{} over {}", session.id, session.transport);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sessions(&self, id: impl AsRef<str>) -> Result<Vec<Session>, Error> {
        let id = UserId::new(id)?;
        let fields = WithId { id: &id, fields: NoFields {} };
        let Sessions { sessions } = self.call("users.sessions", Repeat::Idempotent, &fields).await?;
        Ok(sessions)
    }

    /// Ends live sessions of a user and returns their number.
    ///
    /// The call is retried only if the server certainly did not run it: a retry could end sessions opened since.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](crate::code::USER_NOT_FOUND). For a user without such sessions, returns 0.
    ///
    /// # Cancel safety
    /// If the future is dropped, the sessions may or may not end.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_backend::Disconnect;
    ///
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let ended = chat.disconnect("alice", Disconnect::default()).await?;
    /// println!("{ended} sessions ended");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn disconnect(&self, id: impl AsRef<str>, which: Disconnect) -> Result<u64, Error> {
        let id = UserId::new(id)?;
        let Ended { ended } =
            self.call("users.disconnect", Repeat::Never, &WithId { id: &id, fields: which }).await?;
        Ok(ended)
    }

    /// Publishes an event to the sessions of a user. Returns the numbers of sessions that it was delivered to and queued for; both
    /// are 0 for an unknown user.
    ///
    /// `kind` is 1 to 64 characters of `a-z 0-9 . _ -`; the event has at most 32 KiB. Users without a session do not get it
    /// later. The request has an idempotency key: a retry does not deliver the event twice.
    ///
    /// # Errors
    /// [`INVALID_FIELD`](crate::code::INVALID_FIELD) for an invalid `kind`,
    /// [`VALUE_TOO_LONG`](crate::code::VALUE_TOO_LONG) for a larger event; [`Error::Unwritable`] if `data` cannot be serialized.
    ///
    /// # Cancel safety
    /// If the future is dropped, the event may or may not be delivered.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let order = serde_json::json!({"order": 17});
    /// let published = chat.publish("alice", "order.shipped", &order).await?;
    /// if published.delivered == 0 {
    ///     println!("alice is offline; {} of her sessions may come back", published.queued);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(
        &self,
        id: impl AsRef<str>,
        kind: &str,
        data: &impl Serialize,
    ) -> Result<PublishOutcome, Error> {
        self.publish_event(One { id: UserId::new(id)? }, kind, data).await
    }

    /// Publishes an event like [`publish`](Self::publish), to up to 1,000 users.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    ///
    /// # Cancel safety
    /// If the future is dropped, the event may or may not be delivered.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let published = chat.publish_to_users(["alice", "bob"], "news", &"hello").await?;
    /// println!("delivered to {} sessions", published.delivered);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_to_users(
        &self,
        ids: impl IntoIterator<Item = impl AsRef<str>>,
        kind: &str,
        data: &impl Serialize,
    ) -> Result<PublishOutcome, Error> {
        let ids = ids.into_iter().map(UserId::new).collect::<Result<_, _>>()?;
        self.publish_event(Several { ids }, kind, data).await
    }

    /// Publishes an event like [`publish`](Self::publish), to every session of the app.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    ///
    /// # Cancel safety
    /// If the future is dropped, the event may or may not be delivered.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let published = chat.publish_to_all("maintenance", &serde_json::json!({"minutes": 5})).await?;
    /// println!("delivered to {} sessions", published.delivered);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish_to_all(&self, kind: &str, data: &impl Serialize) -> Result<PublishOutcome, Error> {
        self.publish_event(ToAll { to: All { all: true } }, kind, data).await
    }

    async fn publish_event(
        &self,
        to: impl Serialize,
        kind: &str,
        data: &impl Serialize,
    ) -> Result<PublishOutcome, Error> {
        let event = Event { to, r#type: kind, data };
        self.call("users.publish", Repeat::WithKey, &event).await
    }
}
