//! Access tokens and session keys: text that authenticates whoever holds it.
//!
//! A secret has no `Display`, its `Debug` shows nothing, it is wiped from memory when dropped, and two of
//! them are compared in constant time. [`expose`](AccessToken::expose) is the one way to the text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What a user presents beside the user id, issued by the app's own backend or of its choosing.
#[derive(Clone)]
pub struct AccessToken(Zeroizing<Box<str>>);

/// What a server hands out with an acknowledgement and a reconnecting client presents.
#[derive(Clone)]
pub struct SessionKey(Zeroizing<Box<str>>);

macro_rules! secret {
    ($name:ident) => {
        impl $name {
            /// Wraps the text of a secret; any text is accepted, its validity is the server's question.
            pub fn new(text: impl Into<String>) -> Self {
                Self(Zeroizing::new(text.into().into_boxed_str()))
            }

            /// The text itself, for the wire and for key derivation only.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// Serialises the text of an optional secret: for `#[serde(serialize_with = …)]` on wire bodies.
            ///
            /// # Errors
            /// Those of the serializer.
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

secret!(AccessToken);
secret!(SessionKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        assert_eq!(format!("{:?}", AccessToken::from("hunter2")), "AccessToken(…)");
        assert_eq!(format!("{:#?}", Some(SessionKey::from("hunter2"))), "Some(\n    SessionKey(…),\n)");
    }

    #[test]
    fn equality_is_by_text() {
        assert_eq!(AccessToken::from("a"), AccessToken::from("a"));
        assert_ne!(AccessToken::from("a"), AccessToken::from("b"));
        assert_ne!(AccessToken::from("a"), AccessToken::from("ab"));
    }
}
