//! Credentials, which a client presents in addition to its user id, and their providers.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use async_trait::async_trait;
use chatcamp_protocol::{AccessToken, Code};

/// Why a credential is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialReason {
    /// The first connect.
    Initial,
    /// The connection was lost, and the current token may be outdated.
    Reconnect,
    /// The current token expires soon.
    Expiring,
    /// The server rejected the current token, or a connect without a token, with this code.
    Rejected(Code),
}

/// What a client presents in addition to its user id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// The access token; `None` to connect by user id alone.
    pub token: Option<AccessToken>,
    /// How long the token is valid from now, if known.
    pub lifetime: Option<Duration>,
}

/// The provider has no credential now. Contains the cause as text for people.
#[derive(Debug, thiserror::Error)]
#[error("no credential: {0}")]
pub struct Unavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Provides the credentials of one user.
///
/// # Duties of an implementer
/// - Provide credentials of the same user every time; the caller decides which user connects.
/// - After [`CredentialReason::Rejected`] provide another credential; if it is the same one, the refusal is final.
///
/// A provider is asked by one task at a time, and not again before it has answered. Dropping the future cancels the request.
#[async_trait]
pub trait CredentialProvider: fmt::Debug + Send + Sync {
    /// Provides the credential.
    ///
    /// # Errors
    /// [`Unavailable`] if there is no credential now. The client asks again as its reconnect policy says.
    async fn credential(&self, why: CredentialReason) -> Result<Credential, Unavailable>;
}

/// Provides the same credential every time.
#[async_trait]
impl CredentialProvider for Credential {
    async fn credential(&self, _reason: CredentialReason) -> Result<Self, Unavailable> {
        Ok(self.clone())
    }
}

impl Credential {
    /// Creates a credential without a token: the user connects by its id alone.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Creates a credential with an access token of unknown lifetime.
    pub fn token(token: impl Into<AccessToken>) -> Self {
        Self { token: Some(token.into()), lifetime: None }
    }
}

type Provided = Pin<Box<dyn Future<Output = Result<Credential, Unavailable>> + Send>>;

/// A provider that calls a closure; see [`from_fn`].
pub struct FromFn(Box<dyn Fn(CredentialReason) -> Provided + Send + Sync>);

/// Creates a provider from an asynchronous closure.
pub fn from_fn<F, A>(ask: F) -> FromFn
where
    F: Fn(CredentialReason) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Credential, Unavailable>> + Send + 'static,
{
    FromFn(Box::new(move |why| Box::pin(ask(why))))
}

#[async_trait]
impl CredentialProvider for FromFn {
    async fn credential(&self, why: CredentialReason) -> Result<Credential, Unavailable> {
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
    fn a_constant_stays_the_same_and_a_closure_gets_the_reason() {
        let constant = Credential::token("t");
        assert_eq!(block_on(constant.credential(CredentialReason::Reconnect)).unwrap(), constant);

        let provider = from_fn(|why| async move {
            match why {
                CredentialReason::Rejected(_) => Ok(Credential::token("newer")),
                _ => Ok(Credential::none()),
            }
        });
        assert_eq!(block_on(provider.credential(CredentialReason::Initial)).unwrap(), Credential::none());
        let rejected = CredentialReason::Rejected(Code::AccessTokenExpired);
        assert_eq!(block_on(provider.credential(rejected)).unwrap(), Credential::token("newer"));
    }

    #[test]
    fn nothing_prints_the_token() {
        assert!(!format!("{:?}", Credential::token("hunter2")).contains("hunter2"));
    }
}
