//! One attempt to connect: ask for a credential, dial, perform the handshake; all within one time limit.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcamp_auth::{
    Credential,
    client::{Established, Hello, Refusal},
    credential::{CredentialReason, Unavailable},
};
use chatcamp_protocol::{AccessToken, Advice, Code, UserId, handshake::Resume};
use chatcamp_runtime::{after, timeout_at};
use chatcamp_transport::Connection;

use super::config::Config;
use crate::{ConnectError, handshake, login::Source};

/// The shortest delay before a provider is asked again.
pub(super) const MIN_RENEWAL_DELAY: Duration = Duration::from_secs(1);

/// The input of an attempt.
pub(super) struct Attempt {
    pub(super) config: Arc<Config>,
    pub(super) user_id: UserId,
    pub(super) source: Source,
    pub(super) offered: Option<Offered>,
    pub(super) rejected: Option<Rejected>,
    pub(super) resume: Option<Resume>,
}

/// A credential, and when to renew it.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    pub(super) credential: Credential,
    ends_at: Option<Instant>,
    renew_at: Option<Instant>,
}

/// A refused credential.
#[derive(Debug, Clone)]
pub(super) struct Rejected {
    pub(super) refusal: Refusal,
    pub(super) code: Code,
    pub(super) credential: Option<Credential>,
}

/// The result of an attempt.
pub(super) struct Outcome {
    /// The credential that was presented, or would have been.
    pub(super) credential: Option<Offered>,
    pub(super) result: Result<Opened, ConnectError>,
}

/// A connection whose user the server has accepted.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) established: Box<Established>,
}

impl Attempt {
    pub(super) async fn run(self) -> Outcome {
        let deadline = after(self.config.now(), self.config.connect_timeout);
        match self.within(deadline, self.credential(), || self.provider_was_late()).await {
            Ok(offered) => {
                let opening = self.open(&offered.credential);
                let result = self.within(deadline, opening, || self.server_was_late()).await;
                Outcome { credential: Some(offered), result }
            }
            Err(error) => Outcome { credential: None, result: Err(error) },
        }
    }

    async fn within<T>(
        &self,
        deadline: Instant,
        step: impl Future<Output = Result<T, ConnectError>>,
        late: impl FnOnce() -> ConnectError,
    ) -> Result<T, ConnectError> {
        timeout_at(&*self.config.runtime, deadline, step).await.unwrap_or_else(|| Err(late()))
    }

    fn provider_was_late(&self) -> ConnectError {
        let why = format!("it did not answer within {:?}", self.config.connect_timeout);
        ConnectError::NoCredential(Arc::new(Unavailable(why.into())))
    }

    fn server_was_late(&self) -> ConnectError {
        ConnectError::TimedOut { url: self.config.transport.url(), limit: self.config.connect_timeout }
    }

    async fn credential(&self) -> Result<Offered, ConnectError> {
        let provider = match &self.source {
            Source::Constant(credential) => return Ok(self.offer(credential.clone())),
            Source::Provider(provider) => provider,
        };
        let why = match (&self.rejected, &self.offered) {
            (Some(rejected), _) => CredentialReason::Rejected(rejected.code),
            (None, Some(offered)) if offered.is_valid(self.config.now()) => return Ok(offered.clone()),
            (None, Some(_)) => CredentialReason::Reconnect,
            (None, None) => CredentialReason::Initial,
        };
        let answer = provider.credential(why).await;
        let credential = answer.map_err(|e| ConnectError::NoCredential(Arc::new(e)))?;
        match &self.rejected {
            Some(Rejected { credential: Some(refused), refusal, .. })
                if refused.token == credential.token =>
            {
                Err(ConnectError::Refused(refusal.clone()))
            }
            _ => Ok(self.offer(credential)),
        }
    }

    fn offer(&self, credential: Credential) -> Offered {
        Offered::new(credential, self.config.now(), self.config.runtime.random())
    }

    async fn open(&self, credential: &Credential) -> Result<Opened, ConnectError> {
        let Config { app_id, transport, expose_tokens, trace, .. } = &*self.config;
        if credential.token.is_some() && transport.is_exposed() && !expose_tokens {
            return Err(ConnectError::TokenExposed);
        }
        let hello = Hello {
            app_id,
            user_id: &self.user_id,
            token: credential.token.as_ref(),
            client: handshake::CLIENT,
            resume: self.resume.clone(),
        };
        let opened = handshake::open(&**transport, &hello, trace).await;
        let (connection, established) = opened.map_err(|error| explain(error, credential))?;
        Ok(Opened { connection, established })
    }
}

/// Adds to a refusal that the token contains white space, which is easily copied and hard to see.
fn explain(error: ConnectError, credential: &Credential) -> ConnectError {
    match error {
        ConnectError::Refused(mut refusal)
            if refusal.advice == Advice::Credential
                && credential.token.as_ref().is_some_and(AccessToken::has_white_space) =>
        {
            refusal.message += "; the access token contains white space";
            ConnectError::Refused(refusal)
        }
        error => error,
    }
}

impl Offered {
    /// Removes white space around the token: a file or a variable of a backend may add it.
    pub(super) fn new(mut credential: Credential, now: Instant, random: u64) -> Self {
        credential.token = credential.token.map(AccessToken::trimmed);
        let lifetime = credential.lifetime;
        let mut offered = Self { credential, ends_at: None, renew_at: None };
        if let Some(lifetime) = lifetime {
            offered.expires(now, lifetime, random);
        }
        offered
    }

    /// Sets the remaining lifetime. Renewal is due after 75 to 85 percent of it, at random, so that many clients do not renew
    /// at the same time.
    pub(super) fn expires(&mut self, now: Instant, lifetime: Duration, random: u64) {
        let percent = 75 + u32::try_from(random % 11).unwrap_or(5);
        let earlier = |had: Option<Instant>, new: Instant| Some(had.map_or(new, |had| had.min(new)));
        self.renew_at = earlier(self.renew_at, after(now, (lifetime / 100 * percent).max(MIN_RENEWAL_DELAY)));
        self.ends_at = earlier(self.ends_at, after(now, lifetime));
    }

    /// Returns when to ask for another credential.
    pub(super) fn renewal(&self) -> Option<Instant> {
        self.renew_at
    }

    /// Retries a failed renewal after half of the remaining lifetime, at least `shortest`.
    pub(super) fn renew_later(&mut self, now: Instant, shortest: Duration) {
        let left = self.ends_at.map(|end| end.saturating_duration_since(now));
        self.renew_at = left.filter(|left| !left.is_zero()).map(|left| after(now, (left / 2).max(shortest)));
    }

    /// Does not renew before the credential expires.
    pub(super) fn keep(&mut self, now: Instant) {
        self.renew_at = self.ends_at.filter(|&end| end > now);
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.renew_at.is_none_or(|at| now < at) && self.ends_at.is_none_or(|at| now < at)
    }
}
