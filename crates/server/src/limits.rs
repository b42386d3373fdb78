//! What one server process bears, each with its default.

use std::time::Duration;

/// Maximum number of bytes that connections without a session hold until they are closed, all together.
pub(crate) const CLOSING: usize = 16 * 1024 * 1024;

/// How long a poll without news is held. A browser asks for one URL once at a time, so the second page of a published
/// user, or its next connect, may wait for the first page's poll (docs/decisions, page 4).
pub(crate) const POLL_HOLD: Duration = Duration::from_secs(10);

/// Maximum number of bytes of polls' bodies that are being read, and of answers that clients have yet to read, all together.
pub(crate) const BODIES: usize = 64 * 1024 * 1024;

/// The bounds of a [`Server`](crate::Server).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Pending connections, per process: those without a verdict of the handshake, an accepted API key or a signed-in
    /// operator. The oldest is closed for one more. Default 4,096; never more than half the files that the process may open
    /// when the server starts.
    pub unverified: usize,
    /// The same per network address other than loopback (of IPv6, per /64). Default 64.
    ///
    /// Loopback is exempt: there it is a proxy in front, or the operator.
    pub unverified_per_address: usize,
    /// From the first byte of a connection to its verdict. Default 10 s.
    ///
    /// Also how long a client may take to send the head of an HTTP request, and its body.
    pub handshake: Duration,
    /// How long an HTTP connection may be idle between two requests. Default 75 s.
    ///
    /// A proxy in front is to close its idle connections sooner: otherwise it sends a request while this server closes the
    /// connection, and answers 502.
    pub keep_alive: Duration,
    /// Sessions per user that have a connection. Default 100.
    pub sessions_per_user: usize,
    /// Sessions without a connection, per process; the one that has waited longest goes for one more. Default 100,000.
    pub detached: usize,
    /// The same per user. Default 8.
    pub detached_per_user: usize,
    /// Bytes that all sessions hold together: what waits for clients, what they have not acknowledged, and the memory of their
    /// connections. When seven eighths are in use, the sessions of those that hold most are ended. Default 256 MiB.
    pub queued_bytes: usize,
    /// For how long [`Server::shutdown`](crate::Server::shutdown) lets clients take their leave, from the first that is told to
    /// the last that is waited for. Default 25 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unverified: 4096,
            unverified_per_address: 64,
            handshake: chatcamp_protocol::limits::HANDSHAKE,
            keep_alive: Duration::from_secs(75),
            sessions_per_user: 100,
            detached: 100_000,
            detached_per_user: 8,
            queued_bytes: 256 * 1024 * 1024,
            drain: Duration::from_secs(25),
        }
    }
}
