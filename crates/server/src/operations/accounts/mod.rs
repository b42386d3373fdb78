//! The accounts of a server: apps, API keys, users and their tokens.

mod import;
pub(crate) mod name;
mod write;

use std::sync::Arc;

use chatcamp_auth::{
    Keyring,
    token::{self, InvalidCustomToken, Stamp},
};
use chatcamp_protocol::{AccessToken, AppId, Profile, UserId, limits, user::OverLimit};
use chatcamp_store::{
    ApiKey, App, AuthPolicy, Edited, InvalidSessionPolicy, Previous, SessionPolicy, Store, StoreError,
    TokenRecord, User,
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use parking_lot::Mutex;

pub use self::{
    import::ImportedUser,
    write::{UserFields, Written, WrittenUser},
};
use crate::{Clock, random};

/// The upper bound of generated app ids, which are decimal: JavaScript represents each integer below it exactly.
const GENERATED_BELOW: u64 = 1 << 53;

/// Creates and changes apps, API keys, users and tokens. Works beside a running server on the same store.
#[derive(Debug, Clone)]
pub struct Accounts {
    store: Arc<dyn Store>,
    keyring: Keyring,
    clock: Clock,
}

/// A new app, with the text of its first API key, which is not available later.
#[derive(Debug)]
pub struct NewApp {
    /// The app's id, for `new ChatCamp({appId})` and `ChatCamp::builder`.
    pub id: AppId,
    /// Its first API key.
    pub api_key: NewApiKey,
}

/// A new API key. Its text is not available later.
pub struct NewApiKey {
    /// The public id, with which the key can be revoked.
    pub id: String,
    /// The key.
    pub key: String,
}

/// The fields of a new user.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The user's profile.
    pub profile: Profile,
    /// A custom token; if `None`, the user gets a derived token.
    pub token: Option<AccessToken>,
    /// Whether the user must present its token to connect. Default true.
    pub check_access_token: bool,
}

impl Default for NewUser {
    fn default() -> Self {
        Self { profile: Profile::default(), token: None, check_access_token: true }
    }
}

/// The fields to change of an app. An absent field stays unchanged.
#[derive(Debug, Clone, Default)]
pub struct AppFields {
    /// A name for people: 1 to 255 bytes, no control characters, at least one visible character. White space around it is removed.
    pub name: Option<String>,
    /// What users must present to connect. Changing it to `token` ends all sessions that were opened with a user id alone.
    pub auth: Option<AuthPolicy>,
    /// Whether clients may list the users.
    pub directory: Option<bool>,
    /// The number of sessions that a user may have, and what happens with one more.
    pub sessions: Option<SessionPolicy>,
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
    #[error("a name has 1 to {} bytes, no control characters, and something to see", name::LONGEST)]
    InvalidName,
    /// The number of sessions in a session policy is out of range.
    #[error(transparent)]
    InvalidSessionPolicy(#[from] InvalidSessionPolicy),
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

    /// Creates an app and its first API key. If `id` is `None`, an id is generated.
    ///
    /// # Errors
    /// [`AccountError::AppExists`] if the given id is taken, [`AccountError::InvalidName`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the app may have been created, with or without its API key.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = Arc::new(chatcamp_store::memory::Store::new());
    /// let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// let app = accounts.create_app("shop", AuthPolicy::Token, None).await?;
    /// assert_eq!(accounts.app_of_api_key(&app.api_key.key).await?, Some(app.id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn create_app(
        &self,
        name: &str,
        auth: AuthPolicy,
        id: Option<AppId>,
    ) -> Result<NewApp, AccountError> {
        let name = name::trimmed(name)?;
        let given = id.is_some();
        let mut id = id.unwrap_or_else(generate_app_id);
        while !self.store.create_app(App::new(id.clone(), name, auth, self.clock.now())).await? {
            if given {
                return Err(AccountError::AppExists(id));
            }
            id = generate_app_id();
        }
        let api_key = self.create_api_key(&id, "default").await?;
        Ok(NewApp { id, api_key })
    }

    /// Lists the apps, oldest first.
    ///
    /// # Errors
    /// [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// for app in accounts.apps().await? {
    ///     println!("{}: {}", app.id, app.name);
    /// }
    /// # let _ = app;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn apps(&self) -> Result<Vec<Arc<App>>, AccountError> {
        Ok(self.store.apps().await?)
    }

    /// Returns an app by its id, or by that id as JavaScript rounds it.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// assert_eq!(accounts.app(&app).await?.name, "shop");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn app(&self, id: &AppId) -> Result<Arc<App>, AccountError> {
        self.store.app(id).await?.ok_or_else(|| AccountError::NoApp(id.clone()))
    }

    /// Changes the given fields of an app, atomically, and returns the app with the changes.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::InvalidName`], [`AccountError::InvalidSessionPolicy`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the app may have been changed or not. The call can be repeated.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_server::AppFields;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Open, None).await?.id;
    /// let fields = AppFields { name: Some("book shop".into()), ..AppFields::default() };
    /// assert_eq!(accounts.update_app(&app, fields).await?.name, "book shop");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn update_app(&self, app: &AppId, fields: AppFields) -> Result<Arc<App>, AccountError> {
        let name = fields.name.as_deref().map(name::trimmed).transpose()?.map(str::to_owned);
        if let Some(sessions) = fields.sessions {
            // Only parsing checks the range. The store could not read a policy outside of it back.
            sessions.to_string().parse::<SessionPolicy>()?;
        }
        let app = self.app(app).await?;
        let edit = move |app: &mut App| {
            let before = app.clone();
            app.name = name.unwrap_or_else(|| std::mem::take(&mut app.name));
            app.auth = fields.auth.unwrap_or(app.auth);
            app.directory = fields.directory.unwrap_or(app.directory);
            app.sessions = fields.sessions.unwrap_or(app.sessions);
            if *app == before { Edited::Keep } else { Edited::Save }
        };
        let edited = self.store.edit_app(&app.id, Box::new(edit)).await?;
        edited.ok_or_else(|| AccountError::NoApp(app.id.clone()))
    }

    /// Sets what users of an app must present to connect. Changing it to `token` ends all sessions that were opened with a user id
    /// alone.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Like [`update_app`](Self::update_app).
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Open, None).await?.id;
    /// accounts.set_policy(&app, AuthPolicy::Token).await?;
    /// assert_eq!(accounts.app(&app).await?.auth, AuthPolicy::Token);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn set_policy(&self, app: &AppId, auth: AuthPolicy) -> Result<(), AccountError> {
        self.update_app(app, AppFields { auth: Some(auth), ..AppFields::default() }).await?;
        Ok(())
    }

    /// Sets whether clients may list the users of an app.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Like [`update_app`](Self::update_app).
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// accounts.set_directory(&app, false).await?;
    /// assert!(!accounts.app(&app).await?.directory);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn set_directory(&self, app: &AppId, directory: bool) -> Result<(), AccountError> {
        self.update_app(app, AppFields { directory: Some(directory), ..AppFields::default() }).await?;
        Ok(())
    }

    /// Sets the number of sessions that a user of an app may have. Existing sessions continue.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::InvalidSessionPolicy`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Like [`update_app`](Self::update_app).
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_server::SessionPolicy;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// // A fourth session of a user ends the oldest one.
    /// accounts.set_sessions(&app, SessionPolicy::EvictOldest(3)).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn set_sessions(&self, app: &AppId, sessions: SessionPolicy) -> Result<(), AccountError> {
        self.update_app(app, AppFields { sessions: Some(sessions), ..AppFields::default() }).await?;
        Ok(())
    }

    /// Sets the number of users that an app may have. A lower limit removes no user.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the limit may have been set or not. The call can be repeated.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// accounts.set_max_users(&app, 1_000).await?;
    /// assert_eq!(accounts.app(&app).await?.max_users, 1_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn set_max_users(&self, app: &AppId, max_users: u64) -> Result<(), AccountError> {
        let app = self.app(app).await?;
        let edit = move |app: &mut App| {
            app.max_users = max_users;
            Edited::Save
        };
        let edited = self.store.edit_app(&app.id, Box::new(edit)).await?;
        edited.map(drop).ok_or_else(|| AccountError::NoApp(app.id.clone()))
    }

    /// Creates an API key for an app.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::InvalidName`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the key may have been created, and its text is lost. Revoke it by the id in
    /// [`api_keys`](Self::api_keys).
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// let created = accounts.create_api_key(&app, "billing service").await?;
    /// // Give `created.key` to the backend; it is not stored.
    /// assert_eq!(accounts.api_keys(&app).await?.len(), 2);
    /// # drop(created);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn create_api_key(&self, app: &AppId, name: &str) -> Result<NewApiKey, AccountError> {
        let name = name::trimmed(name)?;
        let app = self.app(app).await?;
        loop {
            let id = HEXLOWER.encode(&random::bytes::<4>());
            let key = format!("ck1_{}", BASE64URL_NOPAD.encode(&random::bytes::<24>()));
            let digest = self.keyring.api_key_digest(&key);
            let record = ApiKey {
                id: id.clone(),
                app: app.id.clone(),
                name: name.to_owned(),
                digest,
                created_at: self.clock.now(),
            };
            if self.store.create_api_key(record).await? {
                return Ok(NewApiKey { id, key });
            }
        }
    }

    /// Returns the app of an API key; `None` if the key is unknown or revoked.
    ///
    /// # Errors
    /// [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// let key = accounts.create_api_key(&app, "billing service").await?.key;
    /// assert_eq!(accounts.app_of_api_key(&key).await?, Some(app));
    /// assert_eq!(accounts.app_of_api_key("ck1_unknown").await?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn app_of_api_key(&self, key: &str) -> Result<Option<AppId>, AccountError> {
        for digest in self.keyring.api_key_candidates(key) {
            if let Some(found) = self.store.api_key_by_digest(&digest).await? {
                return Ok(Some(found.app));
            }
        }
        Ok(None)
    }

    /// Lists the API keys of an app, oldest first. Their text is not stored.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// for key in accounts.api_keys(&app).await? {
    ///     println!("{}: {}", key.id, key.name);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, AccountError> {
        let app = self.app(app).await?;
        Ok(self.store.api_keys(&app.id).await?)
    }

    /// Revokes an API key by its public id.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoApiKey`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the key may have been revoked or not.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// let created = accounts.create_api_key(&app, "billing service").await?;
    /// accounts.revoke_api_key(&app, &created.id).await?;
    /// assert_eq!(accounts.app_of_api_key(&created.key).await?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn revoke_api_key(&self, app: &AppId, id: &str) -> Result<(), AccountError> {
        let app = self.app(app).await?;
        if self.store.revoke_api_key(&app.id, id).await? {
            Ok(())
        } else {
            Err(AccountError::NoApiKey(id.to_owned()))
        }
    }

    /// Lists up to `limit` users whose ids are greater than `after`, in the byte order of their ids.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// // Fetch all users, 100 at a time.
    /// let mut page = accounts.users(&app, None, 100).await?;
    /// while let Some(last) = page.last() {
    ///     page = accounts.users(&app, Some(&last.id), 100).await?;
    /// }
    /// # let _ = alice;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn users(
        &self,
        app: &AppId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, AccountError> {
        let app = self.app(app).await?;
        Ok(self.store.users(&app.id, after, limit).await?)
    }

    /// Returns a user.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// assert!(!accounts.user(&app, &alice).await?.is_suspended);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn user(&self, app: &AppId, id: &UserId) -> Result<Arc<User>, AccountError> {
        let app = self.app(app).await?;
        self.store.user(&app.id, id).await?.ok_or_else(|| AccountError::NoUser(id.clone()))
    }

    /// Computes a user's derived token again. Returns `None` if the user has no token or a custom one.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// let issued = accounts.issue_token(&app, &alice, None, 0).await?;
    /// let user = accounts.user(&app, &alice).await?;
    /// let again = accounts.token_of(&user).expect("the token is a derived one");
    /// assert_eq!(again.expose(), issued.expose());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn token_of(&self, user: &User) -> Option<AccessToken> {
        let TokenRecord::Derived { expires_at } = user.token else { return None };
        Some(token::derive(&self.keyring, &user.app, &user.id, &Stamp(user.stamp), expires_at))
    }

    /// Issues a new token. It is valid for `lifetime` seconds, or without end if that is `None`. The previous token stays valid for
    /// `grace` seconds.
    ///
    /// A user that was created automatically, by connecting with its id alone, must present its token from now on. Its sessions that
    /// were opened with the id alone end.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the token may have been issued. [`token_of`](Self::token_of) then computes it.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// // Valid for a day. The previous token is valid for another minute.
    /// let token = accounts.issue_token(&app, &alice, Some(24 * 60 * 60), 60).await?;
    /// # drop(token);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn issue_token(
        &self,
        app: &AppId,
        id: &UserId,
        lifetime: Option<u64>,
        grace: u64,
    ) -> Result<AccessToken, AccountError> {
        let app = self.app(app).await?;
        let stamp = random::bytes();
        let now = self.clock.now();
        let expires_at = lifetime.map(|s| now.saturating_add(s));
        let (user, ()) = self
            .edit(&app.id, id, move |user| {
                let had =
                    Previous { stamp: user.stamp, token: user.token, grace_until: now.saturating_add(grace) };
                user.previous = (grace > 0 && user.token != TokenRecord::None).then(|| Box::new(had));
                user.stamp = stamp;
                user.token = TokenRecord::Derived { expires_at };
                // The client that connected by id alone first may not be the one that gets the token.
                user.check_access_token |= user.auto_created;
                user.auto_created = false;
                (Edited::Save, ())
            })
            .await?;
        Ok(self.token_of(&user).expect("a derived token was stored above"))
    }

    /// Revokes all tokens and session keys of a user, and ends the sessions that were opened with them.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the tokens may have been revoked or not. The call can be repeated.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// accounts.revoke_tokens(&app, &alice).await?;
    /// assert!(accounts.token_of(&*accounts.user(&app, &alice).await?).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn revoke_tokens(&self, app: &AppId, id: &UserId) -> Result<(), AccountError> {
        let stamp = random::bytes();
        self.change(app, id, move |user| {
            user.stamp = stamp;
            user.token = TokenRecord::None;
            user.previous = None;
        })
        .await
    }

    /// Sets whether a user must present its token to connect. If it must, its sessions that were opened with the id alone end.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been changed or not. The call can be repeated.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Open, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// accounts.set_locked(&app, &alice, true).await?;
    /// assert!(accounts.user(&app, &alice).await?.check_access_token);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn set_locked(&self, app: &AppId, id: &UserId, locked: bool) -> Result<(), AccountError> {
        self.change(app, id, move |user| user.check_access_token = locked).await
    }

    /// Suspends a user, which ends all its sessions, or ends the suspension.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been changed or not. The call can be repeated.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// accounts.set_suspended(&app, &alice, true).await?;
    /// assert!(accounts.user(&app, &alice).await?.is_suspended);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn set_suspended(&self, app: &AppId, id: &UserId, suspended: bool) -> Result<(), AccountError> {
        self.change(app, id, move |user| user.is_suspended = suspended).await
    }

    /// Deletes a user and ends its sessions. A user created later with the same id is a different user.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been deleted or not.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// use chatcamp_server::AccountError;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// accounts.delete_user(&app, &alice).await?;
    /// assert!(matches!(accounts.user(&app, &alice).await, Err(AccountError::NoUser(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<(), AccountError> {
        let app = self.app(app).await?;
        if self.store.delete_user(&app.id, id).await? {
            Ok(())
        } else {
            Err(AccountError::NoUser(id.clone()))
        }
    }

    async fn change(
        &self,
        app: &AppId,
        id: &UserId,
        change: impl FnOnce(&mut User) + Send + 'static,
    ) -> Result<(), AccountError> {
        let app = self.app(app).await?;
        let edit = move |user: &mut User| {
            change(user);
            (Edited::Save, ())
        };
        self.edit(&app.id, id, edit).await?;
        Ok(())
    }

    /// Edits a user on the store's thread. Returns the user and the value that the edit returned.
    async fn edit<T: Send + 'static>(
        &self,
        app: &AppId,
        id: &UserId,
        edit: impl FnOnce(&mut User) -> (Edited, T) + Send + 'static,
    ) -> Result<(Arc<User>, T), AccountError> {
        let returned = Arc::new(Mutex::new(None));
        let output = returned.clone();
        let edit = Box::new(move |user: &mut User| {
            let (edited, value) = edit(user);
            *output.lock() = Some(value);
            edited
        });
        let user = self.store.edit_user(app, id, edit).await?;
        let value = returned.lock().take();
        user.zip(value).ok_or_else(|| AccountError::NoUser(id.clone()))
    }
}

/// Returns a random decimal id of sixteen digits.
fn generate_app_id() -> AppId {
    let lowest = 10_u64.pow(15);
    let number = lowest + u64::from_le_bytes(random::bytes()) % (GENERATED_BELOW - lowest);
    AppId::new(number.to_string()).expect("sixteen digits are a valid app id")
}

/// Shows the id, not the key.
impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

const _: () = assert!(limits::APP_ID >= 16, "generated ids fit");
