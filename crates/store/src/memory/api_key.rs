//! API keys, stored with their app.

use async_trait::async_trait;
use chatcamp_protocol::AppId;

use super::Store;
use crate::{ApiKey, ApiKeyStore, StoreError, nul};

#[async_trait]
impl ApiKeyStore for Store {
    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError> {
        nul::check_api_key(&key)?;
        let mut state = self.state.lock();
        let mut all = state.apps.iter().flat_map(|records| &records.keys);
        let is_taken = all.any(|k| k.digest == key.digest || (k.app == key.app && k.id == key.id));
        let records = state.app_mut(&key.app).ok_or(StoreError::UnknownApp)?;
        if !is_taken {
            records.keys.push(key);
        }
        Ok(!is_taken)
    }

    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError> {
        Ok(self.state.lock().app(app).map(|records| records.keys.clone()).unwrap_or_default())
    }

    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let Some(records) = state.app_mut(app) else { return Ok(false) };
        let before = records.keys.len();
        records.keys.retain(|k| k.id != key);
        Ok(records.keys.len() < before)
    }

    async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let state = self.state.lock();
        Ok(state.apps.iter().flat_map(|records| &records.keys).find(|key| key.digest == *digest).cloned())
    }
}
