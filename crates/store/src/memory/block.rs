//! Blocks, stored with their app.

use std::{ops::Bound, sync::Arc};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};

use super::Store;
use crate::{BlockStore, MAX_BLOCKS, StoreError, User};

#[async_trait]
impl BlockStore for Store {
    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let Some(records) = state.app_mut(app) else { return Ok(false) };
        if !records.users.contains_key(user) || !records.users.contains_key(other) {
            return Ok(false);
        }
        let blocked = records.blocks.entry(user.clone()).or_default();
        if !blocked.contains(other) {
            if blocked.len() as u64 >= MAX_BLOCKS {
                return Err(StoreError::BlockLimit);
            }
            blocked.insert(other.clone());
        }
        Ok(true)
    }

    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let blocked = state.app_mut(app).and_then(|records| records.blocks.get_mut(user));
        Ok(blocked.is_some_and(|blocked| blocked.remove(other)))
    }

    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        let state = self.state.lock();
        let Some(records) = state.app(app) else { return Ok(Vec::new()) };
        let Some(blocked) = records.blocks.get(user) else { return Ok(Vec::new()) };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = blocked.range::<UserId, _>((start, Bound::Unbounded)).take(limit);
        Ok(ids.filter_map(|id| records.users.get(id).cloned()).collect())
    }
}
