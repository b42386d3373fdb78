//! What operators and backends do: apps, API keys, users and their tokens.

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
    ApiKey, App, AuthPolicy, Edited, Previous, SessionPolicy, Store, StoreError, TokenRecord, User,
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use parking_lot::Mutex;

pub use self::{
    import::ImportedUser,
    write::{UserFields, Written, WrittenUser},
};
use crate::{Clock, random};

/// Generated app ids are decimal and below this, so that JavaScript keeps every digit.
const GENERATED_BELOW: u64 = 1 << 53;

/// Makes and changes what a server serves; works beside a running server on the same store.
#[derive(Debug, Clone)]
pub struct Accounts {
    store: Arc<dyn Store>,
    keyring: Keyring,
    clock: Clock,
}

/// A new app, with the one moment at which its API key can be seen.
#[derive(Debug)]
pub struct NewApp {
    /// The app's id, for `new ChatCamp({appId})` and `ChatCamp::builder`.
    pub id: AppId,
    /// Its first API key.
    pub api_key: NewApiKey,
}

/// A new API key: its text is shown now or never.
pub struct NewApiKey {
    /// The public id by which it is revoked.
    pub id: String,
    /// The key.
    pub key: String,
}

/// What a new user is to have.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// What is said of the user.
    pub profile: Profile,
    /// A token of the caller's choice; one is derived if there is none.
    pub token: Option<AccessToken>,
    /// Whether the user must present its token to connect. Default true.
    pub check_access_token: bool,
}

impl Default for NewUser {
    fn default() -> Self {
        Self { profile: Profile::default(), token: None, check_access_token: true }
    }
}

/// What is to change of an app; what is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct AppFields {
    /// A name for people: 1 to 255 bytes, no control characters, something to see; spaces around it are dropped.
    pub name: Option<String>,
    /// What users must present; `token` ends every session opened by user id alone.
    pub auth: Option<AuthPolicy>,
    /// Whether clients may list the users.
    pub directory: Option<bool>,
    /// How many sessions a user may have.
    pub sessions: Option<SessionPolicy>,
}

/// Why something was not made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// No app has this id.
    #[error("there is no app {0}; `chatcamp app list` shows those there are")]
    NoApp(AppId),
    /// Another app has this id.
    #[error("the app id {0} is taken")]
    AppExists(AppId),
    /// The app has no such user.
    #[error("the app has no user {0}")]
    NoUser(UserId),
    /// The user is there already, and not one who merely came by and never had a token.
    #[error("the user {0} exists already")]
    UserExists(UserId),
    /// The app has no such API key.
    #[error("the app has no API key {0}")]
    NoApiKey(String),
    /// The token cannot be used.
    #[error(transparent)]
    InvalidToken(#[from] InvalidCustomToken),
    /// The token was derived, and is not the one that the user has.
    #[error(
        "the access token was derived by a server and is not the one that the user has here; leave it out, and a new \
         user gets another"
    )]
    ForeignToken,
    /// A field of a user is missing or of another kind; the text names it and quotes nothing.
    #[error("{0}")]
    InvalidField(String),
    /// A profile value is too long, or nested too deep.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// A name is too long, or has control characters, or nothing to see.
    #[error("a name has 1 to {} bytes, no control characters, and something to see", name::LONGEST)]
    InvalidName,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Accounts {
    /// The accounts in a store, with the keyring that belongs to it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keyring: Keyring) -> Self {
        Self { store, keyring, clock: Clock::system() }
    }

    /// The same with a clock of one's own, for tests of what expires.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Creates an app with its first API key; an id is generated unless given.
    ///
    /// # Errors
    /// [`AccountError::AppExists`] when the given id is taken, [`AccountError::InvalidName`].
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

    /// Lists the apps, eldest first.
    ///
    /// # Errors
    /// [`AccountError::Store`].
    pub async fn apps(&self) -> Result<Vec<Arc<App>>, AccountError> {
        Ok(self.store.apps().await?)
    }

    /// Finds an app, by its id or the form to which JavaScript rounds it.
    ///
    /// # Errors
    /// [`AccountError::NoApp`].
    pub async fn app(&self, id: &AppId) -> Result<Arc<App>, AccountError> {
        self.store.app(id).await?.ok_or_else(|| AccountError::NoApp(id.clone()))
    }

    /// Changes what is given of an app, in one step, and returns it as it then is.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::InvalidName`].
    pub async fn update_app(&self, app: &AppId, fields: AppFields) -> Result<Arc<App>, AccountError> {
        let name = fields.name.as_deref().map(name::trimmed).transpose()?.map(str::to_owned);
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

    /// Switches an app between `open` and `token`; switching to `token` ends every session opened by user id alone.
    ///
    /// # Errors
    /// [`AccountError::NoApp`].
    pub async fn set_policy(&self, app: &AppId, auth: AuthPolicy) -> Result<(), AccountError> {
        self.update_app(app, AppFields { auth: Some(auth), ..AppFields::default() }).await?;
        Ok(())
    }

    /// Sets whether clients may list the users of an app.
    ///
    /// # Errors
    /// [`AccountError::NoApp`].
    pub async fn set_directory(&self, app: &AppId, directory: bool) -> Result<(), AccountError> {
        self.update_app(app, AppFields { directory: Some(directory), ..AppFields::default() }).await?;
        Ok(())
    }

    /// Sets how many sessions a user of an app may have; sessions that there are live on.
    ///
    /// # Errors
    /// [`AccountError::NoApp`].
    pub async fn set_sessions(&self, app: &AppId, sessions: SessionPolicy) -> Result<(), AccountError> {
        self.update_app(app, AppFields { sessions: Some(sessions), ..AppFields::default() }).await?;
        Ok(())
    }

    /// Sets how many users an app may have; a lower limit removes nobody.
    ///
    /// # Errors
    /// [`AccountError::NoApp`].
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
    /// [`AccountError::NoApp`], [`AccountError::InvalidName`].
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

    /// The app that an API key speaks for; nothing for a key that is unknown or revoked.
    ///
    /// # Errors
    /// [`AccountError::Store`].
    pub async fn app_of_api_key(&self, key: &str) -> Result<Option<AppId>, AccountError> {
        for digest in self.keyring.api_key_candidates(key) {
            if let Some(found) = self.store.api_key_by_digest(&digest).await? {
                return Ok(Some(found.app));
            }
        }
        Ok(None)
    }

    /// Lists the API keys of an app, eldest first; their text is not kept.
    ///
    /// # Errors
    /// [`AccountError::NoApp`].
    pub async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, AccountError> {
        let app = self.app(app).await?;
        Ok(self.store.api_keys(&app.id).await?)
    }

    /// Revokes an API key by its public id.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoApiKey`].
    pub async fn revoke_api_key(&self, app: &AppId, id: &str) -> Result<(), AccountError> {
        let app = self.app(app).await?;
        match self.store.revoke_api_key(&app.id, id).await? {
            true => Ok(()),
            false => Err(AccountError::NoApiKey(id.to_owned())),
        }
    }

    /// Lists up to `limit` users behind `after`, in the byte order of their ids.
    ///
    /// # Errors
    /// [`AccountError::NoApp`].
    pub async fn users(
        &self,
        app: &AppId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, AccountError> {
        let app = self.app(app).await?;
        Ok(self.store.users(&app.id, after, limit).await?)
    }

    /// Finds a user.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`].
    pub async fn user(&self, app: &AppId, id: &UserId) -> Result<Arc<User>, AccountError> {
        let app = self.app(app).await?;
        self.store.user(&app.id, id).await?.ok_or_else(|| AccountError::NoUser(id.clone()))
    }

    /// Computes a user's token again; nothing when there is none, or it is one of the caller's choice.
    #[must_use]
    pub fn token_of(&self, user: &User) -> Option<AccessToken> {
        let TokenRecord::Derived { expires_at } = user.token else { return None };
        Some(token::derive(&self.keyring, &user.app, &user.id, &Stamp(user.stamp), expires_at))
    }

    /// Issues a new token, good for `lifetime` seconds or for ever; the one before stays good for `grace` seconds.
    ///
    /// A user who merely came by, by id alone, must present its token from now on; its sessions by id alone end.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`].
    pub async fn issue_token(
        &self,
        app: &AppId,
        id: &UserId,
        lifetime: Option<u64>,
        grace: u64,
    ) -> Result<AccessToken, AccountError> {
        let app = self.app(app).await?;
        let (stamp, now) = (random::bytes(), self.clock.now());
        let expires_at = lifetime.map(|s| now.saturating_add(s));
        let (user, ()) = self
            .edit(&app.id, id, move |user| {
                let had =
                    Previous { stamp: user.stamp, token: user.token, grace_until: now.saturating_add(grace) };
                user.previous = (grace > 0 && user.token != TokenRecord::None).then(|| Box::new(had));
                user.stamp = stamp;
                user.token = TokenRecord::Derived { expires_at };
                // Whoever came by first, by id alone, is not who the token is given to.
                user.check_access_token |= user.auto_created;
                user.auto_created = false;
                (Edited::Save, ())
            })
            .await?;
        Ok(self.token_of(&user).expect("a derived token was just kept"))
    }

    /// Voids every token and session key of a user, and ends the sessions they opened.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`].
    pub async fn revoke_tokens(&self, app: &AppId, id: &UserId) -> Result<(), AccountError> {
        let stamp = random::bytes();
        self.change(app, id, move |user| {
            user.stamp = stamp;
            user.token = TokenRecord::None;
            user.previous = None;
        })
        .await
    }

    /// Sets whether a user must present its token; setting it ends every session opened by user id alone.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`].
    pub async fn set_locked(&self, app: &AppId, id: &UserId, locked: bool) -> Result<(), AccountError> {
        self.change(app, id, move |user| user.check_access_token = locked).await
    }

    /// Shuts a user out, ending every session, or lets it in again.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`].
    pub async fn set_suspended(&self, app: &AppId, id: &UserId, suspended: bool) -> Result<(), AccountError> {
        self.change(app, id, move |user| user.is_suspended = suspended).await
    }

    /// Deletes a user and ends its sessions; one of the same id created later is another.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`].
    pub async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<(), AccountError> {
        let app = self.app(app).await?;
        match self.store.delete_user(&app.id, id).await? {
            true => Ok(()),
            false => Err(AccountError::NoUser(id.clone())),
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

    /// Edits a user on the store's thread and brings back what the edit says.
    async fn edit<T: Send + 'static>(
        &self,
        app: &AppId,
        id: &UserId,
        edit: impl FnOnce(&mut User) -> (Edited, T) + Send + 'static,
    ) -> Result<(Arc<User>, T), AccountError> {
        let said = Arc::new(Mutex::new(None));
        let say = said.clone();
        let edit = Box::new(move |user: &mut User| {
            let (edited, value) = edit(user);
            *say.lock() = Some(value);
            edited
        });
        let user = self.store.edit_user(app, id, edit).await?;
        let value = said.lock().take();
        user.zip(value).ok_or_else(|| AccountError::NoUser(id.clone()))
    }
}

/// A random decimal id of sixteen digits.
fn generate_app_id() -> AppId {
    let lowest = 10_u64.pow(15);
    let number = lowest + u64::from_le_bytes(random::bytes()) % (GENERATED_BELOW - lowest);
    AppId::new(number.to_string()).expect("decimal digits are an app id")
}

/// Shows the id, not the key.
impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

const _: () = assert!(limits::APP_ID >= 16, "generated ids fit");
