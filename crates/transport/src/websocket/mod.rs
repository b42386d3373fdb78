//! WebSocket (RFC 6455) over any byte stream, both sides, without buffers while idle.
//!
//! Carries only text messages. Never requests or accepts a subprotocol or an extension (`docs/PROTOCOL.md`, "Transports").
//!
//! | to | use |
//! |---|---|
//! | dial a URL | [`Transport`] |
//! | connect over your own stream, such as one through a proxy | [`connect_over`] |
//! | accept on a TCP port | [`Listener`] |
//! | accept over your own stream | [`accept`] |
//! | answer an upgrade request that another HTTP server has parsed | [`Upgrade`], then [`Carrier::server`] |
//!
//! ```
//! use chatcamp_transport::{Message, websocket};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (ours, theirs) = tokio::io::duplex(1024);
//! let (client, server) =
//!     tokio::join!(websocket::connect_over(ours, "localhost", "/chat"), websocket::accept(theirs, None));
//! let (mut client, mut server) = (client?, server?);
//!
//! client.send(Message::from("hello")).await?;
//! assert_eq!(server.recv().await?.as_str(), "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod carrier;
mod client;
mod frame;
mod head;
mod server;
mod upgrade;

pub use carrier::Carrier;
pub use client::{Transport, connect_over};
pub use server::{AcceptError, Listener, accept};
pub use upgrade::{Upgrade, UpgradeError};

/// The name in [`ConnectionInfo::transport`](crate::ConnectionInfo::transport).
const NAME: &str = "websocket";
