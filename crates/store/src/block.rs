//! Blocks: which users a user blocks.

use std::sync::Arc;

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};

use crate::{StoreError, User};

/// How many others a user may block.
pub const MAX_BLOCKS: u64 = 1000;

/// Keeps blocks. A block is not a change: no listener hears of it. Duties, errors and cancel safety: see
/// [`Store`](crate::Store).
#[async_trait]
pub trait BlockStore: Send + Sync {
    /// Makes a user block another; returns `false` if either is missing. Blocking twice is blocking once.
    ///
    /// # Errors
    /// [`StoreError::BlockLimit`] if the block is new and the user has [`MAX_BLOCKS`].
    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError>;

    /// Ends a block; returns `false` if there was no such block.
    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError>;

    /// Lists up to `limit` of the users that a user blocks, in the byte order of their ids, beginning after `after`.
    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;
}
