//! Another credential for a live session, ahead of the end of the one it has.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use chatcamp_auth::{
    Credential,
    credential::{CredentialReason, Unavailable},
};
use chatcamp_protocol::{
    AccessToken, Code, ErrorCode,
    request::{RefreshCredential, RefreshResponse, Request as _},
};
use chatcamp_runtime::timeout;
use tokio::sync::oneshot;
use tracing::debug;

use super::{Config, Driver, attempt::Offered, goal::Goal};
use crate::{
    Event, RequestError,
    login::Source,
    session::{Answer, Request, Waiting},
};

/// How long the server may take to judge a credential.
const JUDGING: Duration = Duration::from_secs(30);
/// The shortest time before a provider is asked again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// How far a refresh is; there is one at a time, and it ends with its connection.
#[derive(Default)]
pub(super) enum Refresh {
    #[default]
    Idle,
    /// The provider is asked; whether because it offered something that was refused.
    Asking(Asking, bool),
    /// The server judges what it offered; whether after a refusal.
    Judging(Credential, oneshot::Receiver<Answer>, bool),
}

type Asking = Pin<Box<dyn Future<Output = Result<Credential, Unavailable>> + Send>>;

/// What a refresh has come to.
pub(super) enum Refreshed {
    Offered(Result<Credential, Unavailable>, bool),
    Judged(Credential, Answer, bool),
}

impl Refresh {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Refreshed> {
        let refreshed = match self {
            Self::Idle => return Poll::Pending,
            Self::Asking(answer, again) => Refreshed::Offered(ready!(answer.as_mut().poll(cx)), *again),
            Self::Judging(credential, answer, again) => {
                let answer = ready!(Pin::new(answer).poll(cx));
                let unanswered = |_| Err(RequestError::Unanswered { may_have_run: true });
                Refreshed::Judged(credential.clone(), answer.unwrap_or_else(unanswered), *again)
            }
        };
        *self = Self::Idle;
        Poll::Ready(refreshed)
    }
}

impl Goal {
    /// When a live session's credential is to be renewed.
    pub(super) fn renewal(&self) -> Option<Instant> {
        match (&self.refresh, &self.source) {
            (Refresh::Idle, Source::Provider(_)) => self.offered.as_ref()?.renewal(),
            _ => None,
        }
    }

    /// Asks the provider for another credential.
    pub(super) fn ask(&mut self, why: CredentialReason, config: &Arc<Config>) {
        let Source::Provider(provider) = &self.source else { return };
        let (provider, again) = (provider.clone(), matches!(why, CredentialReason::Rejected(_)));
        debug!(?why, "asking for a credential");
        let config = Arc::clone(config);
        let asking = async move {
            // As long as in an attempt: one that hangs would otherwise never be asked again.
            let answer = timeout(&*config.runtime, config.connect_timeout, provider.credential(why)).await;
            answer.unwrap_or_else(|| Err(Unavailable("it did not answer in time".into())))
        };
        self.refresh = Refresh::Asking(Box::pin(asking), again);
    }
}

impl Driver {
    pub(super) fn on_refreshed(&mut self, refreshed: Refreshed) {
        match refreshed {
            Refreshed::Offered(Ok(credential), again) => self.present(credential, again),
            Refreshed::Offered(Err(error), _) => {
                debug!(%error, "no other credential");
                self.renew_later();
            }
            Refreshed::Judged(credential, Ok(body), _) => {
                let lifetime =
                    body.parse().ok().and_then(|response: RefreshResponse| response.token_expires_in);
                self.on_renewed(credential, lifetime.map(Duration::from_secs));
            }
            Refreshed::Judged(_, Err(RequestError::Rejected { code, known, .. }), again) => {
                debug!(code, "the server refuses to refresh");
                let Some(goal) = &mut self.goal else { return };
                match known {
                    Some(ErrorCode::TokenRefused) if !again => {
                        goal.ask(CredentialReason::Rejected(Code::AccessTokenInvalid), &self.config)
                    }
                    Some(ErrorCode::StoreUnavailable) => self.renew_later(),
                    // The session goes on until its credential ends; then the provider is asked again.
                    _ => goal.give_up_renewal(self.config.now()),
                }
            }
            Refreshed::Judged(_, Err(_), _) => self.renew_later(),
        }
    }

    /// Lets the server judge what the provider offers, if that is anything new.
    fn present(&mut self, mut credential: Credential, again: bool) {
        credential.token = credential.token.map(AccessToken::trimmed);
        let (now, exposed) =
            (self.config.now(), !self.config.expose_tokens && self.config.transport.is_exposed());
        let Some(goal) = &mut self.goal else { return };
        let had = goal.offered.as_ref().and_then(|offered| offered.credential.token.as_ref());
        let Some(token) = credential.token.as_ref().filter(|&token| Some(token) != had && !exposed) else {
            return self.renew_later();
        };
        let refresh = RefreshCredential { access_token: token.clone(), user_id: None };
        let request = Request::new(RefreshCredential::TYPE, &refresh).expect("a token is text");
        let (reply, answer) = oneshot::channel();
        goal.session.accept(Waiting { request, deadline: now + JUDGING, reply });
        goal.refresh = Refresh::Judging(credential, answer, again);
    }

    /// The server goes by the new credential, for so long.
    fn on_renewed(&mut self, credential: Credential, lifetime: Option<Duration>) {
        let (now, random) = (self.config.now(), self.config.runtime.random());
        let Some(goal) = &mut self.goal else { return };
        let mut offered = Offered::new(credential, now, random);
        if let Some(expires_in) = lifetime {
            offered.expires(now, expires_in, random);
            self.shared.emit(&Event::TokenExpires { expires_in, refreshable: true });
        }
        goal.offered = Some(offered);
    }

    fn renew_later(&mut self) {
        let now = self.config.now();
        if let Some(offered) = self.goal.as_mut().and_then(|goal| goal.offered.as_mut()) {
            offered.renew_later(now, AGAIN);
        }
    }
}
