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
use chatcamp_runtime::network_cause;
use chatcamp_transport::{self as transport, Closed};

/// Why no client was built. Always a configuration error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The app id is invalid.
    #[error("invalid app id `{}`: {why}", OneLine(.given))]
    AppId {
        /// The text that was given as the app id.
        given: String,
        /// What an app id is.
        why: InvalidAppId,
    },
    /// Both the URL and the transport are missing.
    #[error(
        "the server is missing: give the builder a URL, as in .url(\"https://chat.example\"), or a transport"
    )]
    NoTransport,
    /// The URL is invalid.
    #[cfg(any(feature = "websocket", feature = "long-poll"))]
    #[error(transparent)]
    Url(#[from] chatcamp_protocol::url::InvalidUrl),
    /// A built-in transport cannot dial the URL.
    #[error(transparent)]
    Transport(#[from] transport::ConnectError),
    /// The root certificates cannot be used, or the operating system has none.
    #[cfg(feature = "tls")]
    #[error(transparent)]
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
/// All calls that joined one attempt get clones of the same error. The text names the URL, if the transport has one, and the cause;
/// [`source`](std::error::Error::source) does not repeat it.
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
    /// No connection to a ChatCamp server was opened: nothing answered, or something else did. [`tls`](Self::tls) returns the cause
    /// if it is TLS.
    #[error("{}", unreachable(.url.as_deref(), .cause))]
    Unreachable {
        /// The URL that was dialled, without its query, if the transport has one.
        url: Option<String>,
        /// The cause.
        cause: Arc<transport::ConnectError>,
    },
    /// The connection opened, and ended before the server answered.
    #[error("the connection to {} ended before the server answered: {closed}", server(.url.as_deref()))]
    Lost {
        /// The URL that was dialled, without its query, if the transport has one.
        url: Option<String>,
        /// How the connection ended.
        closed: Closed,
    },
    /// The server's answer violates the protocol or is for another user. The URL may belong to another service.
    #[error("cannot connect to {}: {violation}", server(.url.as_deref()))]
    Violation {
        /// The URL that was dialled, without its query, if the transport has one.
        url: Option<String>,
        /// What is wrong with the answer.
        violation: Violation,
    },
    /// The server did not answer in time.
    #[error("{} did not answer within {limit:?}; check the URL and the network", server(.url.as_deref()))]
    TimedOut {
        /// The URL that was dialled, without its query, if the transport has one.
        url: Option<String>,
        /// The time limit of an attempt.
        limit: Duration,
    },
    /// The credential provider failed, or did not answer in time.
    #[error("the credential provider failed: {}", OneLine(&network_cause(&*.0.0)))]
    NoCredential(Arc<Unavailable>),
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
            Self::Unreachable { cause, .. } => match &**cause {
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
            | Self::Lost { .. }
            | Self::Violation { violation: Violation::Answer, .. }
            | Self::TimedOut { .. }
            | Self::NoCredential(_)
            | Self::TooManyWaiting => true,
            Self::Unreachable { cause, .. } => cause.is_retryable(),
            Self::UserId(_)
            | Self::Refused(_)
            | Self::Violation { .. }
            | Self::TokenExposed
            | Self::Superseded
            | Self::Disconnected
            | Self::Ended => false,
        }
    }
}

fn server(url: Option<&str>) -> &str {
    url.unwrap_or("the server")
}

/// Returns the scheme, host and port: what cannot be reached, whatever the path.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    url[authority..].find('/').map_or(url, |path| &url[..authority + path])
}

fn unreachable(url: Option<&str>, cause: &transport::ConnectError) -> String {
    let origin = url.map_or("the server", origin);
    match cause {
        transport::ConnectError::Unreachable(cause) => {
            format!("cannot reach {origin}: {}", OneLine(&network_cause(&**cause)))
        }
        transport::ConnectError::Refused(why) => {
            format!("{} does not accept the connection: {}; check the URL", server(url), OneLine(why))
        }
        #[cfg(feature = "tls")]
        transport::ConnectError::Tls(cause) => format!("cannot connect to {origin}: {cause}"),
        other => other.to_string(),
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
    /// The user id is invalid. The request was not sent.
    #[error(transparent)]
    UserId(#[from] InvalidUserId),
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
    #[error("the body cannot be serialized as JSON: {0}")]
    InvalidBody(serde_json::Error),
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
            Self::UserId(_)
            | Self::NotConnected
            | Self::TooLarge
            | Self::InvalidBody(_)
            | Self::InvalidAnswer => false,
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
