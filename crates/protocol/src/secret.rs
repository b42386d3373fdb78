//! Access tokens and session keys: text that authenticates whoever presents it.
//!
//! A secret has no `Display`, its `Debug` does not show the text, it is wiped from memory when dropped, and secrets are
//! compared in constant time. The text is only available from [`expose`](AccessToken::expose) and the two serializers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A token that a user presents with its user id. A server issues it, or the app's backend chooses it.
#[derive(Clone)]
pub struct AccessToken(Zeroizing<Box<str>>);

/// A key that a server sends with the acknowledgement of a handshake and that the client presents when it reconnects.
#[derive(Clone)]
pub struct SessionKey(Zeroizing<Box<str>>);

macro_rules! secret {
    ($name:ident) => {
        impl $name {
            /// Wraps the text of a secret. Accepts any text; only a server can tell whether it is valid.
            pub fn new(text: impl Into<String>) -> Self {
                Self(Zeroizing::new(text.into().into_boxed_str()))
            }

            /// Returns the text, for the wire and for key derivation only.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// Serializes the text: for `#[serde(serialize_with = …)]` on bodies that carry the secret.
            ///
            /// # Errors
            /// An error of the serializer.
            pub fn serialize_exposed<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.expose())
            }

            /// Serializes the text of an optional secret, as [`serialize_exposed`](Self::serialize_exposed) does.
            ///
            /// # Errors
            /// An error of the serializer.
            pub fn expose_optional<S: Serializer>(secret: &Option<Self>, to: S) -> Result<S::Ok, S::Error> {
                match secret {
                    Some(secret) => to.serialize_some(secret.expose()),
                    None => to.serialize_none(),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
            }
        }

        impl Eq for $name {}

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::new)
            }
        }
    };
}

impl AccessToken {
    /// Returns the token without white space at its ends, which no token has: see [`trim`].
    #[must_use]
    pub fn trimmed(self) -> Self {
        match trim(self.expose()) {
            text if text.len() == self.expose().len() => self,
            text => Self::new(text),
        }
    }

    /// Returns whether the token contains white space, which is easily copied by accident and not visible.
    #[must_use]
    pub fn has_white_space(&self) -> bool {
        self.expose().contains(char::is_whitespace)
    }
}

/// Removes what files and environment variables put around a secret: white space, line breaks, a byte order mark.
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

secret!(AccessToken);
secret!(SessionKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", AccessToken::from("hunter2")), "AccessToken(…)");
        assert_eq!(format!("{:#?}", Some(SessionKey::from("hunter2"))), "Some(\n    SessionKey(…),\n)");
    }

    #[test]
    fn what_a_file_puts_around_a_secret_is_removed() {
        for around in ["token", "token\r\n", "\u{feff}token\n", "\u{feff} token \t", "\u{a0}token\r"] {
            assert_eq!(AccessToken::from(around).trimmed().expose(), "token", "{around:?}");
        }
        let within = AccessToken::from(" to ken\n").trimmed();
        assert_eq!((within.expose(), within.has_white_space()), ("to ken", true));
        assert!(!AccessToken::from("token").has_white_space());
    }

    #[test]
    fn equality_is_by_text() {
        assert_eq!(AccessToken::from("a"), AccessToken::from("a"));
        assert_ne!(AccessToken::from("a"), AccessToken::from("b"));
        assert_ne!(AccessToken::from("a"), AccessToken::from("ab"));
    }
}
