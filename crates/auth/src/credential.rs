//! What a client presents, and who provides it.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use async_trait::async_trait;
use chatcamp_protocol::{AccessToken, Code};

/// Why a credential is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The first connect.
    Initial,
    /// A connection broke, and the token in hand may be old.
    Reconnect,
    /// The token in hand ends soon.
    Expiring,
    /// The server refused the token in hand, or its absence, with this code.
    Rejected(Code),
}

/// What is presented beside the user id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// The access token; `None` to connect by user id alone.
    pub token: Option<AccessToken>,
    /// How long the token is good from now, where that is known.
    pub lifetime: Option<Duration>,
}

/// The provider could not say; the text is for people.
#[derive(Debug, thiserror::Error)]
#[error("no credential: {0}")]
pub struct Unavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Provides what a user presents, and is told why it is asked.
///
/// # Duties of an implementer
/// - Answer for one user, always the same; which user connects is the caller's word, never the provider's.
/// - After [`Why::Rejected`] offer something else, or the refusal is final.
/// - It is asked by one task at a time and never while an answer is outstanding; dropping the future ends the question.
#[async_trait]
pub trait CredentialProvider: fmt::Debug + Send + Sync {
    /// Provides the credential.
    ///
    /// # Errors
    /// [`Unavailable`] when it cannot be had now; the client asks again under its reconnect policy.
    async fn credential(&self, why: Why) -> Result<Credential, Unavailable>;
}

/// A constant: the same credential, whatever the reason.
#[async_trait]
impl CredentialProvider for Credential {
    async fn credential(&self, _why: Why) -> Result<Self, Unavailable> {
        Ok(self.clone())
    }
}

impl Credential {
    /// By user id alone.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// By this access token, of unknown lifetime.
    pub fn token(token: impl Into<AccessToken>) -> Self {
        Self { token: Some(token.into()), lifetime: None }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Credential, Unavailable>> + Send>>;

/// A provider made of a closure.
pub struct FromFn(Box<dyn Fn(Why) -> Answer + Send + Sync>);

/// Makes a provider of an asynchronous closure.
pub fn from_fn<F, A>(ask: F) -> FromFn
where
    F: Fn(Why) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Credential, Unavailable>> + Send + 'static,
{
    FromFn(Box::new(move |why| Box::pin(ask(why))))
}

#[async_trait]
impl CredentialProvider for FromFn {
    async fn credential(&self, why: Why) -> Result<Credential, Unavailable> {
        (self.0)(why).await
    }
}

impl fmt::Debug for FromFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

const _: fn(&dyn CredentialProvider) = |_| ();

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    #[test]
    fn a_constant_answers_the_same_and_a_closure_knows_why() {
        let constant = Credential::token("t");
        assert_eq!(block_on(constant.credential(Why::Reconnect)).unwrap(), constant);

        let provider = from_fn(|why| async move {
            match why {
                Why::Rejected(_) => Ok(Credential::token("newer")),
                _ => Ok(Credential::none()),
            }
        });
        assert_eq!(block_on(provider.credential(Why::Initial)).unwrap(), Credential::none());
        let rejected = Why::Rejected(Code::AccessTokenExpired);
        assert_eq!(block_on(provider.credential(rejected)).unwrap(), Credential::token("newer"));
    }

    #[test]
    fn nothing_prints_the_token() {
        assert!(!format!("{:?}", Credential::token("hunter2")).contains("hunter2"));
    }
}
