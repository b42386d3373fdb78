//! Settings: values of the server's own, by name.

use async_trait::async_trait;

use crate::StoreError;

/// Keeps settings. Duties, errors and cancel safety: see [`Store`](crate::Store).
#[async_trait]
pub trait SettingStore: Send + Sync {
    /// Reads a setting; `None` if it was never written.
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Reads a setting, after writing `value` if it is missing: of simultaneous calls the first decides.
    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError>;
}
