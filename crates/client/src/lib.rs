//! The ChatCamp client: connects a user, receives events, sends requests, over any transport.
//!
//! It keeps one session for one user at a time. When a connection breaks, it reconnects after a random delay that grows with
//! each failure. It never repeats a request that may have run, never repeats a refused credential unless the provider offers
//! another, and never sends an access token unencrypted to another machine unless that is allowed.
//!
//! URLs that begin with `https://` or `wss://` need the feature `tls`, which is enabled by default. The certificates that the
//! operating system trusts are trusted; [`Builder::root_certificate`] names others instead.
//!
//! | start from | for |
//! |---|---|
//! | [`ChatCamp`] | the handle, cheap to clone: connect, requests, disconnect |
//! | [`Builder`] | the options of a client: URL or transport, time limits, [`Reconnect`] |
//! | [`Event`], [`Events`], [`State`] | what happens on the connection, and how it is now |
//! | [`Login`], `HttpProvider` | a user id with a token, or with a provider of tokens |
//! | [`UserQuery`], [`Users`], [`ProfileUpdate`], [`request`] | users: lists, blocks, profiles; every request of the protocol |
//! | [`ConnectError`], [`RequestError`], [`BuildError`] | why an operation failed, and whether it can be repeated |
//!
//! ```text
//!   ChatCamp ---- commands, bounded ----> driver: one task owns the session
//!   Events  <---- events, bounded ------    |  attempt: provider -> transport -> handshake
//!                                           |  session: numbers, requests (plain data, time passed in)
//!                                           |  link:    the live connection, heartbeat, timeout
//!                                         Box<dyn Carrier>, replaced when it breaks
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`builder`] | the options of a client |
//! | [`chatcamp`] | the handle |
//! | [`login`] | the user to connect and the source of its credential |
//! | `http_provider` | credentials from the app's backend (feature `http-provider`) |
//! | [`event`], [`state`] | events and the connection state |
//! | [`error`] | errors, one type per operation |
//! | [`users`] | typed requests about users: lists, counts, blocks |
//! | [`reconnect`] | the reconnect policy |
//! | [`body`] | unparsed bodies of answers and events |
//! | [`trace`] | observes every message with secrets redacted |
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! use chatcamp_client::{ChatCamp, Event, transport::memory};
//! # use chatcamp_client::transport::{Close, Listener as _, Message};
//!
//! let (transport, listener) = memory::network(); // a server accepts from `listener`
//! # let mut listener = listener;
//! # tokio::spawn(async move {
//! #     let mut peer = listener.accept().await.expect("a client connects");
//! #     peer.recv().await.expect("users.auth");
//! #     let ack = r#"{"t":"users.auth.ack","to":1,"d":{"ok":true,"user":{"id":"alice"},
//! #         "session":{"key":"k","expires_in":60,"fresh":"new","heartbeat":25}}}"#;
//! #     peer.send(Message::from(ack)).await.expect("the client is connected");
//! #     peer.recv().await.expect_err("the client disconnects");
//! # });
//! let chat = ChatCamp::builder("demo").transport(transport).build()?;
//! let mut events = chat.events();
//!
//! let user = chat.connect("alice").await?; // or ("alice", "access-token")
//! assert_eq!(user.id.as_str(), "alice");
//! assert!(matches!(events.next().await, Some(Event::Connected { .. })));
//!
//! chat.disconnect().await;
//! assert!(chat.current_user().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod body;
pub mod builder;
pub mod chatcamp;
mod driver;
pub mod error;
pub mod event;
mod handshake;
#[cfg(feature = "http-provider")]
pub mod http_provider;
pub mod login;
pub mod reconnect;
mod session;
mod shared;
pub mod state;
pub mod trace;
pub mod users;

pub use chatcamp_auth::{client::Refusal, credential};
pub use chatcamp_protocol::{
    AccessToken, Advice, AppId, Code, ErrorCode, Profile, User, UserId,
    handshake::{Continuity, FreshReason},
    request,
    user::{ProfileUpdate, PublicUser},
};
#[cfg(feature = "tls")]
pub use chatcamp_tls::{RootsError, Tls, TlsError};
pub use chatcamp_transport as transport;

pub use body::Body;
pub use builder::Builder;
pub use chatcamp::ChatCamp;
pub use error::{BuildError, ConnectError, RequestError};
pub use event::{Event, Events, Interruption};
#[cfg(feature = "http-provider")]
pub use http_provider::HttpProvider;
pub use login::Login;
pub use reconnect::Reconnect;
pub use state::{EndReason, State};
pub use trace::Direction;
pub use users::{UserQuery, Users};
