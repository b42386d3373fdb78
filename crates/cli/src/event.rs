//! Events of a connected user, as text and as JSON.

use std::fmt;

use anstyle::Style;
use chatcamp_client::{
    Body, Code, ConnectError, Continuity, Direction, EndReason, Event, Refusal, TlsError, User, transport,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    colour::{BAD, DIM, EVENT, GOOD, WARNING},
    escape::field,
    failure::{Failure, chain},
};

/// An event that can be printed as text or JSON.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Printed<'a> {
    /// A new session has begun.
    Connected { user: User, transport: &'a str },
    /// The session has been resumed.
    Resumed { user: User, transport: &'a str, replayed: u64 },
    /// The connection is lost; the client reconnects.
    Reconnecting { why: String, after_ms: u128 },
    /// The client has disconnected.
    Disconnected {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The server has refused the client or ended its session.
    Refused { code: &'a str, message: &'a str, advice: &'a str },
    /// Another session has changed the user.
    #[serde(rename = "user.changed")]
    UserChanged { user: User },
    /// The access token is about to expire.
    #[serde(rename = "token.expires")]
    TokenExpires { expires_in: u64 },
    /// The app's backend has published an event.
    #[serde(rename = "app.event")]
    App { r#type: &'a str, data: &'a RawValue },
    /// A message of an unknown type.
    Message { r#type: &'a str, data: &'a RawValue },
    /// Events were dropped because they were printed too slowly.
    Lagged { missed: u64 },
}

/// A sent or received message with its secrets redacted.
#[derive(Serialize)]
pub(crate) struct Traced<'a> {
    trace: &'static str,
    envelope: Shown<'a>,
}

/// A message as JSON, or as text if it is not valid JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

impl<'a> Printed<'a> {
    /// Converts an event. Returns `None` for an event that is not printed.
    pub(crate) fn of(event: &'a Event) -> Option<Self> {
        Some(match event {
            Event::Connected { user, continuity: Continuity::Resumed { replayed, .. }, transport } => {
                Self::Resumed { user: without_token(user), transport, replayed: *replayed }
            }
            Event::Connected { user, transport, .. } => {
                Self::Connected { user: without_token(user), transport }
            }
            Event::Reconnecting { why, after } => {
                Self::Reconnecting { why: chain(why), after_ms: after.as_millis() }
            }
            Event::Disconnected { reason } => match reason {
                EndReason::Refused(refusal) | EndReason::Failed(ConnectError::NotNow { refusal, .. }) => {
                    Self::refused(refusal)
                }
                EndReason::Failed(error) => Self::Disconnected { reason: Some(explain(error)) },
                _ => Self::Disconnected { reason: None },
            },
            Event::UserChanged(user) => Self::UserChanged { user: without_token(user) },
            Event::TokenExpires { expires_in, .. } => Self::TokenExpires { expires_in: expires_in.as_secs() },
            Event::App { kind, data } => Self::App { r#type: kind, data: raw(data) },
            Event::Other { t, d } => Self::Message { r#type: t, data: raw(d) },
            Event::Lagged { missed } => Self::Lagged { missed: *missed },
            _ => return None,
        })
    }

    /// Returns the style of what happened: the text before the first colon.
    pub(crate) fn style(&self) -> Style {
        match self {
            Self::Connected { .. } | Self::Resumed { .. } => GOOD,
            Self::Reconnecting { .. } | Self::TokenExpires { .. } | Self::Lagged { .. } => WARNING,
            Self::Disconnected { reason: Some(_) } | Self::Refused { .. } => BAD,
            Self::Disconnected { reason: None } => DIM,
            Self::UserChanged { .. } | Self::App { .. } | Self::Message { .. } => EVENT,
        }
    }

    fn refused(refusal: &'a Refusal) -> Self {
        Self::Refused { code: &refusal.code, message: &refusal.message, advice: refusal.advice.as_str() }
    }
}

/// Returns why an end is a failure, or `None` if the user asked for it. `token_command` prints the user's token.
pub(crate) fn failure(reason: &EndReason, token_command: &str) -> Option<Failure> {
    match reason {
        EndReason::Refused(refusal) if is_about_token(refusal) => Some(Failure::failed(format!(
            "the server refused: {refusal}; `{token_command}` prints one, and --token-file FILE passes it"
        ))),
        EndReason::Refused(refusal) => Some(Failure::failed(format!("the server refused: {refusal}"))),
        EndReason::Failed(error) => Some(Failure::failed(explain(error))),
        _ => None,
    }
}

/// Returns whether the user can connect with its current access token.
fn is_about_token(refusal: &Refusal) -> bool {
    [Code::AccessTokenRequired, Code::AccessTokenInvalid].iter().any(|code| code.as_str() == refusal.code)
}

/// Explains why a user is not connected, and what to do.
fn explain(error: &ConnectError) -> String {
    match error {
        ConnectError::TokenExposed => {
            "the access token would cross the network in plaintext; use a URL that begins with https:// or wss://, \
            or a tunnel that ends on this machine, such as `ssh -L`, or leave the token out"
                .to_owned()
        }
        _ if error.tls() == Some(&TlsError::UnknownAuthority) => {
            format!("{}: --ca FILE", chain(error))
        }
        _ if error.tls().is_some() => chain(error),
        ConnectError::Unreachable { cause, .. } if matches!(**cause, transport::ConnectError::Unreachable(_)) => {
            format!("{}; `chatcamp dev` starts a server, --url names another", chain(error))
        }
        _ => chain(error),
    }
}

impl<'a> Traced<'a> {
    /// Wraps a message.
    pub(crate) fn new(direction: Direction, text: &'a str) -> Self {
        Self {
            trace: match direction {
                Direction::Sent => "sent",
                Direction::Received => "received",
            },
            envelope: serde_json::from_str(text).map_or(Shown::Text(text), Shown::Json),
        }
    }
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { user, transport } => {
                write!(f, "connected as {} over {transport}", field(user.id.as_str()))
            }
            Self::Resumed { user, transport, replayed } => {
                write!(
                    f,
                    "resumed as {} over {transport}, {replayed} messages replayed",
                    field(user.id.as_str())
                )
            }
            Self::Reconnecting { why, after_ms } => {
                write!(f, "reconnecting in {after_ms} ms: {}", field(why))
            }
            Self::Disconnected { reason: None } => f.write_str("disconnected"),
            Self::Disconnected { reason: Some(reason) } => write!(f, "disconnected: {}", field(reason)),
            Self::Refused { code, message, .. } => write!(f, "refused: {}: {}", field(code), field(message)),
            Self::UserChanged { user } => {
                write!(
                    f,
                    "the user changed: {}, {}",
                    field(user.id.as_str()),
                    field(&user.profile.display_name)
                )
            }
            Self::TokenExpires { expires_in } => write!(f, "the access token expires in {expires_in} s"),
            Self::App { r#type, data } => write!(f, "event {}: {}", field(r#type), field(data.get())),
            Self::Message { r#type, data } => write!(f, "message {}: {}", field(r#type), field(data.get())),
            Self::Lagged { missed } => write!(f, "{missed} events were missed"),
        }
    }
}

impl fmt::Display for Traced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.envelope {
            Shown::Json(json) => json.get(),
            Shown::Text(text) => text,
        };
        let text = field(text);
        write!(f, "{} {text}", if self.trace == "sent" { "-->" } else { "<--" })
    }
}

/// Returns the user without its token, which must not be printed.
fn without_token(user: &User) -> User {
    User { access_token: None, ..user.clone() }
}

fn raw(body: &Body) -> &RawValue {
    serde_json::from_str(body.as_str()).unwrap_or(RawValue::NULL)
}

#[cfg(test)]
mod tests {
    use chatcamp_client::{AccessToken, FreshReason};

    use super::*;

    fn user() -> Box<User> {
        let mut user: User = serde_json::from_str(r#"{"id":"alice"}"#).unwrap();
        user.access_token = Some(AccessToken::from("hunter2"));
        Box::new(user)
    }

    #[test]
    fn events_have_names_and_show_no_token() {
        let fresh = Continuity::Fresh(FreshReason::New);
        let resumed = Continuity::Resumed { replayed: 2, received: 0 };
        let connected = |continuity| Event::Connected { user: user(), continuity, transport: "websocket" };
        for (event, name) in [
            (connected(fresh), "connected"),
            (connected(resumed), "resumed"),
            (Event::Disconnected { reason: EndReason::ByUs }, "disconnected"),
            (Event::UserChanged(user()), "user.changed"),
            (Event::Lagged { missed: 1 }, "lagged"),
        ] {
            let json = serde_json::to_value(Printed::of(&event)).unwrap();
            assert_eq!(json["event"], name);
            assert!(!json.to_string().contains("hunter2"), "{json}");
        }
    }

    #[test]
    fn only_an_unwanted_end_is_a_failure() {
        assert!(failure(&EndReason::ByUs, "").is_none());
        assert!(failure(&EndReason::Failed(ConnectError::TokenExposed), "").is_some());
    }

    #[test]
    fn text_from_a_peer_stays_on_one_line() {
        let forged = "x\r\nconnected as root\u{1b}[2J\u{202e}";
        let refusal = || {
            serde_json::from_value::<chatcamp_protocol::event::SessionClose>(serde_json::json!({
                "code": forged, "reason": forged, "advice": "terminal",
            }))
            .unwrap()
        };
        let mut user = user();
        user.profile.display_name = forged.into();
        let closed = transport::Closed::ByPeer(transport::Close::new(4000, forged));
        for event in [
            Event::Disconnected { reason: EndReason::Refused(refusal().into()) },
            Event::Disconnected {
                reason: EndReason::Failed(ConnectError::Lost { url: None, closed: closed.clone() }),
            },
            Event::Reconnecting {
                why: chatcamp_client::Interruption::Closed(closed),
                after: std::time::Duration::ZERO,
            },
            Event::Reconnecting {
                why: chatcamp_client::Interruption::Server(refusal().into()),
                after: std::time::Duration::ZERO,
            },
            Event::UserChanged(user),
        ] {
            assert_one_line(&Printed::of(&event).unwrap());
        }
        assert_one_line(&Printed::App { r#type: forged, data: RawValue::NULL });
        assert_one_line(&Printed::Message { r#type: forged, data: RawValue::NULL });
    }

    fn assert_one_line(printed: &Printed<'_>) {
        let text = printed.to_string();
        assert!(!text.contains(['\r', '\n', '\u{1b}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn a_trace_shows_invalid_json_as_text() {
        let json = |text| serde_json::to_string(&Traced::new(Direction::Sent, text)).unwrap();
        assert_eq!(json(r#"{"t":"x","d":1}"#), r#"{"trace":"sent","envelope":{"t":"x","d":1}}"#);
        assert_eq!(json("(no envelope)"), r#"{"trace":"sent","envelope":"(no envelope)"}"#);
    }
}
