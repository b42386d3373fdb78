//! What is said to live sessions: events for them, or their end.

use std::net::IpAddr;

use chatcamp_protocol::UserId;
use serde::{Deserialize, Serialize};

use crate::{
    Backend, Error,
    retry::Repeat,
    users::{Nothing, Of},
};

/// A live session of a user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// Names it, as long as it lives.
    pub id: String,
    /// The transport it is on, such as `websocket` or `long-poll`.
    pub transport: String,
    /// The network address it comes from, where there is one.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// When it began, in Unix seconds.
    pub since: u64,
    /// When its client was last heard, in Unix seconds.
    pub last_seen: u64,
}

/// Which sessions end, and whether they may come back. By default all of the user's, for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Disconnect {
    /// Only the session of this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whether their clients are to connect again.
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

#[derive(Deserialize)]
struct Delivered {
    delivered: u64,
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
struct Everybody {
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
    /// [`USER_NOT_FOUND`](crate::code::USER_NOT_FOUND); a user without sessions is none.
    ///
    /// # Cancel safety
    /// It only reads.
    pub async fn sessions(&self, id: impl AsRef<str>) -> Result<Vec<Session>, Error> {
        let id = UserId::new(id)?;
        let fields = Of { id: &id, fields: Nothing {} };
        let Sessions { sessions } = self.call("users.sessions", Repeat::AsItIs, &fields).await?;
        Ok(sessions)
    }

    /// Ends live sessions of a user, and returns how many.
    ///
    /// It is sent again only when the server certainly did not carry it out: sessions that came meanwhile would end too.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](crate::code::USER_NOT_FOUND); a user without such sessions is none.
    ///
    /// # Cancel safety
    /// Dropped, the sessions may have ended or not.
    pub async fn disconnect(&self, id: impl AsRef<str>, which: Disconnect) -> Result<u64, Error> {
        let id = UserId::new(id)?;
        let Ended { ended } =
            self.call("users.disconnect", Repeat::Never, &Of { id: &id, fields: which }).await?;
        Ok(ended)
    }

    /// Sends an event to the live sessions of a user, and returns how many have it or have it queued: of an unknown user 0.
    ///
    /// `kind` is 1 to 64 characters of `a-z 0-9 . _ -`; the event has at most 32 KiB. Who is not there does not get it
    /// later. It carries an idempotency key: tried again, it is delivered once.
    ///
    /// # Errors
    /// [`INVALID_FIELD`](crate::code::INVALID_FIELD) for another `kind`,
    /// [`VALUE_TOO_LONG`](crate::code::VALUE_TOO_LONG) for a longer event; [`Error::Unwritable`].
    ///
    /// # Cancel safety
    /// Dropped, the event may be delivered or not.
    pub async fn publish(
        &self,
        id: impl AsRef<str>,
        kind: &str,
        data: &impl Serialize,
    ) -> Result<u64, Error> {
        self.say(One { id: UserId::new(id)? }, kind, data).await
    }

    /// Sends an event as [`publish`](Self::publish) does, to up to 1,000 users.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    ///
    /// # Cancel safety
    /// Dropped, the event may be delivered or not.
    pub async fn publish_to_users(
        &self,
        ids: impl IntoIterator<Item = impl AsRef<str>>,
        kind: &str,
        data: &impl Serialize,
    ) -> Result<u64, Error> {
        let ids = ids.into_iter().map(UserId::new).collect::<Result<_, _>>()?;
        self.say(Several { ids }, kind, data).await
    }

    /// Sends an event as [`publish`](Self::publish) does, to every live session of the app.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    ///
    /// # Cancel safety
    /// Dropped, the event may be delivered or not.
    pub async fn publish_to_all(&self, kind: &str, data: &impl Serialize) -> Result<u64, Error> {
        self.say(Everybody { to: All { all: true } }, kind, data).await
    }

    async fn say(&self, to: impl Serialize, kind: &str, data: &impl Serialize) -> Result<u64, Error> {
        let event = Event { to, r#type: kind, data };
        let Delivered { delivered } = self.call("users.publish", Repeat::Keyed, &event).await?;
        Ok(delivered)
    }
}
