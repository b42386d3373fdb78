//! One text message, cheap to clone.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

/// Maximum size of a message, in bytes, unless a transport is told otherwise.
pub const MESSAGE_LIMIT: usize = 64 * 1024;

/// UTF-8 text over shared bytes: cloning copies a pointer, so a publish to many is serialised once.
#[derive(Clone, PartialEq, Eq)]
pub struct Message(ByteString);

/// Bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not UTF-8 text")]
pub struct NotText;

impl Message {
    /// Returns a message of a static text, without a copy.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl TryFrom<Bytes> for Message {
    type Error = NotText;

    fn try_from(bytes: Bytes) -> Result<Self, NotText> {
        ByteString::try_from(bytes).map(Self).map_err(|_| NotText)
    }
}

/// Shows only the length: a message may contain a secret.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_must_be_utf_8() {
        assert_eq!(Message::try_from(Bytes::from_static("é".as_bytes())).unwrap().as_str(), "é");
        assert_eq!(Message::try_from(Bytes::from_static(b"\xff")), Err(NotText));
    }

    #[test]
    fn debug_shows_no_text() {
        assert_eq!(format!("{:?}", Message::from("hunter2")), "Message(7 bytes)");
    }
}
