//! Users: their tokens, locks, suspension and deletion.

use std::sync::Arc;

use chatcamp_auth::token::{self, Stamp};
use chatcamp_protocol::{AccessToken, AppId, Profile, UserId};
use chatcamp_store::{Edited, Previous, TokenRecord, User};
use parking_lot::Mutex;

use super::{AccountError, Accounts};
use crate::random;

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

impl Accounts {
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
    pub(super) async fn edit<T: Send + 'static>(
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
