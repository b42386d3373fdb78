//! The server's side: turns requests into answers, without an HTTP server or sockets.

mod carrier;
mod held;
mod hub;
mod line;

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::Method;
use crate::{Connection, ConnectionInfo, MESSAGE_LIMIT};

pub use held::Held;
pub use hub::Hub;

/// The bounds of a [`Hub`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum time for which a GET is held before it is answered `[]`. Default 20 s.
    pub hold: Duration,
    /// Maximum time for which the opening POST is held; until it is answered, its sender sends nothing more. Default 2 s.
    pub opening: Duration,
    /// Maximum time without a held GET before the peer counts as lost. Default 15 s.
    pub gap: Duration,
    /// How long an ended id is remembered and refused. Default 30 s.
    pub remember: Duration,
    /// Maximum number of ended ids that are remembered; at the limit, the oldest is forgotten. Default 65,536.
    pub remembered: usize,
    /// Maximum size of the messages kept for ended ids, in bytes; over the limit, the id with the most is forgotten. Default 16 MiB.
    pub leftover_bytes: usize,
    /// Largest message that a connection accepts until its driver sets another limit
    /// ([`Carrier::limit_messages`](crate::Carrier::limit_messages)), in bytes. Default and maximum: 64 KiB.
    pub message: usize,
    /// Maximum number of live connections; at the limit, a request that would open one is answered 503. Default 1,000,000.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(20),
            opening: Duration::from_secs(2),
            gap: Duration::from_secs(15),
            remember: Duration::from_secs(30),
            remembered: 65_536,
            leftover_bytes: 16 * 1024 * 1024,
            message: MESSAGE_LIMIT,
            connections: 1_000_000,
        }
    }
}

/// Which request opens a connection. Depends on the target, and is the same for all requests of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    /// The first GET: the target holds the credentials (published dialect). A POST's body is one message.
    Get,
    /// The first POST, which contains the first messages (native dialect). A POST's body is an array of messages.
    Post,
}

/// One GET or POST, with the parts that long-poll needs.
pub struct Request<'a> {
    /// GET or POST.
    pub method: Method,
    /// The value of the header [`ID_HEADER`](super::ID_HEADER); empty if it is missing.
    pub id: &'a str,
    /// The whole request target, path and query.
    pub target: &'a str,
    /// Which method opens a connection with this target.
    pub opens: Opens,
    /// The body of a POST, at most [`BODY_LIMIT`](super::BODY_LIMIT); ignored for a GET.
    pub body: Bytes,
    /// The information for [`Connection::info`](crate::Connection::info) if this request opens a connection; the hub sets the transport.
    pub info: ConnectionInfo,
}

/// Does not show the id, the target and the body, which may contain secrets.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("opens", &self.opens)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// The reply to a [`Request`].
#[derive(Debug)]
pub enum Reply {
    /// The answer.
    Now(Answer),
    /// The answer follows later.
    Held(Held),
    /// The request opened a connection. Its answer follows when the connection has something to send, or after the time limit.
    Opened(Connection, Held),
}

/// An HTTP answer without its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200, 400, 403, 410, 413 or 503.
    pub status: u16,
    /// Always JSON, never empty.
    pub body: Bytes,
}

impl Answer {
    /// An empty array of messages.
    const NOTHING: Self = Self::fixed(200, "[]");
    const BAD_ID: Self = Self::fixed(
        400,
        r#"{"ok":false,"error":{"code":"BAD_REQUEST","message":"iflychat-token: 1 to 128 visible ASCII characters"}}"#,
    );
    const BAD_BODY: Self = Self::fixed(
        400,
        r#"{"ok":false,"error":{"code":"BAD_REQUEST","message":"the body is not what this transport carries"}}"#,
    );
    const FORBIDDEN: Self = Self::fixed(
        403,
        r#"{"ok":false,"error":{"code":"FORBIDDEN","message":"this id is in use or has ended"}}"#,
    );
    const GONE: Self =
        Self::fixed(410, r#"{"ok":false,"error":{"code":"GONE","message":"no connection has this id"}}"#);
    const TOO_LARGE: Self =
        Self::fixed(413, r#"{"ok":false,"error":{"code":"TOO_LARGE","message":"the message is too large"}}"#);
    const BUSY: Self =
        Self::fixed(503, r#"{"ok":false,"error":{"code":"BUSY","message":"too much is waiting here"}}"#);

    const fn fixed(status: u16, body: &'static str) -> Self {
        Self { status, body: Bytes::from_static(body.as_bytes()) }
    }
}
