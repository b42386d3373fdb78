//! Who connects, and with what.

use std::{fmt, sync::Arc};

use chatcamp_auth::{Credential, CredentialProvider};
use chatcamp_protocol::{AccessToken, UserId, id::InvalidUserId};

/// A user id and the source of its credential; by user id alone unless told otherwise.
///
/// Made from `"alice"`, from `("alice", "access-token")`, or with [`new`](Self::new). Whether the id is valid,
/// `connect` says. Two logins are equal if user and token are, or user and provider: a clone of one login, not another with a
/// provider like it.
#[derive(Clone, PartialEq)]
pub struct Login {
    pub(crate) user_id: Result<UserId, InvalidUserId>,
    pub(crate) source: Source,
}

/// Where the credential comes from.
#[derive(Clone)]
pub(crate) enum Source {
    /// It is what it is; once refused, nothing else can be offered.
    Constant(Credential),
    /// It is asked for.
    Provider(Arc<dyn CredentialProvider>),
}

impl Login {
    /// By user id alone.
    pub fn new(user_id: impl AsRef<str>) -> Self {
        Self { user_id: UserId::new(user_id), source: Source::Constant(Credential::none()) }
    }

    /// With this access token; white space at its ends is removed.
    #[must_use]
    pub fn token(mut self, token: impl Into<AccessToken>) -> Self {
        self.source = Source::Constant(Credential::token(token.into().trimmed()));
        self
    }

    /// With what this provider offers, white space at its ends removed; [`from_fn`](chatcamp_auth::credential::from_fn) makes one of a closure, and
    /// `HttpProvider` asks a backend.
    ///
    /// It is asked before the first connect, when the server refused what it offered, and, on a live connection or on a reconnect,
    /// when some four fifths (75 to 85 %) of the lifetime are over; never while an answer is outstanding.
    #[must_use]
    pub fn provider(mut self, provider: impl CredentialProvider + 'static) -> Self {
        self.source = Source::Provider(Arc::new(provider));
        self
    }
}

impl Source {
    /// Whether a connection opened with this goes on when a call of `connect` comes with `newer`: with the same constant, or
    /// with any provider where this is one, since an application that draws itself anew makes a new closure each time.
    pub(crate) fn is_continued_by(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::Provider(_), Self::Provider(_)) => true,
            _ => self == newer,
        }
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => a == b,
            (Self::Provider(a), Self::Provider(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl From<&str> for Login {
    fn from(user_id: &str) -> Self {
        Self::new(user_id)
    }
}

impl From<String> for Login {
    fn from(user_id: String) -> Self {
        Self::new(user_id)
    }
}

impl From<UserId> for Login {
    fn from(user_id: UserId) -> Self {
        Self::new(user_id)
    }
}

impl<I: AsRef<str>, T: Into<AccessToken>> From<(I, T)> for Login {
    fn from((user_id, token): (I, T)) -> Self {
        Self::new(user_id).token(token)
    }
}

/// Names the user; shows nothing of the credential.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Constant(Credential { token: None, .. }) => "by user id alone",
            Source::Constant(_) => "with a token",
            Source::Provider(_) => "with a provider",
        };
        f.debug_struct("Login").field("user_id", &self.user_id).field("source", &source).finish()
    }
}

#[cfg(test)]
mod tests {
    use chatcamp_auth::credential::from_fn;

    use super::*;

    #[test]
    fn logins_are_the_same_by_user_and_token_or_by_user_and_provider() {
        let provided = Login::new("a").provider(from_fn(|_| async { Ok(Credential::none()) }));
        let other = Login::new("a").provider(from_fn(|_| async { Ok(Credential::none()) }));
        for (a, b, same) in [
            (Login::from("a"), Login::from("a".to_owned()), true),
            (Login::from("a"), Login::from("b"), false),
            (Login::from("a"), Login::from(("a", "t")), false),
            (Login::from(("a", "t")), Login::from(("a", "t")), true),
            (Login::from(("a", "t")), Login::from(("a", "u")), false),
            (provided.clone(), provided.clone(), true),
            (provided.clone(), other, false),
            (provided, Login::from("a"), false),
        ] {
            assert_eq!(a == b, same, "{a:?} {b:?}");
        }
    }

    #[test]
    fn nothing_prints_the_token() {
        let printed = format!("{:?}", Login::from(("alice", "hunter2")));
        assert!(printed.contains("alice") && !printed.contains("hunter2"), "{printed}");
    }
}
