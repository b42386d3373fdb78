//! The refresh of a live session's credential before it expires.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use chatcamp_auth::{Credential, credential::Unavailable};
use tokio::sync::oneshot;

use crate::{RequestError, session::Answer};

/// The state of a refresh. At most one runs at a time, and it ends with its connection.
///
/// `after_rejection` tells whether it replaces a credential that the server refused.
#[derive(Default)]
pub(super) enum Refresh {
    #[default]
    Idle,
    /// Waits for the provider.
    Asking { credential: CredentialFuture, after_rejection: bool },
    /// Waits until the server has checked the credential.
    Checking { credential: Credential, answer: oneshot::Receiver<Answer>, after_rejection: bool },
}

pub(super) type CredentialFuture = Pin<Box<dyn Future<Output = Result<Credential, Unavailable>> + Send>>;

/// A finished step of a refresh.
pub(super) enum Refreshed {
    /// The provider answered.
    Offered { result: Result<Credential, Unavailable>, after_rejection: bool },
    /// The server answered.
    Checked { credential: Credential, answer: Answer, after_rejection: bool },
}

impl Refresh {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Refreshed> {
        let refreshed = match self {
            Self::Idle => return Poll::Pending,
            Self::Asking { credential, after_rejection } => {
                let result = ready!(credential.as_mut().poll(cx));
                Refreshed::Offered { result, after_rejection: *after_rejection }
            }
            Self::Checking { credential, answer, after_rejection } => {
                let answer = ready!(Pin::new(answer).poll(cx));
                let unanswered = |_| Err(RequestError::Unanswered { may_have_run: true });
                Refreshed::Checked {
                    credential: credential.clone(),
                    answer: answer.unwrap_or_else(unanswered),
                    after_rejection: *after_rejection,
                }
            }
        };
        *self = Self::Idle;
        Poll::Ready(refreshed)
    }
}
