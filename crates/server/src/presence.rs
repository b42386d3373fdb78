//! When users were last connected: kept in memory, written behind in batches.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use chatcamp_protocol::{AppId, UserId};
use chatcamp_runtime::Runtime;
use chatcamp_store::{Store, StoreError};
use parking_lot::Mutex;

use crate::{server::Shared, session::Session};

/// How often last-seen times are written.
const INTERVAL: Duration = Duration::from_secs(10);

/// How old, in seconds, the time of somebody who connects may be: after a crash it is all there is to tell.
const STALE: u64 = 60 * 60;

/// Users whose time waits to be written, at most; of more in one interval some keep an older time.
const WAITING: usize = 100_000;

/// Last-seen times not yet written.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    left: Mutex<HashMap<(AppId, UserId), u64>>,
}

/// Writes what waits, again and again, for as long as there is a server.
pub(crate) async fn run(runtime: Arc<dyn Runtime>, server: Weak<Shared>) {
    loop {
        runtime.sleep_until(runtime.now() + INTERVAL).await;
        let Some(shared) = server.upgrade() else { return };
        if let Err(error) = shared.presence.write(&*shared.store).await {
            tracing::warn!(%error, "cannot write last-seen times; they are kept for the next try");
        }
    }
}

impl Presence {
    /// Notes that a session begins, where its user was last noted so long ago that a crash would make it look abandoned.
    pub(crate) fn arrived(&self, session: &Session, last_seen: u64, now: u64) {
        if last_seen.saturating_add(STALE) < now {
            self.left(session, now);
        }
    }

    /// Notes that a session had its connection until `now`, in Unix seconds.
    pub(crate) fn left(&self, session: &Session, now: u64) {
        let mut left = self.left.lock();
        if left.len() < WAITING {
            left.insert((session.app.clone(), session.user.clone()), now);
        }
    }

    /// Writes what waits; on failure it waits on, where there is room.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let left = std::mem::take(&mut *self.left.lock());
        if left.is_empty() {
            return Ok(());
        }
        let batch: Vec<_> = left.into_iter().map(|((app, user), at)| (app, user, at)).collect();
        let written = store.record_last_seen(&batch).await;
        if written.is_err() {
            let mut left = self.left.lock();
            for (app, user, at) in batch.into_iter().take(WAITING.saturating_sub(left.len())) {
                left.entry((app, user)).or_insert(at);
            }
        }
        written
    }
}
