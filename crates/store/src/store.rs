//! The seam: all entities together, and what a store owes its callers.

use std::fmt;

use async_trait::async_trait;

use crate::{ApiKeyStore, AppStore, BlockStore, ChangeListener, SettingStore, StoreError, UserStore};

/// Keeps apps, API keys, users, blocks and settings: the sum of one trait per entity.
///
/// # Duties of an implementer
/// - A write is durable before it resolves, and every later read sees it.
/// - After an edit or deletion by this process: drop what is cached of the record, call the listeners, resolve the
///   caller, in this order. After one by another process on the same data: the first two, within a second.
/// - What a reader found before a change never enters a cache after it.
/// - A read waits for nothing but the disk: callers await it while a client waits for its acknowledgement.
/// - Ids are exact. Only [`app`](AppStore::app) also finds an app by a rounded id; every other method, and every
///   record, uses the real one.
/// - A write refuses NUL in every text that it would change, with [`StoreError::Nul`]: PostgreSQL cannot hold it, and data must be
///   able to move between stores. Of several records written by one call, only the record that contains it is refused.
/// - A write that fails leaves nothing behind, unless it failed with [`StoreError::Unavailable`], after which it
///   may or may not have happened.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] when it cannot reach its data now, and
/// [`StoreError::Corrupt`] when it cannot make sense of them. Others are named where they occur.
///
/// # Cancel safety
/// Every future does nothing before it is polled. A read may be dropped at any time. A write that was dropped
/// after it was first polled either happens in full or not at all.
#[async_trait]
pub trait Store: AppStore + ApiKeyStore + UserStore + BlockStore + SettingStore + fmt::Debug {
    /// Writes a value without meaning, durably: tells whether users could be created and changed now.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Registers a listener that hears of every edit and deletion from now on, for the life of the store.
    ///
    /// Creating a record is not a change, and neither is [`record_last_seen`](UserStore::record_last_seen). A change by
    /// another process may be reported more than once.
    fn on_change(&self, listener: ChangeListener);
}

const _OBJECT_SAFE: fn(&dyn Store) = |_| ();
