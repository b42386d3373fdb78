//! Locks by user: of the tasks that change one user, one runs at a time.

use std::hash::{DefaultHasher, Hash, Hasher};

use chatcamp_protocol::{AppId, UserId};
use tokio::sync::{Mutex, MutexGuard};

/// More than the users that are changed at one moment, most of the time.
const STRIPES: usize = 256;

/// Locks shared by users whose ids hash alike.
#[derive(Debug)]
pub(crate) struct PerUserLocks {
    /// Keeps strangers from choosing ids that share a lock with another user's.
    seed: u64,
    stripes: Box<[Mutex<()>]>,
}

impl PerUserLocks {
    /// Creates the locks; `seed` is random.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, stripes: (0..STRIPES).map(|_| Mutex::new(())).collect() }
    }

    /// Waits for the user's lock, which is held until the guard is dropped.
    pub(crate) async fn lock(&self, app: &AppId, user: &UserId) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (self.seed, app, user).hash(&mut hasher);
        #[allow(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let hash = hasher.finish() as usize;
        self.stripes[hash % STRIPES].lock().await
    }
}
