//! A carrier with what is known about its connection.

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    slice,
    task::{Poll, ready},
};

use crate::{Buffered, Carrier, Close, Closed, Message};

/// One open connection: a boxed [`Carrier`], its [`ConnectionInfo`], and methods that wait.
#[derive(Debug)]
pub struct Connection {
    carrier: Box<dyn Carrier>,
    info: ConnectionInfo,
}

/// What is known about a connection when it opens.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The name of the transport, such as `websocket`.
    pub transport: &'static str,
    /// The network address of the client; IPv4 is never written as IPv6. Behind a proxy that the server trusts it is the address that the
    /// proxy names, with port 0 if the proxy names none. `None` if the transport has no addresses.
    pub peer: Option<SocketAddr>,
    /// The query string of the request that opened the connection, without `?`, percent-encoded.
    pub query: Option<String>,
    /// The `Origin` header, which browsers send. Not validated: bytes that are not UTF-8 are replaced, and repeated headers joined
    /// by a comma, so that neither is a valid origin. `None` if the header is missing.
    pub origin: Option<String>,
    /// Whether the client's connection is encrypted: by this process, as TLS does, or by a proxy that the server trusts and that says so.
    pub encrypted: bool,
}

impl ConnectionInfo {
    /// Returns the information about a connection of `transport` of which nothing else is known.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_transport::ConnectionInfo;
    ///
    /// let mut info = ConnectionInfo::new("my-network");
    /// info.encrypted = true;
    /// ```
    #[must_use]
    pub fn new(transport: &'static str) -> Self {
        Self { transport, ..Self::default() }
    }
}

/// Redacts the query, which may contain a token.
impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("transport", &self.transport)
            .field("peer", &self.peer)
            .field("query", &self.query.as_ref().map(|_| "…"))
            .field("origin", &self.origin)
            .field("encrypted", &self.encrypted)
            .finish()
    }
}

impl Connection {
    /// Wraps an open carrier.
    ///
    /// An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) becomes IPv4.
    pub fn new(carrier: impl Carrier + 'static, mut info: ConnectionInfo) -> Self {
        info.peer = info.peer.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        Self { carrier: Box::new(carrier), info }
    }

    /// Returns what is known about the connection.
    #[must_use]
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Returns the parts, for a driver that polls the carrier itself.
    #[must_use]
    pub fn into_parts(self) -> (Box<dyn Carrier>, ConnectionInfo) {
        (self.carrier, self.info)
    }

    /// Makes a connection of its parts.
    #[must_use]
    pub fn from_parts(carrier: Box<dyn Carrier>, info: ConnectionInfo) -> Self {
        Self { carrier, info }
    }

    /// Returns the memory that the carrier holds for messages on their way.
    #[must_use]
    pub fn buffered(&self) -> Buffered {
        self.carrier.buffered()
    }

    /// Limits the messages accepted from the peer; see [`Carrier::limit_messages`].
    pub fn limit_messages(&mut self, bytes: usize) {
        self.carrier.limit_messages(bytes);
    }

    /// Waits for the next message; flushes first.
    ///
    /// # Errors
    /// [`Closed`] when the connection has ended, the same on every further call.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Result<Message, Closed> {
        poll_fn(|cx| {
            // The end is reported by the receiving side, after what arrived before it.
            let _ = self.carrier.poll_flush(cx);
            self.carrier.poll_recv(cx)
        })
        .await
    }

    /// Sends one message and waits until it has left.
    ///
    /// # Errors
    /// [`Closed`] when the connection has ended.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready: the message is sent whole or not at all, and which is not known.
    pub async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let mut taken = false;
        poll_fn(|cx| {
            taken = taken || self.try_send_one(&message);
            let flushed = ready!(self.carrier.poll_flush(cx));
            if taken || flushed.is_err() {
                return Poll::Ready(flushed);
            }
            // Nothing is buffered now, so an open carrier takes something.
            taken = self.try_send_one(&message);
            if taken { self.carrier.poll_flush(cx) } else { Poll::Ready(Err(Closed::ByUs(Close::NORMAL))) }
        })
        .await
    }

    fn try_send_one(&mut self, message: &Message) -> bool {
        self.carrier.try_send(slice::from_ref(message)).taken == 1
    }

    /// Closes the connection and waits until the peer confirms it. Messages that still arrive are dropped.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the close requested.
    pub async fn close(&mut self, why: Close) -> Closed {
        self.carrier.close(why);
        loop {
            if let Err(closed) = self.recv().await {
                return closed;
            }
        }
    }
}
