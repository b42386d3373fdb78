//! The outer object of every message: `{"t":type,"d":body,"r":request,"to":request,"s":sequence}`.
//!
//! Requests have `t`, `d` and `r`; acknowledgements have `t`, `to` and `d`; events have `t` and `d`. In the native dialect
//! everything that the server sends on a session has `s` as well. See "The envelope" in `docs/PROTOCOL.md`.

use std::{borrow::Cow, io::Write as _};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Ends the type of an acknowledgement.
const ACK: &str = ".ack";

/// One message with its body unparsed.
#[derive(Debug, Clone, Deserialize)]
pub struct Envelope<'a> {
    /// The type, such as `users.update` or `users.update.ack`.
    #[serde(borrow)]
    pub t: Cow<'a, str>,
    /// The body exactly as it is in the message; absent in the published SDK's `ping`.
    #[serde(borrow, default)]
    pub d: Option<&'a RawValue>,
    /// The number of a request.
    #[serde(default)]
    pub r: Option<u64>,
    /// The number of the request that an acknowledgement answers.
    #[serde(default)]
    pub to: Option<u64>,
    /// The sequence number of a message that a server sends on a session in the native dialect.
    #[serde(default)]
    pub s: Option<u64>,
}

/// A message that is not an envelope. Does not contain the message, which may hold a secret.
#[derive(Debug, thiserror::Error)]
#[error("the message is not an envelope (column {column})")]
pub struct Malformed {
    column: usize,
}

impl<'a> Envelope<'a> {
    /// Reads one envelope. Ignores unknown fields.
    ///
    /// # Errors
    /// [`Malformed`] if the text is not a JSON object with a string `t`, if `r`, `to` or `s` is not a non-negative integer,
    /// or if a field is repeated.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        serde_json::from_str(text).map_err(|e| Malformed { column: e.column() })
    }

    /// Reads the body as `T`. An absent body is read as `{}`.
    ///
    /// # Errors
    /// An error if the body is not a `T`. It may quote the body, so it must not be logged.
    pub fn body<T: Deserialize<'a>>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.d.map_or("{}", RawValue::get))
    }

    /// Returns the type of the request that this message acknowledges; `None` if it is not an acknowledgement.
    #[must_use]
    pub fn acknowledges(&self) -> Option<&str> {
        self.t.strip_suffix(ACK)
    }
}

/// Writes a request of type `t` with the number `r`.
///
/// # Panics
/// Panics if `body` cannot be written as JSON, which only a hand-written `Serialize` can cause.
#[must_use]
pub fn request(t: &str, r: u64, body: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Request<'a, D> {
        t: &'a str,
        d: &'a D,
        r: u64,
    }
    write(&Request { t, d: body, r })
}

/// Writes the acknowledgement of the request of type `t` with the number `to`. `body` has its own `ok`.
///
/// # Panics
/// Panics as [`request`] does.
#[must_use]
pub fn ack(t: &str, to: Option<u64>, body: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Ack<'a, D> {
        t: AckType<'a>,
        to: Option<u64>,
        d: &'a D,
    }
    struct AckType<'a>(&'a str);
    impl Serialize for AckType<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("{}{ACK}", self.0))
        }
    }
    write(&Ack { t: AckType(t), to, d: body })
}

/// Writes a message that a server sends without being asked.
///
/// # Panics
/// Panics as [`request`] does.
#[must_use]
pub fn push(t: &str, body: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Push<'a, D> {
        t: &'a str,
        d: &'a D,
    }
    write(&Push { t, d: body })
}

/// Inserts the sequence number `s` into the written envelope `text`.
///
/// # Panics
/// Panics if `text` is not a JSON object.
#[must_use]
pub fn number(text: &str, s: u64) -> String {
    let rest = text.strip_prefix('{').expect("an envelope is a JSON object");
    format!("{{\"s\":{s},{rest}")
}

fn write(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(512);
    serde_json::to_writer(&mut bytes, value).expect("bodies of this protocol have text keys");
    bytes.flush().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_passes_through_unparsed() {
        let text = r#"{"t":"x","d":{"b" : 1.50, "a":[null]},"r":3}"#;
        assert_eq!(Envelope::parse(text).unwrap().d.unwrap().get(), r#"{"b" : 1.50, "a":[null]}"#);
    }

    #[test]
    fn a_ping_of_the_published_sdk_has_no_body() {
        let ping = Envelope::parse(r#"{"t":"ping","r":4}"#).unwrap();
        assert!(ping.d.is_none());
        assert_eq!(ping.body::<serde_json::Value>().unwrap(), json!({}));
    }

    #[test]
    fn only_objects_with_a_string_type_are_envelopes() {
        for bad in [
            "",
            "null",
            "[]",
            "1",
            "\"x\"",
            "{}",
            r#"{"t":1}"#,
            r#"{"t":null}"#,
            r#"{"t":"x","r":-1}"#,
            r#"{"t":"x","r":1.5}"#,
            r#"{"t":"x","r":"1"}"#,
            r#"{"t":"x","t":"y"}"#,
            r#"{"t":"x"} x"#,
            r#"{"t":"x","d":{}"#,
            r#"[{"t":"x"}]"#,
        ] {
            assert!(Envelope::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_the_message() {
        let error =
            Envelope::parse(r#"{"t":"users.auth","d":{"access_token":"hunter2"},"r":"x"}"#).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let deep = format!(r#"{{"t":"x","d":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        if let Ok(envelope) = Envelope::parse(&deep) {
            assert!(envelope.body::<serde_json::Value>().is_err());
        }
    }

    #[test]
    fn an_acknowledgement_names_its_request() {
        for (text, request) in [
            (r#"{"t":"users.get.ack"}"#, Some("users.get")),
            (r#"{"t":"users.get"}"#, None),
            (r#"{"t":"ack"}"#, None),
        ] {
            assert_eq!(Envelope::parse(text).unwrap().acknowledges(), request, "{text}");
        }
    }

    #[test]
    fn types_are_escaped_in_acks() {
        let ack = ack("a\"b", None, &json!({"ok": false}));
        assert_eq!(ack, r#"{"t":"a\"b.ack","to":null,"d":{"ok":false}}"#);
    }

    #[test]
    fn numbers_are_added_without_reparsing() {
        let text = number(&push("app.event.pub", &json!({"ok": true})), 12);
        assert_eq!(text, r#"{"s":12,"t":"app.event.pub","d":{"ok":true}}"#);
        assert_eq!(Envelope::parse(&text).unwrap().s, Some(12));
    }
}
