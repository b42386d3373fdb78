//! The conformance suite for stores: the duties of the traits, entity by entity.
//!
//! ```no_run
//! # async fn example() {
//! chatcamp_store::testing::suite(async || chatcamp_store::memory::Store::new()).await;
//! # }
//! ```

#![expect(clippy::unwrap_used, reason = "the suite fails by panicking")]

mod api_key;
mod app;
mod block;
mod change;
mod setting;
mod user;
mod user_query;

use chatcamp_protocol::{AppId, UserId};

use crate::{App, AuthPolicy, Edited, Store, User, UserEdit};

/// Tests a store; `make` creates an empty one.
///
/// # Panics
/// If the store breaks a duty, which the message names.
///
/// # Cancel safety
/// May be dropped at any time.
pub async fn suite<S: Store>(make: impl AsyncFn() -> S) {
    app::suite(&make).await;
    api_key::suite(&make).await;
    user::suite(&make).await;
    user_query::suite(&make).await;
    block::suite(&make).await;
    setting::suite(&make).await;
    change::suite(&make).await;
}

/// Returns an app id.
///
/// # Panics
/// If `text` is invalid.
#[must_use]
pub fn app_id(text: &str) -> AppId {
    AppId::new(text).unwrap()
}

/// Returns a user id.
///
/// # Panics
/// If `text` is invalid.
#[must_use]
pub fn user_id(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

/// Creates an open app with the defaults.
///
/// # Panics
/// If it cannot be created, or its id is taken.
///
/// # Cancel safety
/// If dropped, the app may have been created.
pub async fn open_app(store: &dyn Store, id: &str) -> AppId {
    let id = app_id(id);
    assert!(store.create_app(App::new(id.clone(), "Demo", AuthPolicy::Open, 1)).await.unwrap());
    id
}

/// Returns a user with a fixed stamp and an empty profile.
///
/// # Panics
/// If `id` is invalid.
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
