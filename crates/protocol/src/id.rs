//! App ids and user ids, validated on construction and cheap to clone.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits;

/// The id of an app: 1 to 64 characters of `[A-Za-z0-9._~-]`, not all of them dots.
///
/// The published SDK puts the id into a URL without encoding it, hence the alphabet. An id of dots alone is invalid because
/// `.` and `..` have a meaning in paths.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(Arc<str>);

/// The id of a user: 1 to 255 bytes of UTF-8 without control characters. Ids are compared byte for byte.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// The text is not a valid app id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an app id is 1 to {} characters of A-Z a-z 0-9 . _ ~ -, not all of them dots", limits::APP_ID)]
pub struct InvalidAppId;

/// The text is not a valid user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user id is 1 to {} bytes of UTF-8 without control characters", limits::USER_ID)]
pub struct InvalidUserId;

impl AppId {
    /// Validates `text` as an app id.
    ///
    /// # Errors
    /// [`InvalidAppId`] if the text is empty, too long, only dots, or has a character outside the alphabet.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidAppId> {
        let text = text.as_ref();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        // True for an empty text as well.
        let is_dots = text.bytes().all(|b| b == b'.');
        if is_dots || text.len() > limits::APP_ID || !text.bytes().all(allowed) {
            return Err(InvalidAppId);
        }
        Ok(Self(text.into()))
    }
}

impl UserId {
    /// Validates `text` as a user id. Does not trim, fold or normalise it.
    ///
    /// # Errors
    /// [`InvalidUserId`] if the text is empty, too long, or has a control character (Unicode category Cc).
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidUserId> {
        let text = text.as_ref();
        if text.is_empty() || text.len() > limits::USER_ID || text.chars().any(char::is_control) {
            return Err(InvalidUserId);
        }
        Ok(Self(text.into()))
    }
}

macro_rules! text_id {
    ($name:ident, $invalid:ident) => {
        impl $name {
            /// Returns the id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $invalid;
            fn from_str(text: &str) -> Result<Self, $invalid> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $invalid;
            fn try_from(text: &str) -> Result<Self, $invalid> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(text).map_err(de::Error::custom)
            }
        }
    };
}

text_id!(AppId, InvalidAppId);
text_id!(UserId, InvalidUserId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_ids_use_the_unescaped_alphabet() {
        for good in ["6399747348821438464", "a", "A.b_c~d-e", "..a", &"x".repeat(64)] {
            assert_eq!(AppId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", ".", "..", "...", "a b", "a/b", "a%20", "ä", &"x".repeat(65)] {
            assert_eq!(AppId::new(bad), Err(InvalidAppId), "{bad:?}");
        }
    }

    #[test]
    fn user_ids_are_any_text_without_control_characters() {
        for good in ["alice", "a@b.example", "名前", " ", "a+b/c?d", "e\u{301}", &"x".repeat(255)] {
            assert_eq!(UserId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "\u{0}", "\u{7f}", "\u{85}", &"x".repeat(256), &"é".repeat(128)] {
            assert_eq!(UserId::new(bad), Err(InvalidUserId), "{bad:?}");
        }
    }

    #[test]
    fn unicode_forms_are_different_users() {
        assert_ne!(UserId::new("é").unwrap(), UserId::new("e\u{301}").unwrap());
    }

    #[test]
    fn ids_are_checked_when_deserialised() {
        assert_eq!(serde_json::from_str::<UserId>(r#""a\u0062""#).unwrap().as_str(), "ab");
        assert!(serde_json::from_str::<UserId>(r#""""#).is_err());
        assert!(serde_json::from_str::<AppId>(r#""a b""#).is_err());
    }
}
