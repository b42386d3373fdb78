//! Blocks: the users that a user blocks.

use std::sync::Arc;

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};

use crate::{StoreError, User};

/// The maximum number of users that a user may block.
pub const MAX_BLOCKS: u64 = 1000;

/// Stores blocks. A block is not a change, so no listener is called. Implementers: see the duties of [`Store`](crate::Store).
#[async_trait]
pub trait BlockStore: Send + Sync {
    /// Blocks another user for a user; returns `false` if either is missing. Does nothing if the block exists already.
    ///
    /// # Errors
    /// [`StoreError::BlockLimit`] if the block is new and the user has [`MAX_BLOCKS`] blocks, and those of
    /// [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError>;

    /// Deletes a block; returns `false` if it is missing.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError>;

    /// Lists up to `limit` users that a user blocks, in the byte order of their ids, beginning after `after`.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;
}
