//! API keys of apps.

use chatcamp_protocol::AppId;
use chatcamp_store::ApiKey;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use super::{AccountError, Accounts, name};
use crate::random;

/// A new API key. Its text is not available later.
pub struct NewApiKey {
    /// The public id, with which the key can be revoked.
    pub id: String,
    /// The key.
    pub key: String,
}

impl Accounts {
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
}

/// Shows the id, not the key.
impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}
