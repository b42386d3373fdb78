//! What a server sends on a session without being asked.
//!
//! | type | body |
//! |---|---|
//! | `session.close` | [`SessionClose`], native dialect only |
//! | `app.event.pub` | [`AppEvent`], with `ok` |
//! | `users.update.ack`, without `to` | [`UserChanged`], with `ok` |
//!
//! Bodies with `ok` are written by [`PositiveAck`](crate::request::PositiveAck).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Code, User, request::UserResponse};

/// The body of `session.close`, which a native client gets before every end that the server decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClose {
    /// The code; see [`Code::from_wire`].
    pub code: String,
    /// The reason for people.
    pub reason: String,
    /// The advice; see [`Advice::from_wire`](crate::Advice::from_wire).
    pub advice: String,
    /// How long to wait before connecting again, in milliseconds; with the advice `retry` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl SessionClose {
    /// The type on the wire.
    pub const TYPE: &str = "session.close";

    /// Announces an end with this code.
    #[must_use]
    pub fn new(code: Code, retry_after_ms: Option<u64>) -> Self {
        Self {
            code: code.as_str().into(),
            reason: code.reason().into(),
            advice: code.advice().as_str().into(),
            retry_after_ms,
        }
    }
}

/// The body of `app.event.pub`: an event that the app's backend published.
///
/// `D` is the type of the data: any `Serialize` to write, `Option<&RawValue>` to read what a server may leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppEvent<'a, D> {
    /// The type of the event, chosen by the backend.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The data of the event, chosen by the backend: any JSON.
    pub data: D,
}

/// The type of [`AppEvent`] on the wire.
pub const APP_EVENT: &str = "app.event.pub";

/// The body of `users.update.ack` without `to`: the session's own user has changed.
///
/// The acknowledgement of the session's own [`UpdateUser`](crate::request::UpdateUser) has the same type and body.
pub type UserChanged = UserResponse<User>;

/// The type of [`UserChanged`] on the wire.
pub const USER_CHANGED: &str = "users.update.ack";

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};

    use super::*;
    use crate::{
        Envelope, envelope,
        request::{PositiveAck, Request as _, UpdateUser},
    };

    #[test]
    fn a_close_has_code_reason_and_advice() {
        let text = serde_json::to_string(&SessionClose::new(Code::ShuttingDown, Some(1500))).unwrap();
        assert_eq!(
            text,
            r#"{"code":"SHUTTING_DOWN","reason":"the server is shutting down","advice":"retry","retry_after_ms":1500}"#
        );
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let data = json!({"id": 7});
        let event = AppEvent { kind: "order.shipped".into(), data: &data };
        let text = envelope::push(APP_EVENT, &PositiveAck::new(&event));
        assert_eq!(text, r#"{"t":"app.event.pub","d":{"ok":true,"type":"order.shipped","data":{"id":7}}}"#);
        let envelope = Envelope::parse(&text).unwrap();
        let read: AppEvent<'_, Option<&RawValue>> = envelope.body().unwrap();
        assert_eq!(
            (read.kind.as_ref(), read.data.map(RawValue::get)),
            ("order.shipped", Some(r#"{"id":7}"#))
        );
    }

    #[test]
    fn an_event_without_data_is_read() {
        let read: AppEvent<'_, Option<&RawValue>> = serde_json::from_str(r#"{"type":"x"}"#).unwrap();
        assert!(read.data.is_none());
    }

    #[test]
    fn a_changed_user_is_sent_as_the_acknowledgement_of_a_change() {
        assert_eq!(USER_CHANGED.strip_suffix(".ack"), Some(UpdateUser::TYPE));
    }
}
