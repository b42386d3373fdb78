//! Errors, one type per operation.

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

/// Why no client was built. Always a configuration error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The app id is invalid.
    #[error(transparent)]
    AppId(#[from] InvalidAppId),
    /// Both the URL and the transport are missing.
    #[error("the transport is missing: give the builder a URL or a transport")]
    NoTransport,
    /// The URL is invalid.
    #[error("cannot use the URL of the server")]
    Url(#[source] transport::ConnectError),
    /// The root certificates cannot be used, or the operating system has none.
    #[cfg(feature = "tls")]
    #[error("cannot use the root certificates")]
    Roots(#[from] chatcamp_tls::RootsError),
    /// A TLS configuration was given together with a transport, which does not use it.
    #[cfg(feature = "tls")]
    #[error(
        "root certificates and the TLS configuration apply only to a URL: give them to the transport, \
         or give the builder a URL"
    )]
    UnusedTls,
    /// The client was built outside a tokio runtime. Its task runs on one.
    #[error("the tokio runtime is missing: build the client within a tokio runtime whose timer is enabled")]
    NoRuntime,
}

/// Why a user is not connected.
///
/// All calls that joined one attempt get clones of the same error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The user id is invalid.
    #[error(transparent)]
    UserId(#[from] InvalidUserId),
    /// The server refused the user or the credential. Retrying does not help.
    #[error(transparent)]
    Refused(Refusal),
    /// The server asks the client to retry later.
    #[error("the server asks to retry later: {refusal}")]
    NotNow {
        /// The reason.
        refusal: Refusal,
        /// The shortest time to wait, if the server named one.
        after: Option<Duration>,
    },
    /// The transport cannot open a connection. [`tls`](Self::tls) returns the cause if it is TLS.
    #[error("cannot open a connection")]
    Transport(#[source] Arc<transport::ConnectError>),
    /// The connection ended before the server answered.
    #[error("the connection ended before the server answered")]
    Lost(#[source] Closed),
    /// The server's answer violates the protocol or is for another user. The address may belong to another service.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The server did not answer in time.
    #[error("the server did not answer within {0:?}")]
    TimedOut(Duration),
    /// The credential provider failed.
    #[error("the credential provider failed")]
    NoCredential(#[source] Arc<Unavailable>),
    /// The access token would be sent unencrypted. Use an encrypted transport.
    #[error(
        "the access token would cross the network in plaintext; use a URL that begins with https:// or wss://, \
         or allow it with dangerous_send_tokens_in_plaintext"
    )]
    TokenExposed,
    /// The application connected another user through the same client.
    #[error("the application connected another user")]
    Superseded,
    /// The application called `disconnect`.
    #[error("the application disconnected")]
    Disconnected,
    /// Too many calls wait for the same attempt.
    #[error("too many calls wait for this user to connect")]
    TooManyWaiting,
    /// The client's task ended with its runtime.
    #[error("the client has ended with its runtime")]
    Ended,
}

impl ConnectError {
    /// Returns why the TLS handshake failed, or `None` for other errors.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&chatcamp_tls::TlsError> {
        match self {
            Self::Transport(cause) => match &**cause {
                transport::ConnectError::Tls(cause) => Some(cause),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns whether the same call may succeed later without any change.
    ///
    /// That includes every failure of TLS: a certificate is renewed, a clock is set, and a laptop leaves the network whose
    /// sign-in page intercepts its connections. A client that was connected therefore keeps trying, with delays.
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

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server rejected the request.
    #[error("the server rejected the request: {}: {}", OneLine(.code), OneLine(.message))]
    Rejected {
        /// The code as the server wrote it.
        code: String,
        /// The code, or `None` if this version does not know it.
        known: Option<ErrorCode>,
        /// The message for people.
        message: String,
        /// The shortest time to wait before the same request is sent again, if the server names one. It does with
        /// [`ErrorCode::RateLimited`].
        retry_after: Option<Duration>,
    },
    /// The session ended or was replaced by a new one before the answer arrived.
    #[error("the session ended before the answer arrived")]
    Unanswered {
        /// Whether the request was sent: the server may have executed it.
        may_have_run: bool,
    },
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    TimedOut {
        /// Whether the request was sent: the server may have executed it, or may still do so.
        may_have_run: bool,
    },
    /// No user is connected or connecting. The request was not sent.
    #[error("no user is connected")]
    NotConnected,
    /// The request exceeds the size limit of a message.
    #[error("the request is larger than {} bytes", limits::MESSAGE)]
    TooLarge,
    /// Too many requests already wait to be sent.
    #[error("too many requests wait to be sent")]
    TooManyWaiting,
    /// The body cannot be serialized as JSON.
    #[error("the body cannot be serialized as JSON")]
    InvalidBody(#[source] serde_json::Error),
    /// The answer violates the protocol. The error does not quote it.
    #[error("the answer violates the protocol")]
    InvalidAnswer,
}

impl RequestError {
    /// Returns whether the same request may succeed later and cannot run twice if it is repeated.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unanswered { may_have_run } | Self::TimedOut { may_have_run } => !may_have_run,
            Self::TooManyWaiting => true,
            Self::Rejected { known, .. } => known.is_some_and(ErrorCode::is_retryable),
            Self::NotConnected | Self::TooLarge | Self::InvalidBody(_) | Self::InvalidAnswer => false,
        }
    }

    /// Returns how long the server asks to wait before the same request is sent again; `None` if it names no time.
    ///
    /// A server that limits the rate of requests (by default 20 a second, and 100 at once) rejects those above it with
    /// [`ErrorCode::RateLimited`] and this time. It ends the connection of a client that goes on, and lets it back after a few seconds.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_client::{ChatCamp, RequestError, request::ListUsers};
    ///
    /// # async fn example(chat: ChatCamp) -> Result<(), RequestError> {
    /// let page = loop {
    ///     match chat.send(ListUsers::default()).await {
    ///         Ok(page) => break page,
    ///         Err(error) => match error.retry_after() {
    ///             Some(wait) => tokio::time::sleep(wait).await,
    ///             None => return Err(error),
    ///         },
    ///     }
    /// };
    /// # drop(page);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
