//! The ChatCamp server as a library.
//!
//! | start from | for |
//! |---|---|
//! | [`Server`], [`Builder`] | a server in a test or a program, which accepts connections from any transport; its options |
//! | [`Accounts`] | apps, users, tokens and API keys |
//! | [`DataDir`] | the files of a server: a SQLite database and its keys (feature `data-dir`) |
//! | [`FrontDoor`], [`ChatService`] | HTTP on a TCP port, or mounted in another HTTP server |
//! | [`Limits`], [`Rate`] | sizes, times and rates |
//! | `testing::TestServer` | a server for the tests of an application (feature `test-util`) |
//!
//! An embedder also depends on `chatcamp-transport` for listeners, and on `chatcamp-store` for a store in memory or of its own.
//!
//! The server does not know transports by name: it serves each [`chatcamp_transport::Connection`] in the same way.
//!
//! The modules are layers. Each imports only layers below it (`cargo xtask layers`):
//!
//! | module | holds |
//! |---|---|
//! | `builder` | creates the parts and passes each part what it needs |
//! | `server` | a running server: its public methods, its periodic tasks, its shutdown |
//! | `http` | `/chat/2.0` without an HTTP framework, on a TCP port or in another HTTP server; health, files for web pages |
//! | `requests`, `api` | requests of clients on their sessions, requests of backends over the Platform API |
//! | `operations` | the rules that both share: apps, users, tokens, live sessions |
//! | `admission` | from an open connection to a session: pending connections, handshake, checks of credentials |
//! | `sessions` | all live sessions: registry, deadlines, detaching, ending, drain |
//! | `bus` | the interface between nodes |
//! | `session` | one session as plain data, and the task of its connection |
//! | `data_dir` | the files of a server |
//! | `activity` | reports connects, refusals, disconnects and events to `tracing` |
//! | `testing` | a server for the tests of an application (feature `test-util`) |
//!
//! ```
//! use std::sync::Arc;
//! use chatcamp_server::{Accounts, AuthPolicy, Keyring, Server};
//! use chatcamp_transport::memory;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let store = Arc::new(chatcamp_store::memory::Store::new());
//! let keyring = Keyring::new(vec![[7; 32]])?;
//! let app = Accounts::new(store.clone(), keyring.clone()).create_app("demo", AuthPolicy::Open, None).await?;
//!
//! let server = Server::builder(store, keyring).start();
//! let (transport, listener) = memory::network();
//! let accepting = tokio::spawn({ let server = server.clone(); async move { server.listen(listener).await } });
//! // … connect clients to `transport`, with `app.id` …
//! server.shutdown().await;
//! # drop((transport, app)); accepting.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activity;
mod admission;
#[cfg(feature = "api")]
mod api;
mod bodies;
mod builder;
mod bus;
mod clock;
#[cfg(feature = "data-dir")]
mod data_dir;
mod http;
mod limits;
mod network;
mod operations;
mod private_file;
mod random;
mod rate;
mod rate_map;
mod requests;
mod server;
mod session;
mod sessions;
mod shutdown;
#[cfg(feature = "test-util")]
pub mod testing;
mod user_view;

pub use activity::ACTIVITY;
pub use admission::{ClientOrigin, PendingConnection, RefusedOrigin};
#[cfg(feature = "api")]
pub use api::ApiService;
pub use builder::Builder;
pub use bus::{BusError, PublishOutcome, Recipients, SessionList};
pub use chatcamp_auth::Keyring;
pub use chatcamp_store::{AuthPolicy, SessionPolicy};
pub use clock::Clock;
#[cfg(feature = "data-dir")]
pub use data_dir::{BackedUp, DataDir, DataDirError, Restored};
pub use http::{AnswerFuture, ChatService, ClientInfo, FrontDoor, InvalidPublicUrl, Pages, PublicUrl};
#[cfg(feature = "tls")]
pub use http::{CertificateFiles, Tls, TlsError};
pub use limits::Limits;
pub use network::{Proxies, ProxyHeader};
pub use operations::{
    AccountError, Accounts, AppFields, ImportedUser, NewApiKey, NewApp, NewUser, OriginChange, PublishError,
    UserFields, Written, WrittenUser,
};
pub use private_file::{create_private_file, remove_private_drafts, write_private_file};
pub use rate::Rate;
pub use server::{Load, Server};
pub use session::SessionInfo;
