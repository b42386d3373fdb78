//! The bodies of the handshake: `users.auth`, which a native client sends first, and its acknowledgement.
//!
//! A published SDK sends no `users.auth`; its credentials stand in the URL and it gets the acknowledgement unasked.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{AccessToken, SessionKey, User};

/// The type of the request; its acknowledgement is `users.auth.ack`.
pub const TYPE: &str = "users.auth";
/// The type of the acknowledgement.
pub const ACK_TYPE: &str = "users.auth.ack";
/// The request's number: it is the first of its connection.
pub const REQUEST: u64 = 1;
/// The version of the native dialect this crate speaks.
pub const VERSION: u32 = 1;

/// The body of `users.auth`. Ids are text here: the server answers an invalid one with a code of its own.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuthRequest<'a> {
    /// The version of the dialect, [`VERSION`].
    pub v: u32,
    /// Name and version of the client, `name/version`, at most 128 bytes.
    #[serde(borrow)]
    pub client: Cow<'a, str>,
    /// The app.
    #[serde(borrow)]
    pub app_id: Cow<'a, str>,
    /// The user.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// The user's token, where it has one.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "AccessToken::expose_optional"
    )]
    pub access_token: Option<AccessToken>,
    /// The session to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// A hint beside the full credential: the session this client had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session's key.
    #[serde(serialize_with = "expose_key")]
    pub key: SessionKey,
    /// The highest server sequence number this client has placed in its application's queue.
    pub seen: u64,
    /// The highest request number this client has sent.
    pub sent: u64,
}

fn expose_key<S: serde::Serializer>(key: &SessionKey, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(key.expose())
}

/// What a server offers a native client for the life of the session (`d.session` of the acknowledgement).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Presented when coming back.
    #[serde(serialize_with = "expose_key")]
    pub key: SessionKey,
    /// The key's life from now, in seconds.
    pub expires_in: u64,
    /// Whether the session goes on or is new.
    #[serde(flatten)]
    pub continuity: Continuity,
    /// Silence after which the client sends `ping`, in seconds.
    pub heartbeat: u64,
}

/// Whether a session goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continuity {
    /// It goes on: so many messages follow again, and requests up to `received` were processed.
    Resumed {
        /// How many envelopes are sent again.
        replayed: u64,
        /// The highest request number the server has processed.
        received: u64,
    },
    /// It is a new one.
    Fresh(FreshReason),
}

/// Why a session is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FreshReason {
    /// The client asked for no other.
    New,
    /// The key is not of this server, of this user, or too old.
    UnknownKey,
    /// What the client missed is no longer kept.
    TooLate,
    /// The session was dropped to make room.
    Evicted,
}

/// A positive acknowledgement, as a server writes it.
#[derive(Debug, Serialize)]
pub struct Accepted<'a> {
    /// Always true.
    pub ok: bool,
    /// The user, complete.
    pub user: &'a User,
    /// Published dialect: the session key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<&'a str>,
    /// Native dialect: the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a Offer>,
    /// Seconds until the presented token ends, where it has an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires_in: Option<u64>,
}

/// A negative acknowledgement, as a server writes it.
#[derive(Debug, Serialize)]
pub struct Rejected<'a> {
    /// Always false.
    pub ok: bool,
    /// Why.
    pub error: Rejection<'a>,
}

/// The `error` of a negative acknowledgement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rejection<'a> {
    /// Native: the code of the table. Published: `NOT_FOUND` or `NOT_AUTHORIZED`.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// For people.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// Native: what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<Cow<'a, str>>,
    /// Published: the code of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
}

/// Either acknowledgement, as a native client reads it.
#[derive(Debug, Deserialize)]
pub struct AuthAck<'a> {
    /// Whether the credential was accepted.
    pub ok: bool,
    /// With `ok`: the user.
    #[serde(default)]
    pub user: Option<User>,
    /// With `ok`: the session.
    #[serde(default)]
    pub session: Option<Offer>,
    /// With `ok`: seconds until the token ends.
    #[serde(default)]
    pub token_expires_in: Option<u64>,
    /// Without `ok`: why.
    #[serde(borrow, default)]
    pub error: Option<Rejection<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_says_resumed_or_fresh() {
        let fresh = r#"{"key":"k","expires_in":86400,"fresh":"new","heartbeat":25}"#;
        let offer: Offer = serde_json::from_str(fresh).unwrap();
        assert_eq!(offer.continuity, Continuity::Fresh(FreshReason::New));
        assert_eq!(serde_json::to_string(&offer).unwrap(), fresh);

        let resumed = r#"{"key":"k","expires_in":9,"resumed":{"replayed":3,"received":7},"heartbeat":25}"#;
        let offer: Offer = serde_json::from_str(resumed).unwrap();
        assert_eq!(offer.continuity, Continuity::Resumed { replayed: 3, received: 7 });
        assert_eq!(serde_json::to_string(&offer).unwrap(), resumed);
    }

    #[test]
    fn a_request_prints_no_secret() {
        let text = r#"{"v":1,"client":"x/1","app_id":"a","user_id":"u","access_token":"hunter2","resume":{"key":"hunter3","seen":1,"sent":2}}"#;
        let request: AuthRequest<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert!(!format!("{request:?}").contains("hunter"));
    }
}
