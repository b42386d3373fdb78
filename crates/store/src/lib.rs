//! Where ChatCamp keeps apps, users, API keys and settings, behind one trait.
//!
//! The store keeps records and says when one has changed. It knows nothing of authentication: whether a token
//! is right, a user may come in or a session must end is decided elsewhere, from what is kept here. It holds no
//! secret: stamps and keyed digests only.
//!
//! Start from the trait [`Store`] and one of its implementations: `sqlite::Store` (feature `sqlite`, the
//! embedded one) or [`memory::Store`] (for tests and throw-away apps).
//!
//! | module | holds |
//! |---|---|
//! | [`record`] | what is kept: [`App`], [`ApiKey`], [`User`] |
//! | [`memory`] | a store that ends with its process |
//! | `sqlite` | a store in one file, durable before anything is acknowledged |
//! | `testing` | the suite every store passes (feature `test-util`) |
//!
//! ```
//! use chatcamp_protocol::{AppId, UserId};
//! use chatcamp_store::{App, AuthPolicy, Created, Edited, Store, User, memory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store: &dyn Store = &memory::Store::new();
//! let (app, alice) = (AppId::new("demo")?, UserId::new("alice")?);
//! store.create_app(App::new(app.clone(), "Demo", AuthPolicy::Open, 1_800_000_000)).await?;
//!
//! let created = store.create_user(User::new(app.clone(), alice.clone(), [7; 16], 1_800_000_000)).await?;
//! assert!(matches!(created, Created::New(_)));
//!
//! store.on_change(Box::new(|change| tracing::info!(user = ?change.user, "may this user still be here?")));
//! store.edit_user(&app, &alice, Box::new(|user| {
//!     user.is_suspended = true;
//!     Edited::Save
//! })).await?;
//! # Ok(())
//! # }
//! ```

mod error;
mod listeners;
pub mod memory;
pub mod record;
mod rounding;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod store;
#[cfg(feature = "test-util")]
pub mod testing;

pub use error::StoreError;
pub use record::{
    ApiKey, App, AuthPolicy, InvalidSessionPolicy, MAX_SESSIONS, Previous, SessionPolicy, TokenRecord, User,
};
#[cfg(feature = "test-util")]
pub use store::MockStore;
pub use store::{AppEdit, Change, ChangeListener, Created, Edited, Store, Upsert, Upserted, UserEdit};
