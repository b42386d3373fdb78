//! The Platform API from Rust, for the backend of an app.
//!
//! A backend authenticates its users: it creates them with access tokens, stores the tokens, and gives them to its app.
//!
//! A call never runs twice. A failed call is retried only if that is safe: it only reads, it is idempotent, it was never sent,
//! or it has an idempotency key. If the API key made too many calls, all calls wait as long as the server asks, within their time
//! limits, and go on. The API key is never sent unencrypted to another machine unless that is allowed. No `Debug`
//! output and no error contains a secret.
//!
//! URLs that begin with `https://` need the feature `tls`, which is enabled by default. The certificates that the operating system
//! trusts are trusted; [`Builder::root_certificate`] names others instead.
//!
//! | start from | for |
//! |---|---|
//! | [`Backend`], [`Builder`] | the handle with a function for each method; its URL, API key and time limits |
//! | [`UserFields`] | the profile of a user that is created or changed |
//! | [`Error`] | what went wrong, whether to retry, and whether the call may have run |
//!
//! | module | holds |
//! |---|---|
//! | `backend`, `builder` | the handle and its options |
//! | `users`, `pages` | users, their tokens, and lists of them |
//! | `sessions` | publishes events to live sessions, lists and ends them |
//! | `app` | the app's settings and API keys |
//! | `retry`, `pause` | the retry policy, and the pause after too many calls |
//! | `exchange`, `address` | one HTTP request, the URL of the server |
//! | `secret`, `error` | API keys and errors |
//!
//! ```no_run
//! use chatcamp_backend::{Backend, UserFields};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let chat = Backend::builder("https://chat.example", std::env::var("CHATCAMP_API_KEY")?).build()?;
//!
//! let fields = UserFields { display_name: Some("Alice".into()), ..UserFields::default() };
//! let created = chat.create_user("alice", fields).await?;
//! // … store created.access_token.expose() and give it to Alice's app …
//!
//! let published = chat.publish("alice", "order.shipped", &serde_json::json!({"order": 17})).await?;
//! # Ok(()) }
//! ```

mod address;
mod app;
mod backend;
mod builder;
mod error;
mod exchange;
mod pages;
mod pause;
mod retry;
mod secret;
mod sessions;
mod users;

pub use chatcamp_protocol::{AccessToken, AppId, Profile, User, UserId};
#[cfg(feature = "tls")]
pub use chatcamp_tls::{RootsError, Tls, TlsError};

pub use app::{App, AppFields, AppPolicy, KeyInfo, NewKey};
pub use backend::Backend;
pub use builder::Builder;
pub use error::{BuildError, Error, Refusal, code};
pub use pages::{Pages, UserQuery};
pub use secret::ApiKey;
pub use sessions::{Disconnect, PublishOutcome, Session};
pub use users::{Account, Created, Issued, TokenFields, UserFields};
