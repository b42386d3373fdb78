//! The ChatCamp server as a library.
//!
//! [`Server`] runs inside a test or a binary and accepts from any transport; start there, and from
//! [`DataDir`], which holds what a server keeps on disk. [`Accounts`] makes apps, users and tokens.
//!
//! It refuses to know transports by name: what it serves is a [`chatcamp_transport::Connection`].
//!
//! | module | holds |
//! |---|---|
//! | `server` | what all connections share; start, load, shutdown |
//! | `handshake` | the one place where a connection becomes a session |
//! | `lobby`, `wheel` | connections without a verdict; deadlines of those with one |
//! | `session` | sessions, their registry, their one task, their requests |
//! | `drain` | how all sessions end when the server does |
//! | `lifecycle` | how sessions are spoken to, lose their connections, end and are forgotten |
//! | `sessions` | what operators and backends see of them, and do to them |
//! | `directory`, `review` | who may in, and who may stay after a change |
//! | `endpoint`, `front_door`, `service` | `/chat/2.0` without HTTP framework, on a TCP port, in another HTTP server |
//! | `api` | the Platform API, which backends call |
//! | `web` | files for web pages: the client `/chatcamp.js`, `/compat.js` |
//! | `accounts`, `data_dir` | what operators and backends do; what is on disk |
//!
//! ```
//! use std::sync::Arc;
//! use chatcamp_server::{Accounts, AuthPolicy, Keyring, Limits, Server};
//! use chatcamp_transport::memory;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let store = Arc::new(chatcamp_store::memory::Store::new());
//! let keyring = Keyring::new(vec![[7; 32]])?;
//! let app = Accounts::new(store.clone(), keyring.clone()).create_app("demo", AuthPolicy::Open, None).await?;
//!
//! let server = Server::start(store, keyring, Limits::default());
//! let (transport, listener) = memory::network();
//! let accepting = tokio::spawn({ let server = server.clone(); async move { server.listen(listener).await } });
//! // … connect clients to `transport`, with `app.id` …
//! server.shutdown().await;
//! # drop((transport, app)); accepting.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accounts;
mod api;
mod clock;
mod data_dir;
mod directory;
mod drain;
mod endpoint;
mod front_door;
mod handshake;
mod health;
mod lifecycle;
mod limits;
mod lobby;
mod presence;
mod random;
mod review;
mod server;
mod service;
mod session;
mod sessions;
mod tasks;
mod turns;
mod web;
mod wheel;

pub use accounts::{
    AccountError, Accounts, AppFields, ImportedUser, NewApiKey, NewApp, NewUser, UserFields, Written,
    WrittenUser,
};
pub use api::ApiService;
pub use chatcamp_auth::Keyring;
pub use chatcamp_store::{AuthPolicy, SessionPolicy};
pub use clock::Clock;
pub use data_dir::{BackedUp, DataDir, DataDirError, Restored};
pub use front_door::{FrontDoor, Pages};
pub use limits::Limits;
pub use server::{Load, Server};
pub use service::{AnswerFuture, ChatService};
pub use sessions::{PublishError, Recipients, SessionInfo};
