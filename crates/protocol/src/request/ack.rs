//! The body of an acknowledgement: `ok` and results, or `ok` and an error.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::ErrorCode;

/// The body of a positive acknowledgement, as a server writes it: `{"ok":true,…}`, with the fields of the response.
///
/// Events that acknowledge nothing have the same form; see [`event`](crate::event).
#[derive(Debug, Serialize)]
pub struct PositiveAck<'a, T> {
    ok: bool,
    #[serde(flatten)]
    response: &'a T,
}

impl<'a, T> PositiveAck<'a, T> {
    /// Wraps a response, which must serialize as an object.
    pub fn new(response: &'a T) -> Self {
        Self { ok: true, response }
    }
}

/// The body of a negative acknowledgement, as a server writes it: `{"ok":false,"error":{"code":…,"message":…}}`. If the server asks
/// to wait, `error` also has `retry_after_ms`.
#[derive(Debug, Serialize)]
pub struct NegativeAck<'a> {
    ok: bool,
    error: ErrorDetail<'a>,
}

impl<'a> NegativeAck<'a> {
    /// Creates the body from a code for programs and a message for people.
    #[must_use]
    pub fn new(code: ErrorCode, message: &'a str) -> Self {
        let error = ErrorDetail { code: code.as_str().into(), message: message.into(), retry_after_ms: None };
        Self { ok: false, error }
    }

    /// Adds the shortest time, in milliseconds, after which the client may send the request again.
    #[must_use]
    pub fn retry_after_ms(mut self, wait: u64) -> Self {
        self.error.retry_after_ms = Some(wait);
        self
    }
}

/// The `error` of a negative acknowledgement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorDetail<'a> {
    /// The code for programs; see [`ErrorCode::from_wire`].
    #[serde(borrow)]
    pub code: Cow<'a, str>,
    /// The message for people; empty if the server sends none.
    #[serde(borrow, default)]
    pub message: Cow<'a, str>,
    /// The shortest time to wait before the same request is sent again, in milliseconds; absent if the server names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// The part of an acknowledgement that says whether the request was carried out, as a client reads it.
#[derive(Debug, Deserialize)]
pub struct AckStatus<'a> {
    /// Whether the request was carried out.
    pub ok: bool,
    /// The error, if it was not.
    #[serde(borrow)]
    pub error: Option<ErrorDetail<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Empty;

    #[test]
    fn a_positive_acknowledgement_begins_with_ok() {
        #[derive(Serialize)]
        struct Response {
            users: [u8; 2],
        }
        let body = serde_json::to_string(&PositiveAck::new(&Response { users: [1, 2] })).unwrap();
        assert_eq!(body, r#"{"ok":true,"users":[1,2]}"#);
        assert_eq!(serde_json::to_string(&PositiveAck::new(&Empty {})).unwrap(), r#"{"ok":true}"#);
    }

    #[test]
    fn a_negative_acknowledgement_has_code_and_message() {
        let body = serde_json::to_string(&NegativeAck::new(ErrorCode::UnknownType, "no x.y here")).unwrap();
        assert_eq!(body, r#"{"ok":false,"error":{"code":"UNKNOWN_TYPE","message":"no x.y here"}}"#);
        let status: AckStatus<'_> = serde_json::from_str(&body).unwrap();
        let error = status.error.unwrap();
        assert_eq!((status.ok, ErrorCode::from_wire(&error.code)), (false, Some(ErrorCode::UnknownType)));
    }

    #[test]
    fn a_negative_acknowledgement_may_ask_to_wait() {
        let ack = NegativeAck::new(ErrorCode::RateLimited, "too fast").retry_after_ms(50);
        let body = serde_json::to_string(&ack).unwrap();
        let expected =
            r#"{"ok":false,"error":{"code":"RATE_LIMITED","message":"too fast","retry_after_ms":50}}"#;
        assert_eq!(body, expected);
        let status: AckStatus<'_> = serde_json::from_str(&body).unwrap();
        assert_eq!(status.error.unwrap().retry_after_ms, Some(50));
    }

    #[test]
    fn an_error_without_a_message_is_read() {
        let status: AckStatus<'_> = serde_json::from_str(r#"{"ok":false,"error":{"code":"NEW"}}"#).unwrap();
        let error = status.error.unwrap();
        assert_eq!((error.message.as_ref(), ErrorCode::from_wire(&error.code)), ("", None));
    }
}
