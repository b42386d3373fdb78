//! Handles the steps of a refresh: presents the provider's credential to the server and takes over the accepted one.

use std::time::Duration;

use chatcamp_auth::{Credential, credential::CredentialReason};
use chatcamp_protocol::{
    AccessToken, Code, ErrorCode,
    request::{RefreshCredential, RefreshResponse, Request as _},
};
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    attempt::{MIN_RENEWAL_DELAY, Offered},
    goal::Goal,
    lifecycle::Lifecycle,
    refresh::{Refresh, Refreshed},
};
use crate::{
    Event, RequestError,
    session::{Request, Waiting},
};

/// Time for the server to check a credential.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

impl Lifecycle {
    pub(super) fn on_refreshed(&mut self, refreshed: Refreshed) {
        match refreshed {
            Refreshed::Offered { result: Ok(credential), after_rejection } => {
                self.present(credential, after_rejection);
            }
            Refreshed::Offered { result: Err(error), .. } => {
                debug!(%error, "the credential provider failed; asking again later");
                self.renew_later();
            }
            Refreshed::Checked { credential, answer: Ok(body), .. } => {
                let lifetime =
                    body.parse().ok().and_then(|response: RefreshResponse| response.token_expires_in);
                self.on_renewed(credential, lifetime.map(Duration::from_secs));
            }
            Refreshed::Checked {
                answer: Err(RequestError::Rejected { code, known, .. }),
                after_rejection,
                ..
            } => {
                debug!(code, "the server rejected the refresh");
                self.on_rejected(known, after_rejection);
            }
            Refreshed::Checked { answer: Err(_), .. } => self.renew_later(),
        }
    }

    fn on_rejected(&mut self, code: Option<ErrorCode>, after_rejection: bool) {
        let Some(goal) = &mut self.goal else { return };
        match code {
            Some(ErrorCode::TokenRefused) if !after_rejection => {
                goal.ask(CredentialReason::Rejected(Code::AccessTokenInvalid), &self.config);
            }
            Some(code) if code.is_retryable() => self.renew_later(),
            // The session continues until its credential expires; then the provider is asked again.
            _ => goal.give_up_renewal(self.config.now()),
        }
    }

    /// Sends the provider's credential to the server if it is a new one.
    fn present(&mut self, mut credential: Credential, after_rejection: bool) {
        credential.token = credential.token.map(AccessToken::trimmed);
        let now = self.config.now();
        let is_exposed = !self.config.expose_tokens && self.config.transport.is_exposed();
        let Some(goal) = &mut self.goal else { return };
        let Some(token) = new_token(goal, &credential).filter(|_| !is_exposed) else {
            return self.renew_later();
        };
        let refresh = RefreshCredential { access_token: token, user_id: None };
        let request = Request::new(RefreshCredential::TYPE, &refresh).expect("a token is text");
        let (reply, answer) = oneshot::channel();
        goal.session.accept(Waiting { request, deadline: now + CHECK_TIMEOUT, reply });
        goal.refresh = Refresh::Checking { credential, answer, after_rejection };
    }

    /// Takes over the credential that the server accepted, and its lifetime if the server named one.
    fn on_renewed(&mut self, credential: Credential, lifetime: Option<Duration>) {
        let now = self.config.now();
        let random = self.config.runtime.random();
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
            offered.renew_later(now, MIN_RENEWAL_DELAY);
        }
    }
}

/// Returns the token of `credential`, or `None` if it is missing or was presented last.
fn new_token(goal: &Goal, credential: &Credential) -> Option<AccessToken> {
    let presented = goal.offered.as_ref().and_then(|offered| offered.credential.token.as_ref());
    credential.token.clone().filter(|token| Some(token) != presented)
}
