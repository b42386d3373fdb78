//! Apps and their settings.

use std::sync::Arc;

use chatcamp_protocol::{AppId, OriginPattern, OriginPolicy, limits};
use chatcamp_store::{App, AuthPolicy, Edited, SessionPolicy};
use parking_lot::Mutex;

use super::{AccountError, Accounts, NewApiKey, name};
use crate::random;

/// The upper bound of generated app ids, which are decimal: JavaScript represents each integer below it exactly.
const GENERATED_BELOW: u64 = 1 << 53;

/// A new app, with the text of its first API key, which is not available later.
#[derive(Debug)]
pub struct NewApp {
    /// The app's id, for `new ChatCamp({appId})` and `ChatCamp::builder`.
    pub id: AppId,
    /// Its first API key.
    pub api_key: NewApiKey,
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
    /// The origins of the web pages that may connect. If the list is empty, pages of every origin may. Sessions that are connected
    /// continue; the origin is checked when they connect again.
    pub origins: Option<Vec<OriginPattern>>,
    /// Whether clients that send no header `Origin` are refused: all but browsers.
    pub require_origin: Option<bool>,
}

/// Origins to add to those of an app, and to remove from them; see [`Accounts::change_origins`].
#[derive(Debug, Clone, Default)]
pub struct OriginChange {
    /// The origins to add.
    pub add: Vec<OriginPattern>,
    /// The origins to remove.
    pub remove: Vec<OriginPattern>,
    /// Whether clients that send no header `Origin` are refused; unchanged if `None`.
    pub require_origin: Option<bool>,
}

impl Accounts {
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
        self.create_app_for_origins(name, auth, id, OriginPolicy::default()).await
    }

    /// Creates an app that accepts only pages of some origins, like [`create_app`](Self::create_app).
    ///
    /// # Errors
    /// Those of [`create_app`](Self::create_app).
    ///
    /// # Cancel safety
    /// Like [`create_app`](Self::create_app).
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_protocol::OriginPolicy;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// let origins = OriginPolicy::new(["https://shop.example".parse()?], false)?;
    /// let app = accounts.create_app_for_origins("shop", AuthPolicy::Token, None, origins).await?;
    /// # drop(app);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn create_app_for_origins(
        &self,
        name: &str,
        auth: AuthPolicy,
        id: Option<AppId>,
        origins: OriginPolicy,
    ) -> Result<NewApp, AccountError> {
        let name = name::trimmed(name)?;
        let given = id.is_some();
        let mut id = id.unwrap_or_else(generate_app_id);
        let new = App { origins, ..App::new(id.clone(), name, auth, self.clock.now()) };
        while !self.store.create_app(App { id: id.clone(), ..new.clone() }).await? {
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
    /// [`AccountError::NoApp`], [`AccountError::InvalidName`], [`AccountError::InvalidSessionPolicy`],
    /// [`AccountError::TooManyOrigins`], [`AccountError::Store`].
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
        let origins = fields.origins.map(|patterns| OriginPolicy::new(patterns, false)).transpose()?;
        let app = self.app(app).await?;
        let edit = move |app: &mut App| {
            let before = app.clone();
            app.name = name.unwrap_or_else(|| std::mem::take(&mut app.name));
            app.auth = fields.auth.unwrap_or(app.auth);
            app.directory = fields.directory.unwrap_or(app.directory);
            app.sessions = fields.sessions.unwrap_or(app.sessions);
            app.origins = origins
                .unwrap_or_else(|| before.origins.clone())
                .required(fields.require_origin.unwrap_or_else(|| before.origins.is_required()));
            if *app == before { Edited::Keep } else { Edited::Save }
        };
        let edited = self.store.edit_app(&app.id, Box::new(edit)).await?;
        edited.ok_or_else(|| AccountError::NoApp(app.id.clone()))
    }

    /// Adds and removes origins of an app, atomically, and returns the app with the changes.
    ///
    /// The first origin that is added to an app refuses the pages of all other origins. Origins that the app has already are not
    /// added again.
    ///
    /// # Errors
    /// [`AccountError::NoApp`]; [`AccountError::TooManyOrigins`]; [`AccountError::NoOrigin`] if an origin to remove is not there;
    /// [`AccountError::LastOrigin`] if no origin would be left, for which [`update_app`](Self::update_app) with an empty list is
    /// needed; [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the app may have been changed or not.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_server::OriginChange;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Open, None).await?.id;
    /// let change = OriginChange { add: vec!["https://*.shop.example".parse()?], ..OriginChange::default() };
    /// let app = accounts.change_origins(&app, change).await?;
    /// assert!(app.origins.accepts(Some("https://www.shop.example")));
    /// assert!(!app.origins.accepts(Some("https://other.example")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn change_origins(&self, app: &AppId, change: OriginChange) -> Result<Arc<App>, AccountError> {
        let app = self.app(app).await?;
        let failure = Arc::new(Mutex::new(None));
        let failed = failure.clone();
        let edit = move |app: &mut App| match change.apply(&app.origins) {
            Ok(origins) if origins == app.origins => Edited::Keep,
            Ok(origins) => {
                app.origins = origins;
                Edited::Save
            }
            Err(error) => {
                *failed.lock() = Some(error);
                Edited::Keep
            }
        };
        let edited = self.store.edit_app(&app.id, Box::new(edit)).await?;
        if let Some(error) = failure.lock().take() {
            return Err(error);
        }
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
}

impl OriginChange {
    /// Returns the policy after the change.
    fn apply(&self, before: &OriginPolicy) -> Result<OriginPolicy, AccountError> {
        let patterns = before.patterns();
        if let Some(missing) = self.remove.iter().find(|pattern| !patterns.contains(pattern)) {
            return Err(AccountError::NoOrigin(missing.clone()));
        }
        let kept = patterns.iter().filter(|pattern| !self.remove.contains(pattern));
        let is_required = self.require_origin.unwrap_or_else(|| before.is_required());
        let after = OriginPolicy::new(kept.chain(&self.add).cloned(), is_required)?;
        if after.patterns().is_empty() && !patterns.is_empty() {
            return Err(AccountError::LastOrigin);
        }
        Ok(after)
    }
}

/// Returns a random decimal id of sixteen digits.
fn generate_app_id() -> AppId {
    let lowest = 10_u64.pow(15);
    let number = lowest + u64::from_le_bytes(random::bytes()) % (GENERATED_BELOW - lowest);
    AppId::new(number.to_string()).expect("sixteen digits are a valid app id")
}

const _: () = assert!(limits::APP_ID >= 16, "generated ids fit");
