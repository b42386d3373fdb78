//! A mock of a store, for tests of its callers.

use std::sync::Arc;

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};

use crate::{
    ApiKey, ApiKeyStore, App, AppEdit, AppStore, BlockStore, ChangeListener, Created, FoundUsers,
    SettingStore, StoreError, Upsert, Upserted, User, UserEdit, UserQuery, UserStore,
};

mockall::mock! {
    /// A store that returns what a test expects it to.
    #[derive(Debug)]
    pub Store {}

    #[async_trait]
    impl AppStore for Store {
        async fn create_app(&self, app: App) -> Result<bool, StoreError>;
        async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError>;
        async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError>;
        async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError>;
    }

    #[async_trait]
    impl ApiKeyStore for Store {
        async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError>;
        async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError>;
        async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError>;
        async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError>;
    }

    #[async_trait]
    impl UserStore for Store {
        async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError>;
        async fn create_user(&self, user: User) -> Result<Created, StoreError>;
        async fn edit_user(&self, app: &AppId, id: &UserId, edit: UserEdit) -> Result<Option<Arc<User>>, StoreError>;
        async fn upsert_users(&self, upserts: Vec<Upsert>) -> Result<Vec<Result<Upserted, StoreError>>, StoreError>;
        async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError>;
        async fn users<'a>(&self, app: &AppId, after: Option<&'a UserId>, limit: usize) -> Result<Vec<Arc<User>>, StoreError>;
        async fn users_by_name<'a>(&self, app: &AppId, prefix: &str, after: Option<(&'a str, &'a UserId)>, limit: usize) -> Result<Vec<Arc<User>>, StoreError>;
        async fn find_users(&self, app: &AppId, query: &UserQuery, skip: usize, limit: usize) -> Result<FoundUsers, StoreError>;
        async fn user_count(&self, app: &AppId) -> Result<u64, StoreError>;
        async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError>;
        async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError>;
    }

    #[async_trait]
    impl BlockStore for Store {
        async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError>;
        async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError>;
        async fn blocked<'a>(&self, app: &AppId, user: &UserId, after: Option<&'a UserId>, limit: usize) -> Result<Vec<Arc<User>>, StoreError>;
    }

    #[async_trait]
    impl SettingStore for Store {
        async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
        async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError>;
    }

    #[async_trait]
    impl crate::Store for Store {
        async fn probe(&self) -> Result<(), StoreError>;
        fn on_change(&self, listener: ChangeListener);
    }
}
