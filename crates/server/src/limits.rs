//! Per-process limits and their defaults.

use std::time::Duration;

use ipnet::IpNet;

use crate::rate::Rate;

/// The maximum number of bytes that connections without a session hold until they are closed, in total.
pub(crate) const CLOSING: usize = 16 * 1024 * 1024;

/// The time that a poll without messages is held. A browser sends one request to a URL at a time. Therefore the second page of a
/// user of the published SDK, or its next connect, may wait for the first page's poll (docs/decisions, page 4).
pub(crate) const POLL_HOLD: Duration = Duration::from_secs(10);

/// The maximum number of bytes of polls' bodies that are being read, and of answers that clients have not read yet, in total.
pub(crate) const BODIES: usize = 64 * 1024 * 1024;

/// The limits of a [`Server`](crate::Server).
///
/// # Examples
/// ```
/// use chatcamp_server::{Limits, Rate};
///
/// let mut limits = Limits::default();
/// limits.connections_per_address = Some(Rate { per_second: 200, burst: 1000 });
/// limits.connects_per_user = None;
/// limits.rate_exempt.push("192.0.2.0/24".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// The number of pending connections per process: those without a verdict of the handshake, an accepted API key or a signed-in
    /// operator. The oldest is closed for one more. Default 4,096; at most half of the files that the process may open when the
    /// server starts.
    pub unverified: usize,
    /// The number of pending connections per network address, or per /64 network of IPv6. Default 64.
    ///
    /// Loopback is exempt, unless a proxy there is trusted: its clients are the operator, or a reverse proxy whose clients cannot be told
    /// apart. The address is the one that a trusted proxy names ([`Proxies`](crate::Proxies)).
    pub unverified_per_address: usize,
    /// The time from accepting a connection to the verdict of its handshake. Default 10 s.
    ///
    /// Also the time in which a client must send the head of an HTTP request, and its body.
    pub handshake: Duration,
    /// The time that an HTTP connection may be idle between two requests. Default 75 s.
    ///
    /// A reverse proxy must close its idle connections sooner. Otherwise it may send a request while this server closes the
    /// connection, and answer 502.
    pub keep_alive: Duration,
    /// The number of sessions with a connection per user. Default 100.
    pub sessions_per_user: usize,
    /// The number of detached sessions per process. The one detached longest is evicted for one more. Default 100,000.
    pub detached: usize,
    /// The number of detached sessions per user. Default 8.
    pub detached_per_user: usize,
    /// The bytes that all sessions hold in total: queued messages, unacknowledged messages, and the memory of their connections.
    /// When seven eighths are in use, the sessions that hold most are ended. Default 256 MiB.
    pub queued_bytes: usize,
    /// The rate of the requests of one session. Default 20 a second with a burst of 100; `None` sets no limit.
    ///
    /// A request above it is not carried out: it fails with `RATE_LIMITED`, and `error.retry_after_ms` tells when to send it again. After
    /// three times the burst of such requests, the connection ends with `RATE_LIMITED`; the session can be resumed as soon as the whole
    /// burst is available. Acknowledgements of messages that others caused are not counted, and a `ping` is always answered.
    pub requests: Option<Rate>,
    /// The rate of Platform API calls with one API key. Default 500 a second with a burst of 1,000; `None` sets no limit.
    ///
    /// A call above it is not carried out: it is answered with 429, `RATE_LIMITED` and `Retry-After`.
    pub api_calls: Option<Rate>,
    /// The rate of new chat connections per network address, or per /64 network of IPv6. Default 50 a second with a burst of 200; `None`
    /// sets no limit.
    ///
    /// A connection counts when it begins its handshake with the user's credential; the polls of a long-poll connection do not count.
    /// One over the rate ends with `RATE_LIMITED` and the time after which its client may return. Each refused client gets another
    /// time, so that a crowd behind one address returns at this rate. TLS handshakes have four times this rate and burst; one over that
    /// is closed without an answer, before any cryptography. Loopback is exempt, unless a trusted proxy is there: its clients cannot be
    /// told apart.
    pub connections_per_address: Option<Rate>,
    /// The rate of failed credentials, per network address and per user. Default 5 a second with a burst of 20; `None` sets no limit.
    ///
    /// The answer to a failed credential over the rate is delayed, by up to 5 s. The answer to a correct credential is never delayed.
    /// While 1,024 answers are being delayed, further failed credentials are refused with `RATE_LIMITED`.
    pub failed_credentials: Option<Rate>,
    /// The rate of accepted connects per user. Default 5 a second with a burst of 20; `None` sets no limit.
    ///
    /// A connect over the rate is deferred with `RATE_LIMITED`.
    pub connects_per_user: Option<Rate>,
    /// Networks to which the rates per network address do not apply, such as an office with many users behind one address. Default
    /// empty.
    pub rate_exempt: Vec<IpNet>,
    /// The time that [`Server::shutdown`](crate::Server::shutdown) allows for telling all clients and closing their connections.
    /// Default 25 s.
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
            requests: Some(Rate { per_second: 20, burst: 100 }),
            api_calls: Some(Rate { per_second: 500, burst: 1000 }),
            queued_bytes: 256 * 1024 * 1024,
            connections_per_address: Some(Rate { per_second: 50, burst: 200 }),
            failed_credentials: Some(Rate { per_second: 5, burst: 20 }),
            connects_per_user: Some(Rate { per_second: 5, burst: 20 }),
            rate_exempt: Vec::new(),
            drain: Duration::from_secs(25),
        }
    }
}
