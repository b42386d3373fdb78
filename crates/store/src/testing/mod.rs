//! The suite that every store passes: what the traits promise, entity by entity.
//!
//! ```no_run
//! # async fn example() {
//! chatcamp_store::testing::suite(async || chatcamp_store::memory::Store::new()).await;
//! # }
//! ```

#![expect(clippy::unwrap_used, reason = "a broken promise is a panic here")]

mod api_key;
mod app;
mod block;
mod change;
mod setting;
mod user;

use chatcamp_protocol::{AppId, UserId};

use crate::{App, AuthPolicy, Edited, Store, User, UserEdit};

/// Proves a store, given how to make empty ones; panics with what it does not keep.
///
/// # Cancel safety
/// May be dropped at any time.
pub async fn suite<S: Store>(make: impl AsyncFn() -> S) {
    app::suite(&make).await;
    api_key::suite(&make).await;
    user::suite(&make).await;
    block::suite(&make).await;
    setting::suite(&make).await;
    change::suite(&make).await;
}

/// An app id, for tests.
///
/// # Panics
/// If `text` is none.
#[must_use]
pub fn app_id(text: &str) -> AppId {
    AppId::new(text).unwrap()
}

/// A user id, for tests.
///
/// # Panics
/// If `text` is none.
#[must_use]
pub fn user_id(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

/// Creates an open app with the defaults, for tests.
///
/// # Panics
/// If it cannot be created, or its id is taken.
///
/// # Cancel safety
/// That of [`AppStore::create_app`](crate::AppStore::create_app).
pub async fn open_app(store: &dyn Store, id: &str) -> AppId {
    let id = app_id(id);
    assert!(store.create_app(App::new(id.clone(), "Demo", AuthPolicy::Open, 1)).await.unwrap());
    id
}

/// A user of nothing but ids, for tests.
///
/// # Panics
/// If `id` is none.
#[must_use]
pub fn plain_user(app: &AppId, id: &str) -> User {
    User::new(app.clone(), user_id(id), [7; 16], 1)
}

fn rename(name: &str) -> UserEdit {
    let name = name.to_owned();
    Box::new(move |user| {
        user.profile.display_name = name;
        Edited::Save
    })
}
