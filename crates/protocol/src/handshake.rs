//! The bodies of the handshake: `users.auth`, which a native client sends first, and its acknowledgement.
//!
//! The published SDK sends no `users.auth`: its credentials are in the URL, and the server sends the acknowledgement
//! without being asked. Where the two dialects differ, the fields say so.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{AccessToken, SessionKey, User};

/// The type of the request; its acknowledgement is `users.auth.ack`.
pub const TYPE: &str = "users.auth";
/// The type of the acknowledgement.
pub const ACK_TYPE: &str = "users.auth.ack";
/// The number of the request, which is the first of its connection.
pub const REQUEST: u64 = 1;
/// The version of the native dialect that this crate implements.
pub const VERSION: u32 = 1;

/// The body of `users.auth`. Ids are text here because the server has separate codes for invalid ones.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuthRequest<'a> {
    /// The version of the dialect, [`VERSION`].
    pub v: u32,
    /// The name and version of the client as `name/version`, at most 128 bytes.
    #[serde(borrow)]
    pub client: Cow<'a, str>,
    /// The id of the app.
    #[serde(borrow)]
    pub app_id: Cow<'a, str>,
    /// The id of the user.
    #[serde(borrow)]
    pub user_id: Cow<'a, str>,
    /// The user's access token, if it has one.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "AccessToken::expose_optional"
    )]
    pub access_token: Option<AccessToken>,
    /// The session to resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// The session that a client asks to resume, in addition to its full credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The newest key of the session.
    #[serde(serialize_with = "SessionKey::serialize_exposed")]
    pub key: SessionKey,
    /// The highest sequence number that the client has received.
    pub seen: u64,
    /// The highest request number that the client has sent.
    pub sent: u64,
}

/// The session that a native client is given: `d.session` of the acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The key with which the client resumes the session.
    #[serde(serialize_with = "SessionKey::serialize_exposed")]
    pub key: SessionKey,
    /// The lifetime of the key from now, in seconds.
    pub expires_in: u64,
    /// Whether the session was resumed or is new.
    #[serde(flatten)]
    pub continuity: Continuity,
    /// The silence after which the client sends `ping`, in seconds.
    pub heartbeat: u64,
}

/// Whether a session was resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continuity {
    /// The session was resumed.
    Resumed {
        /// The number of messages that the server sends again.
        replayed: u64,
        /// The highest request number that the server has processed.
        received: u64,
    },
    /// The session is new.
    Fresh(FreshReason),
}

/// Why a session is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FreshReason {
    /// The client did not ask to resume one.
    New,
    /// The key is not from this server, belongs to another user, or was replaced.
    UnknownKey,
    /// The server no longer keeps what the client has missed.
    TooLate,
    /// The session was evicted to make room.
    Evicted,
}

/// A positive acknowledgement of `users.auth`, as a server writes it.
#[derive(Debug, Serialize)]
pub struct Accepted<'a> {
    /// Always `true`.
    pub ok: bool,
    /// The user as its owner sees it.
    pub user: &'a User,
    /// The session key; published dialect only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_key: Option<&'a str>,
    /// The session; native dialect only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a Offer>,
    /// Seconds until the presented token expires; native dialect only, absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires_in: Option<u64>,
}

/// A negative acknowledgement of `users.auth`, as a server writes it.
#[derive(Debug, Serialize)]
pub struct Rejected<'a> {
    /// Always `false`.
    pub ok: bool,
    /// The reason.
    pub error: Rejection<'a>,
}

/// The `error` of a negative acknowledgement of `users.auth`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rejection<'a> {
    /// Native dialect: a [`Code`](crate::Code). Published dialect: `NOT_FOUND` or `NOT_AUTHORIZED`.
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// The message for people.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// An [`Advice`](crate::Advice); native dialect only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<Cow<'a, str>>,
    /// A [`Code`](crate::Code); published dialect only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
}

/// The acknowledgement of `users.auth`, as a native client reads it.
#[derive(Debug, Deserialize)]
pub struct AuthAck<'a> {
    /// Whether the server accepted the credential.
    pub ok: bool,
    /// The user, if accepted.
    #[serde(default)]
    pub user: Option<User>,
    /// The session, if accepted.
    #[serde(default)]
    pub session: Option<Offer>,
    /// Seconds until the token expires, if accepted and if it expires.
    #[serde(default)]
    pub token_expires_in: Option<u64>,
    /// The reason, if not accepted.
    #[serde(borrow, default)]
    pub error: Option<Rejection<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_resumed_or_fresh() {
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
    fn a_request_does_not_print_secrets() {
        let text = r#"{"v":1,"client":"x/1","app_id":"a","user_id":"u","access_token":"hunter2","resume":{"key":"hunter3","seen":1,"sent":2}}"#;
        let request: AuthRequest<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert!(!format!("{request:?}").contains("hunter"));
    }
}
