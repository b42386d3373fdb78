//! API keys: with which backends speak for an app.

use std::fmt;

use async_trait::async_trait;
use chatcamp_protocol::AppId;

use crate::StoreError;

/// A key with which a backend speaks for an app.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// A short public id, unique within the app, by which people revoke it.
    pub id: String,
    /// The app it speaks for.
    pub app: AppId,
    /// A name for people.
    pub name: String,
    /// The keyed digest of the key, unique; never the key.
    pub digest: [u8; 32],
    /// When it was created, in Unix seconds.
    pub created_at: u64,
}

/// Keeps API keys. Duties, errors and cancel safety: see [`Store`](crate::Store).
#[async_trait]
pub trait ApiKeyStore: Send + Sync {
    /// Creates an API key; returns `false` if its id is taken within the app, or its digest anywhere.
    ///
    /// # Errors
    /// [`StoreError::UnknownApp`] if the app is missing.
    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError>;

    /// Lists the API keys of an app, oldest first.
    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError>;

    /// Deletes an API key; returns `false` if it is missing.
    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError>;

    /// Finds an API key of any app by its digest.
    async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError>;
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("app", &self.app).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_no_digest() {
        let app = AppId::new("demo").unwrap();
        let key = ApiKey { id: "k1".into(), app, name: "n".into(), digest: [214; 32], created_at: 1 };
        let printed = format!("{key:?}");
        assert!(printed.contains("k1") && !printed.contains("214"), "{printed}");
    }
}
