//! Settings.

use async_trait::async_trait;

use super::Store;
use crate::{SettingStore, StoreError, nul};

#[async_trait]
impl SettingStore for Store {
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.lock().settings.get(name).cloned())
    }

    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        nul::check_setting(name)?;
        Ok(self.state.lock().settings.entry(name.to_owned()).or_insert_with(|| value.to_vec()).clone())
    }
}
