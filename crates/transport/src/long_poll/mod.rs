//! HTTP long-poll, both sides (`docs/PROTOCOL.md`, "Transports").
//!
//! The client sends messages in POSTs and receives messages in the answers of GETs. The server holds a GET until it has
//! something to send. The client chooses a random id for a connection; all its requests have the same target.
//!
//! ```text
//!   client                                  server
//!    | POST ["first message"]  ------------> | Hub::request -> Opened(connection, held)
//!    | <------------- 200 ["its answer"]     |
//!    | GET  ----------------------------->   | held until the connection sends, or for `Limits::hold`
//!    | POST ["a","b"]  ------------------>   |
//!    | <------------- 200 []                 |
//!    | <------------- 200 ["event","event"]  | the GET's answer
//! ```
//!
//! Requests have no cursor: a failed request ends the connection, like a broken socket.
//!
//! | to | use |
//! |---|---|
//! | dial a URL | [`Transport::new`] |
//! | dial through an HTTP client of your own | [`Exchange`], then [`Transport::over`] |
//! | serve, under any HTTP server | [`Hub`]: a table that turns requests into answers |

mod body;
mod client;
mod server;

pub use client::{Exchange, ExchangeAnswer, ExchangeError, ExchangeRequest, Transport};
pub use server::{Answer, Held, Hub, Limits, Opens, Reply, Request};

/// Maximum size of a request body, in bytes: fits one message of the maximum size with every character escaped.
///
/// The HTTP server in front of the [`Hub`] rejects longer bodies with status 413.
pub const BODY_LIMIT: usize = 512 * 1024;

/// The header with the id of the connection to which a request belongs.
pub const ID_HEADER: &str = "iflychat-token";

/// The name in [`ConnectionInfo::transport`](crate::ConnectionInfo::transport).
const NAME: &str = "long-poll";

/// The two methods that carry messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Receives messages.
    Get,
    /// Sends messages.
    Post,
}
