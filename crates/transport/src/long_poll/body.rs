//! The bodies of long-poll: arrays of strings, the published SDK's single envelope, and the close.

use std::{collections::VecDeque, fmt, mem};

use bytes::Bytes;
use serde::{
    Deserialize, Serialize,
    de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor},
};

use crate::{Close, Message};

/// No further message is added to an array of this length, in bytes.
const ARRAY_LIMIT: usize = 256 * 1024;
/// Maximum number of messages in an accepted array.
const ARRAY_MESSAGES: usize = 4096;

/// The body of a POST of the native dialect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Posted {
    Messages(Vec<Message>),
    Close(Close),
}

/// Why a body was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadBody {
    Malformed,
    /// A message exceeds the limit.
    TooLarge,
}

/// Messages that are written as an array.
pub(super) struct Encoded {
    messages: VecDeque<Message>,
    bytes: usize,
    length: usize,
}

/// Takes the messages of one body from the front of `queue`, at least one.
pub(super) fn take(queue: &mut VecDeque<Message>) -> Encoded {
    let (mut count, mut bytes, mut length) = (0, 0, "[]".len());
    for message in &*queue {
        let more = quoted_len(message.as_str()) + ",".len();
        if count > 0 && (length + more > ARRAY_LIMIT || count == ARRAY_MESSAGES) {
            break;
        }
        count += 1;
        bytes += message.len();
        length += more;
    }
    let messages = if count == queue.len() { mem::take(queue) } else { queue.drain(..count).collect() };
    Encoded { messages, bytes, length }
}

impl Encoded {
    /// Returns the size of the messages, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the array of strings.
    pub(super) fn into_body(self) -> Bytes {
        let mut body = Vec::with_capacity(self.length);
        body.push(b'[');
        for (n, message) in self.messages.iter().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            serde_json::to_writer(&mut body, message.as_str()).expect("writing to memory cannot fail");
        }
        body.push(b']');
        body.into()
    }
}

/// Returns the length of `text` as a JSON string.
fn quoted_len(text: &str) -> usize {
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\x08' | b'\x0c' | b'\n' | b'\r' | b'\t' => 1,
        0..0x20 => 5,
        _ => 0,
    });
    text.len() + escapes.sum::<usize>() + 2
}

/// Parses an array of strings.
pub(super) fn messages(body: &[u8], limit: usize) -> Result<Vec<Message>, BadBody> {
    let Array(messages) = serde_json::from_slice(body).map_err(|_| BadBody::Malformed)?;
    if messages.iter().any(|message| message.len() > limit) { Err(BadBody::TooLarge) } else { Ok(messages) }
}

/// Parses a body of the native dialect: an array of strings, or the close.
pub(super) fn posted(body: &[u8], limit: usize) -> Result<Posted, BadBody> {
    match body.trim_ascii_start().first() {
        Some(b'{') => closed(body).map(Posted::Close).ok_or(BadBody::Malformed),
        _ => messages(body, limit).map(Posted::Messages),
    }
}

/// Parses a body of the published SDK: one message, which is a JSON object.
pub(super) fn envelope(body: &Bytes, limit: usize) -> Result<Message, BadBody> {
    if body.len() > limit {
        return Err(BadBody::TooLarge);
    }
    let message = Message::try_from(body.clone()).map_err(|_| BadBody::Malformed)?;
    let is_object = message.as_str().trim_ascii_start().starts_with('{')
        && serde_json::from_str::<IgnoredAny>(message.as_str()).is_ok();
    if is_object { Ok(message) } else { Err(BadBody::Malformed) }
}

#[derive(Serialize, Deserialize)]
struct CloseBody<'a> {
    #[serde(borrow)]
    close: CloseFields<'a>,
}

#[derive(Serialize, Deserialize)]
struct CloseFields<'a> {
    code: u16,
    #[serde(default, borrow)]
    reason: std::borrow::Cow<'a, str>,
}

/// Writes `{"close":{"code":N,"reason":"…"}}`.
pub(super) fn close(close: &Close) -> Bytes {
    let fields = CloseFields { code: close.code, reason: close.reason.as_ref().into() };
    serde_json::to_vec(&CloseBody { close: fields }).expect("a close is valid JSON").into()
}

/// Parses a close. Returns `None` if `body` is something else.
pub(super) fn closed(body: &[u8]) -> Option<Close> {
    let CloseBody { close } = serde_json::from_slice(body).ok()?;
    Some(Close::new(close.code, close.reason.into_owned()).fitted())
}

struct Array(Vec<Message>);

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ArrayVisitor)
    }
}

struct ArrayVisitor;

impl<'de> Visitor<'de> for ArrayVisitor {
    type Value = Array;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Array, A::Error> {
        let mut messages = Vec::new();
        while let Some(text) = array.next_element::<String>()? {
            if messages.len() == ARRAY_MESSAGES {
                return Err(A::Error::custom("too many strings"));
            }
            messages.push(Message::from(text));
        }
        Ok(Array(messages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_as_long_as_foreseen() {
        let all: String = (0..0x100).filter_map(char::from_u32).collect();
        for text in ["", "x", "\"\\/", "é漢🦀\u{2028}", &all] {
            let encoded = take(&mut VecDeque::from(vec![Message::from(text); 2]));
            let length = encoded.length;
            assert_eq!(encoded.bytes(), 2 * text.len());
            let body = encoded.into_body();
            // No comma follows the last.
            assert_eq!(body.len() + 1, length);
            assert_eq!(messages(&body, 1000), Ok(vec![Message::from(text); 2]));
        }
    }

    #[test]
    fn a_close_is_read_as_it_was_written() {
        for why in [Close::NORMAL, Close::new(4001, "ü\"\n"), Close::new(u16::MAX, "x".repeat(123))] {
            assert_eq!(posted(&close(&why), 0), Ok(Posted::Close(why)));
        }
        for (body, expected) in [
            (r#"{"close":{"code":4001}}"#, Some(Close::new(4001, ""))),
            (r#"{"close":{"code":70000,"reason":""}}"#, None),
            (r#"{"close":null}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(closed(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(closed(&close(&Close::new(1, "é".repeat(100)))), Some(Close::new(1, "é".repeat(61))));
    }
}
