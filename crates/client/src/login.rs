//! The user to connect and the source of its credential.

use std::{fmt, sync::Arc};

use chatcamp_auth::{Credential, CredentialProvider};
use chatcamp_protocol::{AccessToken, UserId, id::InvalidUserId};

/// A user id and the source of its credential; without a credential by default.
///
/// Made from `"alice"`, from `("alice", "access-token")`, from `("alice", Some(token))` or `None`, or with [`new`](Self::new). `connect` reports an invalid id. Two
/// logins are equal if they have the same user and the same token or provider. Providers are the same only if one login is a
/// clone of the other.
#[derive(Clone, PartialEq)]
pub struct Login {
    pub(crate) user_id: Result<UserId, InvalidUserId>,
    pub(crate) source: Source,
}

/// The source of a credential.
#[derive(Clone)]
pub(crate) enum Source {
    /// A fixed credential: nothing else can be offered once it is refused.
    Constant(Credential),
    /// A provider that is asked for credentials.
    Provider(Arc<dyn CredentialProvider>),
}

impl Login {
    /// Creates a login with the user id only.
    pub fn new(user_id: impl AsRef<str>) -> Self {
        Self { user_id: UserId::new(user_id), source: Source::Constant(Credential::none()) }
    }

    /// Sets the access token; removes white space around it.
    #[must_use]
    pub fn token(mut self, token: impl Into<AccessToken>) -> Self {
        self.source = Source::Constant(Credential::token(token.into().trimmed()));
        self
    }

    /// Sets the provider of access tokens; removes white space around each token.
    /// [`from_fn`](chatcamp_auth::credential::from_fn) makes a provider of a closure; `HttpProvider` asks a backend.
    ///
    /// The client asks the provider before the first connect, after the server refused its credential, and after 75 to 85 % of
    /// the credential's lifetime, on a live connection or at a reconnect. It never asks twice at the same time.
    #[must_use]
    pub fn provider(mut self, provider: impl CredentialProvider + 'static) -> Self {
        self.source = Source::Provider(Arc::new(provider));
        self
    }
}

impl Source {
    /// Returns whether a connection opened with this source continues when `connect` is called with `newer`.
    ///
    /// That is the case for the same constant, and for any two providers: an application that renders again makes a new
    /// closure each time.
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

impl<I: AsRef<str>, T: MaybeToken> From<(I, T)> for Login {
    fn from((user_id, token): (I, T)) -> Self {
        match token.into_token() {
            Some(token) => Self::new(user_id).token(token),
            None => Self::new(user_id),
        }
    }
}

/// What can be an access token, or none: text, an [`AccessToken`], an `Option` of either, or a type of your own.
pub trait MaybeToken {
    /// Returns the token; `None` to connect without one.
    fn into_token(self) -> Option<AccessToken>;
}

macro_rules! maybe_token {
    ($($text:ty),*) => {$(
        impl MaybeToken for $text {
            fn into_token(self) -> Option<AccessToken> {
                Some(self.into())
            }
        }
    )*};
}

maybe_token!(&str, String, AccessToken);

impl<T: MaybeToken> MaybeToken for Option<T> {
    fn into_token(self) -> Option<AccessToken> {
        self.and_then(MaybeToken::into_token)
    }
}

/// Shows the user, but not the credential.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Constant(Credential { token: None, .. }) => "user id only",
            Source::Constant(_) => "token",
            Source::Provider(_) => "provider",
        };
        f.debug_struct("Login").field("user_id", &self.user_id).field("source", &source).finish()
    }
}

#[cfg(test)]
mod tests {
    use chatcamp_auth::credential::from_fn;

    use super::*;

    #[test]
    fn a_token_may_be_optional() {
        let with_token = Login::new("a").token("t");
        assert_eq!(Login::from(("a", "t")), with_token);
        assert_eq!(Login::from(("a", Some("t"))), with_token);
        assert_eq!(Login::from(("a", Some(AccessToken::from("t")))), with_token);
        assert_eq!(Login::from(("a", Some(Some(String::from("t"))))), with_token);
        assert_eq!(Login::from(("a", None::<String>)), Login::from("a"));
    }

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
