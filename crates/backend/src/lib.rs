//! The Platform API from Rust, for the backend of an app.
//!
//! A backend decides who may be whom: it creates users with access tokens, keeps the tokens, and hands them to its app.
//! Start from [`Backend::builder`]; [`Error`] says what went wrong, whether to try again, and what may have happened.
//!
//! It refuses to do a thing twice. A call that fails on its way is tried again only when that is harmless: it reads, it
//! says how things are to be, it was never sent, or it carries a key by which the server knows it again. It refuses to
//! send the API key in plaintext to another machine, and shows no secret in any `Debug` or error.
//!
//! Addresses that begin with `https://` need the feature `tls`.
//!
//! | module | holds |
//! |---|---|
//! | `backend`, `builder` | the handle, and its options |
//! | `users`, `pages` | users, their tokens, and lists of them |
//! | `sessions` | events for live sessions, and their end |
//! | `app` | the app's settings and API keys |
//! | `retry`, `exchange`, `address` | when to try again; one request over HTTP; where to |
//! | `secret`, `error` | API keys, which never print; what can go wrong |
//!
//! ```no_run
//! use chatcamp_backend::{Backend, UserFields};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let chat = Backend::builder("https://chat.example", std::env::var("CHATCAMP_API_KEY")?).build()?;
//!
//! let fields = UserFields { display_name: Some("Alice".into()), ..UserFields::default() };
//! let created = chat.create_user("alice", fields).await?;
//! // … keep created.access_token.expose(), and hand it to Alice's app …
//!
//! let reached = chat.publish("alice", "order.shipped", &serde_json::json!({"order": 17})).await?;
//! # Ok(()) }
//! ```

mod address;
mod app;
mod backend;
mod builder;
mod error;
mod exchange;
mod pages;
mod retry;
mod secret;
mod sessions;
mod users;

pub use chatcamp_protocol::{AccessToken, AppId, Profile, User, UserId};

pub use app::{App, AppFields, AppPolicy, KeyInfo, NewKey};
pub use backend::Backend;
pub use builder::Builder;
pub use error::{BuildError, Error, Refusal, code};
pub use pages::{Pages, UserQuery};
pub use secret::ApiKey;
pub use sessions::{Disconnect, Session};
pub use users::{Account, Created, Issued, TokenFields, UserFields};
