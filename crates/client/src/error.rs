//! Why an operation failed, one type for each.

use std::{sync::Arc, time::Duration};

use chatcamp_auth::{
    client::{Refusal, Violation},
    credential::Unavailable,
};
use chatcamp_protocol::{
    ErrorCode,
    id::{InvalidAppId, InvalidUserId},
    limits,
    text::OneLine,
};
use chatcamp_transport::{self as transport, Closed};

/// Why no client was built. Always the caller's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The app id is none.
    #[error(transparent)]
    AppId(#[from] InvalidAppId),
    /// Neither an address nor a transport was given.
    #[error("no transport: give the builder the server's url, or a transport")]
    NoTransport,
    /// The address cannot be dialled.
    #[error("the url cannot be used")]
    Url(#[source] transport::ConnectError),
    /// The client was built outside a tokio runtime, on which its task would run.
    #[error("no tokio runtime: build the client within one, its timer enabled")]
    NoRuntime,
}

/// Why a user is not connected.
///
/// It can be cloned: all calls that joined one attempt get the same.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The user id is none.
    #[error(transparent)]
    UserId(#[from] InvalidUserId),
    /// The server refuses the user or the credential. Asking again changes nothing.
    #[error(transparent)]
    Refused(Refusal),
    /// The server asks to come back later.
    #[error("not now: {refusal}")]
    NotNow {
        /// Why.
        refusal: Refusal,
        /// How long to wait at least, where the server says.
        after: Option<Duration>,
    },
    /// No connection was opened.
    #[error("no connection")]
    Transport(#[source] Arc<transport::ConnectError>),
    /// The connection ended before the server answered.
    #[error("the connection ended before the server answered")]
    Lost(#[source] Closed),
    /// The server's answer is not what the protocol asks for, or is for another user; the address may belong to something
    /// else.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// There was no answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The credential provider had none to offer.
    #[error("the credential provider failed")]
    NoCredential(#[source] Arc<Unavailable>),
    /// The access token would be readable on its way. Use an encrypted transport.
    #[error(
        "the access token would cross the network in plaintext; use an encrypted transport, \
         or allow it with dangerous_send_tokens_in_plaintext"
    )]
    TokenExposed,
    /// Another user was connected through the same client meanwhile.
    #[error("another user was connected meanwhile")]
    Superseded,
    /// `disconnect` was called meanwhile.
    #[error("disconnected meanwhile")]
    Disconnected,
    /// Too many calls wait for the same attempt.
    #[error("too many calls wait for this user to connect")]
    TooManyWaiting,
    /// The client's task is gone with the runtime it ran on.
    #[error("the client has ended with its runtime")]
    Ended,
}

impl ConnectError {
    /// Whether the same call may succeed later, nothing else done about it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotNow { .. }
            | Self::Lost(_)
            | Self::Violation(Violation::Answer)
            | Self::TimedOut(_)
            | Self::NoCredential(_)
            | Self::TooManyWaiting => true,
            Self::Transport(cause) => cause.is_retryable(),
            Self::UserId(_)
            | Self::Refused(_)
            | Self::Violation(_)
            | Self::TokenExposed
            | Self::Superseded
            | Self::Disconnected
            | Self::Ended => false,
        }
    }
}

/// Why a request has no positive answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server rejected the request.
    #[error("the server rejected the request: {}: {}", OneLine(.code), OneLine(.message))]
    Rejected {
        /// The code as the server wrote it.
        code: String,
        /// The code, if this version knows it.
        known: Option<ErrorCode>,
        /// The message for people.
        message: String,
    },
    /// The session ended, or began anew, before the answer came.
    #[error("the session ended before the answer came")]
    Unanswered {
        /// Whether it had been sent: the server may then have carried it out.
        may_have_run: bool,
    },
    /// No answer came in time.
    #[error("no answer in time")]
    TimedOut {
        /// Whether it had been sent: the server may then have carried it out, or may do so yet.
        may_have_run: bool,
    },
    /// No user is connected, nor about to be. The request was not sent.
    #[error("no user is connected")]
    NotConnected,
    /// The request is larger than a message may be.
    #[error("the request is larger than {} bytes", limits::MESSAGE)]
    TooLarge,
    /// Too many requests wait to be sent already.
    #[error("too many requests wait to be sent")]
    TooManyWaiting,
    /// The body cannot be written as JSON.
    #[error("the body cannot be written as JSON")]
    InvalidBody(#[source] serde_json::Error),
    /// The answer is not what the protocol asks for. Its text is not repeated.
    #[error("the answer is not what the protocol asks for")]
    InvalidAnswer,
}

impl RequestError {
    /// Whether the same request may succeed later, and cannot run twice when it is repeated.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unanswered { may_have_run } | Self::TimedOut { may_have_run } => !may_have_run,
            Self::TooManyWaiting => true,
            Self::Rejected { known, .. } => *known == Some(ErrorCode::StoreUnavailable),
            Self::NotConnected | Self::TooLarge | Self::InvalidBody(_) | Self::InvalidAnswer => false,
        }
    }
}
