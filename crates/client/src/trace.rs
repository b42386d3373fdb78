//! Observes every message with secrets redacted.

use std::{fmt, sync::Arc};

use chatcamp_protocol::Envelope;
use serde_json::Value;

/// The keys whose values are secrets, at any depth.
const SECRETS: [&str; 3] = ["access_token", "key", "session_key"];

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this client.
    Sent,
    /// From the server.
    Received,
}

/// Passes every message to the application's hook, if one is set.
#[derive(Clone, Default)]
pub(crate) struct Trace(Option<Arc<Hook>>);

type Hook = dyn Fn(Direction, &str) + Send + Sync;

impl Trace {
    pub(crate) fn new(hook: impl Fn(Direction, &str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(crate) fn sent(&self, text: &str) {
        self.call_hook(Direction::Sent, text);
    }

    pub(crate) fn received(&self, text: &str) {
        self.call_hook(Direction::Received, text);
    }

    fn call_hook(&self, direction: Direction, text: &str) {
        if let Some(hook) = &self.0 {
            hook(direction, &redact(text));
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({})", if self.0.is_some() { "on" } else { "off" })
    }
}

/// Returns the envelope with its fields in the usual order and every secret replaced by `…`, or only the length of other text.
fn redact(text: &str) -> String {
    let Ok(envelope) = Envelope::parse(text) else {
        return format!("(not an envelope, {} bytes)", text.len());
    };
    let mut out = format!("{{\"t\":{}", Value::from(envelope.t.as_ref()));
    for (name, number) in [("r", envelope.r), ("to", envelope.to), ("s", envelope.s)] {
        if let Some(number) = number {
            out += &format!(",\"{name}\":{number}");
        }
    }
    // The body of an envelope is valid JSON, but may be nested deeper than `Value` allows.
    if envelope.d.is_some() {
        match envelope.body::<Value>() {
            Ok(mut body) => {
                redact_value(&mut body);
                out += &format!(",\"d\":{body}");
            }
            Err(_) => out += ",\"d\":\"…\"",
        }
    }
    out + "}"
}

fn redact_value(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if SECRETS.contains(&name.as_str()) {
                    *value = "…".into();
                } else {
                    redact_value(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact_value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_redacted_at_any_depth() {
        for (text, shown) in [
            (r#"{"t":"ping","r":3}"#, r#"{"t":"ping","r":3}"#),
            (
                r#"{"d":{"user_id":"a","access_token":"hunter2"},"r":1,"t":"users.auth"}"#,
                r#"{"t":"users.auth","r":1,"d":{"access_token":"…","user_id":"a"}}"#,
            ),
            (
                r#"{"t":"x","to":1,"s":2,"d":[{"session":{"key":{"hunter2":1}}},{"session_key":["hunter2"]}]}"#,
                r#"{"t":"x","to":1,"s":2,"d":[{"session":{"key":"…"}},{"session_key":"…"}]}"#,
            ),
            (r#"{"t":"x","d":{"access\u005ftoken":"hunter2"}}"#, r#"{"t":"x","d":{"access_token":"…"}}"#),
            (r#"{"access_token":"hunter2"}"#, "(not an envelope, 26 bytes)"),
            (r#"{"t":"a\"b","token":"hunter2"}"#, r#"{"t":"a\"b"}"#),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn a_body_nested_too_deeply_is_redacted_as_a_whole() {
        let deep = format!(r#"{{"t":"x","d":{}"hunter2"{}}}"#, "[".repeat(200), "]".repeat(200));
        assert!(!redact(&deep).contains("hunter2"));
    }
}
