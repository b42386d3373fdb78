//! Stores the apps, API keys, users, blocks and settings of ChatCamp.
//!
//! A store keeps records and announces their changes. It does not authenticate: other crates decide, from its records, whether a
//! token is valid, a user may connect or a session must end. It holds no secrets, only stamps and keyed digests.
//!
//! Each entity has a trait beside its records: [`AppStore`], [`ApiKeyStore`], [`UserStore`], [`BlockStore`],
//! [`SettingStore`]. [`Store`] is their sum. Start with it and one of its implementations: `sqlite::Store` (feature
//! `sqlite`, embedded) or [`memory::Store`] (for tests and throw-away apps). Both, and the conformance suite for stores, have one
//! file for each entity, with the entity's name. Without the feature `sqlite` the crate needs no C compiler.
//!
//! | module | holds |
//! |---|---|
//! | `app`, `api_key`, `user`, `block`, `setting` | the entities: records and trait |
//! | `user_query` | which users to find |
//! | `change` | the announcement of an edit or a deletion |
//! | [`prelude`] | the traits of all entities, for calls on a store whose type is known |
//! | [`memory`] | a store that is lost when its process ends |
//! | `sqlite` | a store in one file; a write is durable before it is acknowledged |
//! | `testing` | the conformance suite for stores (feature `test-util`) |
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
//! store.on_change(Box::new(|change| tracing::info!(user = ?change.user, "check the sessions of this user")));
//! store.edit_user(&app, &alice, Box::new(|user| {
//!     user.is_suspended = true;
//!     Edited::Save
//! })).await?;
//! # Ok(())
//! # }
//! ```

mod api_key;
mod app;
mod block;
mod change;
mod error;
mod listeners;
pub mod memory;
#[cfg(feature = "test-util")]
mod mock;
mod nul;
pub mod prelude;
mod rounding;
mod setting;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod store;
#[cfg(feature = "test-util")]
pub mod testing;
mod user;
mod user_query;

pub use api_key::{ApiKey, ApiKeyStore};
pub use app::{
    App, AppEdit, AppStore, AuthPolicy, InvalidSessionPolicy, MAX_SESSIONS, MAX_USERS, SessionPolicy,
};
pub use block::{BlockStore, MAX_BLOCKS};
pub use change::{Change, ChangeListener, Edited};
pub use error::StoreError;
#[cfg(feature = "test-util")]
pub use mock::MockStore;
pub use setting::SettingStore;
pub use store::Store;
pub use user::{Created, FoundUsers, Previous, TokenRecord, Upsert, Upserted, User, UserEdit, UserStore};
pub use user_query::UserQuery;
