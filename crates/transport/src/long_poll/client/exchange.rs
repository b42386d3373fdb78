//! The one thing the client needs of HTTP: a request, its answer.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::long_poll::Method;

/// Largest answer a client reads, in bytes: one array of messages fits, whatever is escaped in it.
pub(super) const ANSWER_LIMIT: usize = 512 * 1024;

/// Makes HTTP requests to one server.
///
/// # Duties of an implementer
/// - One call is one request: it is not sent again once the server may have seen it, and no redirect is followed.
/// - The id goes into the header `iflychat-token`, a body is of type `application/json`.
/// - Calls run beside one another: a GET waits for its answer while a POST is made.
/// - No deadline of its own is needed, and nothing below 60 s.
/// - Answers beyond 512 KiB are an error. No error says the query or the id.
#[async_trait]
pub trait Exchange: fmt::Debug + Send + Sync {
    /// Makes one request.
    ///
    /// # Errors
    /// [`ExchangeError`] if there is no answer of HTTP; any status is an answer.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request; the server may have seen it.
    async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, ExchangeError>;

    /// Whether others can read what is sent: true only for plaintext beyond this machine.
    fn is_exposed(&self) -> bool;
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
    /// The body of a POST, JSON; empty for a GET.
    pub body: Bytes,
}

/// Leaves out what may be secret.
impl fmt::Debug for ExchangeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeRequest")
            .field("method", &self.method)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, PartialEq, Eq)]
pub struct ExchangeAnswer {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// Shows the length of the body only: it may hold a secret.
impl fmt::Debug for ExchangeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeAnswer")
            .field("status", &self.status)
            .field("body", &self.body.len())
            .finish()
    }
}

/// There is no answer, and whether the server saw the request is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// Nothing came in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is too large to be one of this transport.
    #[error("the answer is too large")]
    TooLarge,
    /// The network or the HTTP client failed; the text holds no query.
    #[error("{0}")]
    Failed(String),
}

const _: fn(&dyn Exchange) = |_| ();
