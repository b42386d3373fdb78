//! Settings: values of the server by name.

use async_trait::async_trait;

use crate::StoreError;

/// Stores settings. Implementers: see the duties of [`Store`](crate::Store).
#[async_trait]
pub trait SettingStore: Send + Sync {
    /// Returns a setting; `None` if it was never written.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns a setting, and writes `value` first if it is missing. Of simultaneous calls, the first one writes.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError>;
}
