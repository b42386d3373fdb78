//! The trait of a whole store, and the duties of its implementers.

use std::fmt;

use async_trait::async_trait;

use crate::{ApiKeyStore, AppStore, BlockStore, ChangeListener, SettingStore, StoreError, UserStore};

/// Keeps apps, API keys, users, blocks and settings: the sum of one trait per entity.
///
/// # Duties of an implementer
/// - A write is durable before it resolves, and every later read sees it.
/// - After an edit or deletion by this process: remove the record from the cache, call the listeners, resolve the caller, in this
///   order. After one by another process on the same data: the first two, within a second.
/// - A record that was read before a change must not enter the cache after it.
/// - A read waits only for the disk and for other reads: callers await it while a client waits for its acknowledgement.
/// - Ids are exact. Only [`app`](AppStore::app) also finds an app by a rounded id; every other method, and every
///   record, uses the exact id.
/// - A write refuses NUL in every text that it would change, with [`StoreError::Nul`]: PostgreSQL cannot hold it, and data must be
///   able to move between stores. Of several records written by one call, only the record that contains it is refused.
/// - A write that fails leaves nothing behind, unless it failed with [`StoreError::Unavailable`], after which it
///   may or may not have happened.
///
/// # Errors
/// Every method returns [`StoreError::Unavailable`] if it cannot reach its data now, and [`StoreError::Corrupt`] if it cannot
/// decode them. A write also returns [`StoreError::Nul`]. Methods name other errors.
///
/// # Cancel safety
/// A future does nothing before it is polled. A read may be dropped at any time. A write that is dropped after it was polled
/// happens in full or not at all.
#[async_trait]
pub trait Store: AppStore + ApiKeyStore + UserStore + BlockStore + SettingStore + fmt::Debug {
    /// Writes a meaningless value durably, to find out whether users could be created and edited now.
    ///
    /// # Errors
    /// Those of [`Store`](Self#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](Self#cancel-safety).
    async fn probe(&self) -> Result<(), StoreError>;

    /// Registers a listener, which is called after every edit and deletion from now on, as long as the store exists.
    ///
    /// The creation of a record is not a change, and neither is [`record_last_seen`](UserStore::record_last_seen). A change by
    /// another process may be reported more than once.
    fn on_change(&self, listener: ChangeListener);
}

const _OBJECT_SAFE: fn(&dyn Store) = |_| ();
