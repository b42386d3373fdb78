//! Writes the times at which users were last connected.

use chatcamp_store::{Store, StoreError};

use crate::sessions::Sessions;

/// Writes the times that the sessions have collected to the store.
///
/// # Errors
/// The store's; the times are kept for the next call.
pub(crate) async fn write_last_seen(sessions: &Sessions, store: &dyn Store) -> Result<(), StoreError> {
    let batch = sessions.last_seen.take();
    if batch.is_empty() {
        return Ok(());
    }
    let written = store.record_last_seen(&batch).await;
    if written.is_err() {
        sessions.last_seen.put_back(batch);
    }
    written
}
