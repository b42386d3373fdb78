//! HTTP long-poll, both sides (wire document, sections 2.3 and 9).
//!
//! Messages travel to the server in POSTs and to the client in the answers of GETs, of which one is held until
//! there is something to say. A connection is known by an id that the client draws, and every request of it has the
//! same target.
//!
//! ```text
//!   client                                  server
//!    | POST ["first message"]  ------------> | Hub::request -> Opened(connection, held)
//!    | <------------- 200 ["its answer"]     |
//!    | GET  ----------------------------->   | held until the connection sends, or 20 s
//!    | POST ["a","b"]  ------------------>   |
//!    | <------------- 200 []                 |
//!    | <------------- 200 ["event","event"]  | the GET's answer
//! ```
//!
//! There is no cursor: a request that fails is the end of the connection, as a cut socket is.
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

/// Longest body of a request, in bytes: one message of the largest size, with every character escaped, fits.
///
/// Whoever reads bodies for the [`Hub`] refuses longer ones with status 413.
pub const BODY_LIMIT: usize = 512 * 1024;

/// The header that names the connection a request belongs to.
pub const ID_HEADER: &str = "iflychat-token";

/// The name in [`ConnectionInfo::transport`](crate::ConnectionInfo::transport).
const NAME: &str = "long-poll";

/// The two methods that carry messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Asks for messages.
    Get,
    /// Brings messages.
    Post,
}
