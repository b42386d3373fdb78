//! The store as the server sees it: sometimes slow, sometimes unavailable.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};
use chatcamp_store::{
    ApiKey, ApiKeyStore, App, AppEdit, AppStore, BlockStore, ChangeListener, Created, FoundUsers,
    SessionPolicy, SettingStore, Store, StoreError, User, UserEdit, UserQuery, UserStore, memory,
};
use parking_lot::Mutex;

use crate::{Planted, ledger::Ledger, machine::Process};

/// A store behind an unreliable connection.
pub(super) struct UnreliableStore {
    inner: Arc<memory::Store>,
    process: Process,
    ledger: Arc<Ledger>,
    is_up: AtomicBool,
    planted: Option<Planted>,
    /// Planted: the first version of each record.
    first: Mutex<BTreeMap<UserId, Arc<User>>>,
}

impl UnreliableStore {
    pub(super) fn new(
        inner: Arc<memory::Store>,
        process: Process,
        ledger: Arc<Ledger>,
        planted: Option<Planted>,
    ) -> Self {
        let is_up = AtomicBool::new(true);
        Self { inner, process, ledger, is_up, planted, first: Mutex::default() }
    }

    pub(super) fn set_up(&self, up: bool) {
        self.process.machine().note(format_args!("the store is {}", if up { "up" } else { "down" }));
        self.is_up.store(up, Ordering::Relaxed);
        self.ledger.store_is_up(up);
    }

    async fn reach(&self) -> Result<(), StoreError> {
        let wait = self.process.machine().draw(|random| random.chance(300).then(|| random.millis(1..=30)));
        if let Some(wait) = wait {
            self.process.sleep(wait).await;
        }
        if self.is_up.load(Ordering::Relaxed) { Ok(()) } else { Err(StoreError::unavailable("out of reach")) }
    }
}

#[async_trait]
impl AppStore for UnreliableStore {
    async fn create_app(&self, app: App) -> Result<bool, StoreError> {
        self.inner.create_app(app).await
    }

    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError> {
        self.reach().await?;
        let found = self.inner.app(id).await?;
        Ok(found.map(|app| match self.planted {
            Some(Planted::PolicyHidden) => {
                Arc::new(App { sessions: SessionPolicy::Unlimited, ..App::clone(&app) })
            }
            _ => app,
        }))
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        self.inner.apps().await
    }

    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError> {
        self.inner.edit_app(id, edit).await
    }
}

#[async_trait]
impl ApiKeyStore for UnreliableStore {
    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError> {
        self.inner.create_api_key(key).await
    }

    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError> {
        self.inner.api_keys(app).await
    }

    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError> {
        self.inner.revoke_api_key(app, key).await
    }

    async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        self.inner.api_key_by_digest(digest).await
    }
}

#[async_trait]
impl UserStore for UnreliableStore {
    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        self.reach().await?;
        let found = self.inner.user(app, id).await?;
        if self.planted != Some(Planted::StoreStale) {
            return Ok(found);
        }
        let Some(user) = found else { return Ok(None) };
        Ok(Some(self.first.lock().entry(id.clone()).or_insert(user).clone()))
    }

    async fn create_user(&self, user: User) -> Result<Created, StoreError> {
        self.reach().await?;
        self.inner.create_user(user).await
    }

    async fn edit_user(
        &self,
        app: &AppId,
        id: &UserId,
        edit: UserEdit,
    ) -> Result<Option<Arc<User>>, StoreError> {
        self.reach().await?;
        let (ledger, planted) = (self.ledger.clone(), self.planted);
        // The server edits users for `users.update` only, and every edit writes a unique name.
        let told = Box::new(move |user: &mut User| {
            let edited = edit(user);
            ledger.carried_out(&user.profile.display_name);
            if planted == Some(Planted::EditRepeated) {
                ledger.carried_out(&user.profile.display_name);
            }
            edited
        });
        let edited = self.inner.edit_user(app, id, told).await?;
        // The result may be late, or lost.
        self.reach().await?;
        Ok(edited)
    }

    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError> {
        self.inner.delete_user(app, id).await
    }

    async fn users<'a>(
        &self,
        app: &AppId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.reach().await?;
        self.inner.users(app, after, limit).await
    }

    async fn users_by_name<'a>(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<(&'a str, &'a UserId)>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.reach().await?;
        self.inner.users_by_name(app, prefix, after, limit).await
    }

    async fn find_users(
        &self,
        app: &AppId,
        query: &UserQuery,
        skip: usize,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        self.inner.find_users(app, query, skip, limit).await
    }

    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        self.inner.user_count(app).await
    }

    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        self.inner.active_user_count(app).await
    }

    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError> {
        self.reach().await?;
        self.inner.record_last_seen(seen).await
    }
}

#[async_trait]
impl BlockStore for UnreliableStore {
    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        self.reach().await?;
        self.inner.block(app, user, other).await
    }

    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        self.reach().await?;
        self.inner.unblock(app, user, other).await
    }

    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.reach().await?;
        self.inner.blocked(app, user, after, limit).await
    }
}

#[async_trait]
impl SettingStore for UnreliableStore {
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.setting(name).await
    }

    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.inner.setting_or_insert(name, value).await
    }
}

#[async_trait]
impl Store for UnreliableStore {
    async fn probe(&self) -> Result<(), StoreError> {
        self.reach().await
    }

    fn on_change(&self, listener: ChangeListener) {
        if self.planted != Some(Planted::ChangesNotReported) {
            self.inner.on_change(listener);
        }
    }
}

impl fmt::Debug for UnreliableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnreliableStore").field("is_up", &self.is_up).finish_non_exhaustive()
    }
}
