//! The accounts of a server: apps, API keys, users and their tokens.

mod api_keys;
mod apps;
mod import;
pub(crate) mod name;
mod users;
mod write;

use std::sync::Arc;

use chatcamp_auth::{Keyring, token::InvalidCustomToken};
use chatcamp_protocol::{AppId, OriginPattern, UserId, origin::TooManyOrigins, user::OverLimit};
use chatcamp_store::{InvalidSessionPolicy, Store, StoreError};

pub use self::{
    api_keys::NewApiKey,
    apps::{AppFields, NewApp, OriginChange},
    import::ImportedUser,
    users::NewUser,
    write::{UserFields, Written, WrittenUser},
};
use crate::Clock;

/// Creates and changes apps, API keys, users and tokens. Works beside a running server on the same store.
#[derive(Debug, Clone)]
pub struct Accounts {
    store: Arc<dyn Store>,
    keyring: Keyring,
    clock: Clock,
}

/// An operation on an account failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// No app has this id.
    #[error("app {0} does not exist; `chatcamp app list` shows all apps")]
    NoApp(AppId),
    /// An app with this id exists.
    #[error("app {0} exists already; choose another id")]
    AppExists(AppId),
    /// The app has no user with this id.
    #[error("the app has no user {0}")]
    NoUser(UserId),
    /// The user exists already and cannot be claimed.
    #[error("the user {0} exists already")]
    UserExists(UserId),
    /// The app has no API key with this id.
    #[error("the app has no API key {0}")]
    NoApiKey(String),
    /// The custom token is invalid.
    #[error(transparent)]
    InvalidToken(#[from] InvalidCustomToken),
    /// The token is a derived token, but not the user's current one.
    #[error(
        "the access token was derived by a server and is not the current token of this user; leave it out, and a new user \
         gets a new token"
    )]
    ForeignToken,
    /// A field of a user is missing or has the wrong type. The text names the field and does not quote its value.
    #[error("{0}")]
    InvalidField(String),
    /// A profile value is too long, or nested too deep.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// A name is too long, has control characters, or has no visible character.
    #[error(
        "a name must have 1 to {} bytes, no control characters and at least one visible character",
        name::LONGEST
    )]
    InvalidName,
    /// The number of sessions in a session policy is out of range.
    #[error(transparent)]
    InvalidSessionPolicy(#[from] InvalidSessionPolicy),
    /// An app would have too many origins.
    #[error(transparent)]
    TooManyOrigins(#[from] TooManyOrigins),
    /// The origin to remove is not among the app's.
    #[error("the app does not name the origin {0}")]
    NoOrigin(OriginPattern),
    /// No origin would be left.
    #[error(
        "no origin would be left, and the app would accept pages of every origin; `chatcamp app origins --app APP --any` sets that"
    )]
    LastOrigin,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Accounts {
    /// Returns the accounts of a store, with the keyring that belongs to it.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use chatcamp_server::{Accounts, Keyring};
    ///
    /// let store = Arc::new(chatcamp_store::memory::Store::new());
    /// let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # drop(accounts);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keyring: Keyring) -> Self {
        Self { store, keyring, clock: Clock::system() }
    }

    /// Sets the clock that expiry times are compared with. Default: the machine's.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_server::Clock;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// // For tests: the time stands still.
    /// let accounts = accounts.with_clock(Clock::new(|| 1_800_000_000));
    /// let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// assert_eq!(accounts.app(&app).await?.created_at, 1_800_000_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}
