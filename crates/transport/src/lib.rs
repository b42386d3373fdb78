//! Carriers of opaque text messages.
//!
//! A transport moves UTF-8 texts between two peers, reliably and in order while it lives. It knows no
//! envelope, no user and no token, so a network written today stays valid when the protocol changes.
//!
//! | start from | for |
//! |---|---|
//! | [`Transport`], [`Listener`] | dialling connections, and accepting them |
//! | [`Connection`], [`Message`] | one open connection, and what it carries |
//! | [`carrier::from_channels`], [`carrier::from_stream_sink`] | a network of your own that has channels, or a stream and a sink |
//! | [`Carrier`] | any other network of your own; wrap it in a [`Connection`] |
//! | [`Closed`], [`ConnectError`] | how a connection ended, and why none was opened |
//!
//! ```text
//!   client                                             server
//!   Transport::connect -> Connection ~~~~~~~~~~~~~ Connection <- Listener::accept
//!                          recv / send                recv / send        cancel-safe, one task
//!                         Box<dyn Carrier>           Box<dyn Carrier>    never waits
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`carrier`] | the trait of one open connection, its contract, and carriers from channels and streams (feature `adapters`) |
//! | [`fallback`] | several transports in order, until one opens |
//! | [`long_poll`] | HTTP requests, some of which wait |
//! | [`memory`] | connections within a process |
//! | [`websocket`] | WebSocket over anything that reads and writes |
//! | `testing` | the conformance suite and fault injection (feature `test-util`) |
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! use chatcamp_transport::{Listener, Message, Transport, memory};
//!
//! let (transport, mut listener) = memory::network();
//! let (client, server) = tokio::join!(transport.connect(), listener.accept());
//! let (mut client, mut server) = (client?, server.expect("the transport is alive"));
//!
//! client.send(Message::from("hello")).await?;
//! assert_eq!(server.recv().await?.as_str(), "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod carrier;
mod connection;
pub mod fallback;
#[cfg(feature = "long-poll")]
pub mod long_poll;
#[cfg(feature = "memory")]
pub mod memory;
mod message;
#[cfg(any(feature = "websocket", feature = "long-poll"))]
mod status;
#[cfg(feature = "test-util")]
pub mod testing;
#[cfg(all(feature = "tls", any(feature = "websocket", feature = "long-poll")))]
mod tls;
#[cfg(any(feature = "websocket", feature = "long-poll"))]
mod url;
#[cfg(feature = "websocket")]
pub mod websocket;

use std::fmt;

use async_trait::async_trait;
use chatcamp_runtime::network_cause;

#[cfg(feature = "tls")]
pub use chatcamp_tls::{RootsError, Tls, TlsError};

pub use carrier::{Buffered, Carrier, Close, Closed, Sent};
pub use connection::{Connection, ConnectionInfo};
pub use message::{MESSAGE_LIMIT, Message, NotText};

/// Dials connections to one place. Write `#[async_trait::async_trait]` above an implementation.
///
/// # Duties of an implementer
/// - Each call opens a new connection; a failed or dropped call leaves nothing behind.
/// - The connection is ready to carry messages in both directions, and nothing of the application was sent on it. The
///   listener may see it only with the first message from this side.
/// - It needs no deadline: the caller has one and drops the future.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Opens one connection.
    ///
    /// # Errors
    /// [`ConnectError`] says whether another attempt may succeed.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the attempt.
    async fn connect(&self) -> Result<Connection, ConnectError>;

    /// Returns whether others on the way can read what is sent: true only for plaintext that leaves this machine.
    ///
    /// A client refuses to send an access token over such a transport.
    fn is_exposed(&self) -> bool;

    /// Returns the URL that it dials, without its query, for the messages of errors; `None` by default.
    fn url(&self) -> Option<String> {
        None
    }
}

/// Accepts connections from one place. Write `#[async_trait::async_trait]` above an implementation.
///
/// # Duties of an implementer
/// - A peer that misbehaves loses its own connection only; it never ends or blocks `accept`.
/// - `None` is final: no connection follows.
#[async_trait]
pub trait Listener: fmt::Debug + Send {
    /// Waits for the next connection.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    async fn accept(&mut self) -> Option<Connection>;
}

/// Why a connection could not be opened.
///
/// The text contains the cause, in plain words if it is an I/O error; [`source`](std::error::Error::source) does not repeat it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server answered. Another attempt, or another transport, may succeed.
    #[error("cannot reach the server: {}", network_cause(&**.0))]
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
    /// The server does not accept this transport. Another transport may succeed.
    #[error("the server does not accept this transport: {}", carrier::OneLine(.0))]
    Refused(String),
    /// The TLS handshake failed, or the server expects one. Another attempt succeeds after the certificate of the server, the network or the clock of this
    /// machine has changed; [`TlsError::is_transient`] tells whether it may succeed within seconds.
    #[cfg(feature = "tls")]
    #[error("cannot open an encrypted connection: {0}")]
    Tls(TlsError),
    /// The address or an option is invalid. No attempt can succeed.
    #[error("cannot dial: {0}")]
    Invalid(String),
}

impl ConnectError {
    /// Returns [`Unreachable`](Self::Unreachable) with its cause.
    pub fn unreachable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unreachable(cause.into())
    }

    /// Returns whether the same attempt may succeed later.
    ///
    /// That includes every failure of TLS: a certificate is renewed, a clock is set, and a laptop leaves the network whose
    /// sign-in page intercepts its connections.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Invalid(_))
    }

    /// Returns whether another transport to the same server would fail for the same reason.
    fn fails_on_every_transport(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Refused(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(error) => !error.is_transient(),
            Self::Invalid(_) => true,
        }
    }
}

/// Fails outside a tokio runtime, where sockets and timers would panic.
#[cfg(any(feature = "websocket", feature = "long-poll"))]
fn needs_runtime() -> Result<(), ConnectError> {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(ConnectError::Invalid(
            "the tokio runtime is missing: connect within a tokio runtime whose I/O and timer are enabled"
                .into(),
        )),
    }
}

const _: fn(&dyn Transport, &dyn Listener, &dyn Carrier) = |_, _, _| ();
