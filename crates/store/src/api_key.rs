//! API keys, with which backends call the Platform API for an app.

use std::fmt;

use async_trait::async_trait;
use chatcamp_protocol::AppId;

use crate::StoreError;

/// The record of a key with which a backend calls the Platform API for an app.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// A short public id, unique in the app, by which people revoke the key.
    pub id: String,
    /// The app that it belongs to.
    pub app: AppId,
    /// A name for people.
    pub name: String,
    /// The keyed digest of the key, which is unique. The key itself is not stored.
    pub digest: [u8; 32],
    /// When it was created, in Unix seconds.
    pub created_at: u64,
}

/// Stores API keys. Implementers: see the duties of [`Store`](crate::Store).
#[async_trait]
pub trait ApiKeyStore: Send + Sync {
    /// Creates an API key; returns `false` if its id is taken in the app, or its digest in any app.
    ///
    /// # Errors
    /// [`StoreError::UnknownApp`] if the app is missing, and those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError>;

    /// Lists the API keys of an app, oldest first.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError>;

    /// Deletes an API key; returns `false` if it is missing.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError>;

    /// Returns an API key of any app by its digest; `None` if it is missing.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
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
