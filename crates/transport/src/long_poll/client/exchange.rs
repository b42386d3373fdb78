//! One HTTP request and its answer: all that the client needs of HTTP.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::long_poll::Method;

/// Maximum size of an answer, in bytes: fits one array of messages with every character escaped.
pub(super) const ANSWER_LIMIT: usize = 512 * 1024;

/// Makes HTTP requests to one server.
///
/// # Duties of an implementer
/// - One call is one request: never repeat it after the server may have received it, and do not follow redirects.
/// - Send the id in the header `iflychat-token` and a body as `application/json`.
/// - Calls run concurrently: a GET waits for its answer while a POST is sent.
/// - A deadline is not needed; if it has one, at least 60 s.
/// - An answer larger than 512 KiB is an error. No error contains the query or the id.
#[async_trait]
pub trait Exchange: fmt::Debug + Send + Sync {
    /// Sends one request and returns its answer.
    ///
    /// # Errors
    /// [`ExchangeError`] if no HTTP answer is received; any status is an answer.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request; the server may have received it.
    async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, ExchangeError>;

    /// Returns whether requests leave this machine unencrypted.
    fn is_exposed(&self) -> bool;

    /// Returns the URL of the server without its query, for the messages of errors; `None` by default.
    fn url(&self) -> Option<String> {
        None
    }

    /// Returns whether requests are encrypted, as by TLS; `false` by default.
    fn is_encrypted(&self) -> bool {
        false
    }
}

/// A request of the client.
#[derive(Clone)]
pub struct ExchangeRequest {
    /// GET or POST.
    pub method: Method,
    /// The request target: path and query.
    pub target: Arc<str>,
    /// The id of the connection: a secret.
    pub id: Arc<str>,
    /// The JSON body of a POST; empty for a GET.
    pub body: Bytes,
}

/// Does not show the query, the id and the body, which may be secret.
impl fmt::Debug for ExchangeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeRequest")
            .field("method", &self.method)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct ExchangeAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// Shows only the length of the body: it may contain secrets.
impl fmt::Debug for ExchangeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeAnswer")
            .field("status", &self.status)
            .field("body", &self.body.len())
            .finish()
    }
}

/// No answer was received. The server may have received the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The answer exceeds the size limit.
    #[error("the answer is too large")]
    TooLarge,
    /// The TLS handshake failed. Nothing was sent.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(chatcamp_tls::TlsError),
    /// The network or the HTTP client failed; the text does not contain the query.
    #[error("{0}")]
    Failed(String),
}

const _: fn(&dyn Exchange) = |_| ();
