//! Locks by user: one task at a time changes a user.

use std::hash::{DefaultHasher, Hash, Hasher};

use chatcamp_protocol::{AppId, UserId};
use tokio::sync::{Mutex, MutexGuard};

/// The number of locks: usually more than the users that are changed at the same time.
const STRIPES: usize = 256;

/// A fixed number of locks. Users whose ids have the same hash share one.
#[derive(Debug)]
pub(crate) struct PerUserLocks {
    /// Makes the hash unpredictable, so that no client can choose a user id that shares a lock with a given user.
    seed: u64,
    stripes: Box<[Mutex<()>]>,
}

impl PerUserLocks {
    /// Creates the locks; `seed` is random.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, stripes: (0..STRIPES).map(|_| Mutex::new(())).collect() }
    }

    /// Waits for the user's lock. Dropping the guard releases it.
    pub(crate) async fn lock(&self, app: &AppId, user: &UserId) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (self.seed, app, user).hash(&mut hasher);
        #[allow(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let hash = hasher.finish() as usize;
        self.stripes[hash % STRIPES].lock().await
    }
}
