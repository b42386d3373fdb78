//! A carrier with what is known about its peer.

use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    slice,
    task::{Poll, ready},
};

use crate::{Carrier, Close, Closed, Message};

/// One open connection: a boxed [`Carrier`], the [`Facts`] about it, and waiting on top.
#[derive(Debug)]
pub struct Connection {
    carrier: Box<dyn Carrier>,
    facts: Facts,
}

/// What is known of a connection when it opens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The transport's name, such as `websocket`.
    pub transport: &'static str,
    /// The peer's network address, where there is one.
    pub peer: Option<SocketAddr>,
    /// The query string of the request that opened it, without `?`, still percent-encoded.
    pub query: Option<String>,
    /// The web page's origin, where a browser named one.
    pub origin: Option<String>,
}

/// Leaves the query out: it may hold a token.
impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("transport", &self.transport)
            .field("peer", &self.peer)
            .field("query", &self.query.as_ref().map(|_| "…"))
            .field("origin", &self.origin)
            .finish()
    }
}

impl Connection {
    /// Wraps an open carrier.
    pub fn new(carrier: impl Carrier + 'static, facts: Facts) -> Self {
        Self { carrier: Box::new(carrier), facts }
    }

    /// What is known of the connection.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Takes the connection apart, for a driver of its own.
    #[must_use]
    pub fn into_parts(self) -> (Box<dyn Carrier>, Facts) {
        (self.carrier, self.facts)
    }

    /// Puts a connection together again.
    #[must_use]
    pub fn from_parts(carrier: Box<dyn Carrier>, facts: Facts) -> Self {
        Self { carrier, facts }
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
            match taken {
                true => self.carrier.poll_flush(cx),
                false => Poll::Ready(Err(Closed::ByUs(Close::NORMAL))),
            }
        })
        .await
    }

    fn try_send_one(&mut self, message: &Message) -> bool {
        self.carrier.try_send(slice::from_ref(message)).taken == 1
    }

    /// Ends the connection and waits until the peer agrees; messages still arriving are dropped.
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
