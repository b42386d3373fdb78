//! A memory store that counts calls and can hold back answers.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};
use chatcamp_store::{
    ApiKey, ApiKeyStore, App, AppEdit, AppStore, BlockStore, ChangeListener, Created, FoundUsers,
    SettingStore, Store, StoreError, User, UserEdit, UserQuery, UserStore, memory,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::eventually;

/// Each call is carried out at once. Only the answer of a held call waits.
#[derive(Debug, Clone)]
pub(crate) struct Gated(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: memory::Store,
    calls: Mutex<HashMap<&'static str, usize>>,
    /// The methods whose next calls are held.
    armed: Mutex<Vec<&'static str>>,
    held: Mutex<usize>,
    gate: Semaphore,
    /// The number of calls of `user` that succeed before one fails.
    fails: Mutex<Option<usize>>,
}

impl Gated {
    pub(crate) fn new() -> Self {
        let store = memory::Store::new();
        let (calls, armed, held) = (Mutex::default(), Mutex::default(), Mutex::default());
        let fails = Mutex::default();
        Self(Arc::new(Inner { store, calls, armed, held, gate: Semaphore::new(0), fails }))
    }

    /// Holds back the answer of the next call of this method. Calling it twice holds two calls.
    pub(crate) fn hold(&self, method: &'static str) {
        self.0.armed.lock().push(method);
    }

    /// Makes the call of `user` after the next `calls` ones fail.
    pub(crate) fn fail_user_after(&self, calls: usize) {
        *self.0.fails.lock() = Some(calls);
    }

    /// Waits until `calls` calls are held.
    pub(crate) async fn holds(&self, calls: usize) {
        eventually(|| *self.0.held.lock() == calls).await;
    }

    /// Releases the answer of one held call.
    pub(crate) fn release(&self) {
        self.0.gate.add_permits(1);
    }

    /// Returns how often this method was called.
    pub(crate) fn calls(&self, method: &str) -> usize {
        self.0.calls.lock().get(method).copied().unwrap_or(0)
    }

    async fn pass<T>(&self, method: &'static str, answer: impl Future<Output = T> + Send) -> T {
        *self.0.calls.lock().entry(method).or_default() += 1;
        let held = {
            let mut armed = self.0.armed.lock();
            armed.iter().position(|&name| name == method).map(|at| armed.remove(at)).is_some()
        };
        let answer = answer.await;
        if held {
            *self.0.held.lock() += 1;
            self.0.gate.acquire().await.unwrap().forget();
            *self.0.held.lock() -= 1;
        }
        answer
    }
}

#[async_trait]
impl AppStore for Gated {
    async fn create_app(&self, app: App) -> Result<bool, StoreError> {
        self.0.store.create_app(app).await
    }

    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError> {
        self.pass("app", self.0.store.app(id)).await
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        self.0.store.apps().await
    }

    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError> {
        self.0.store.edit_app(id, edit).await
    }
}

#[async_trait]
impl ApiKeyStore for Gated {
    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError> {
        self.0.store.create_api_key(key).await
    }

    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError> {
        self.0.store.api_keys(app).await
    }

    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError> {
        self.0.store.revoke_api_key(app, key).await
    }

    async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        self.0.store.api_key_by_digest(digest).await
    }
}

#[async_trait]
impl UserStore for Gated {
    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        let fails = {
            let mut left = self.0.fails.lock();
            let fails = *left == Some(0);
            *left = left.and_then(|left| left.checked_sub(1));
            fails
        };
        if fails {
            return Err(StoreError::unavailable("busy for once"));
        }
        self.pass("user", self.0.store.user(app, id)).await
    }

    async fn create_user(&self, user: User) -> Result<Created, StoreError> {
        self.0.store.create_user(user).await
    }

    async fn edit_user(
        &self,
        app: &AppId,
        id: &UserId,
        edit: UserEdit,
    ) -> Result<Option<Arc<User>>, StoreError> {
        self.pass("edit_user", self.0.store.edit_user(app, id, edit)).await
    }

    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError> {
        self.0.store.delete_user(app, id).await
    }

    async fn users<'a>(
        &self,
        app: &AppId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.0.store.users(app, after, limit).await
    }

    async fn users_by_name<'a>(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<(&'a str, &'a UserId)>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.0.store.users_by_name(app, prefix, after, limit).await
    }

    async fn find_users(
        &self,
        app: &AppId,
        query: &UserQuery,
        skip: usize,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        self.0.store.find_users(app, query, skip, limit).await
    }

    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        self.0.store.user_count(app).await
    }

    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        self.0.store.active_user_count(app).await
    }

    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError> {
        self.0.store.record_last_seen(seen).await
    }
}

#[async_trait]
impl BlockStore for Gated {
    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        self.pass("block", self.0.store.block(app, user, other)).await
    }

    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        self.0.store.unblock(app, user, other).await
    }

    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.0.store.blocked(app, user, after, limit).await
    }
}

#[async_trait]
impl SettingStore for Gated {
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.store.setting(name).await
    }

    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.store.setting_or_insert(name, value).await
    }
}

#[async_trait]
impl Store for Gated {
    async fn probe(&self) -> Result<(), StoreError> {
        self.0.store.probe().await
    }

    fn on_change(&self, listener: ChangeListener) {
        self.0.store.on_change(listener);
    }
}
