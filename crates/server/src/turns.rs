//! Turns: of the tasks that change one user, one at a time.

use std::hash::{BuildHasher, RandomState};

use chatcamp_protocol::{AppId, UserId};
use tokio::sync::{Mutex, MutexGuard};

/// More than the users that are changed at one moment, most of the time.
const STRIPES: usize = 256;

/// Locks shared by users whose ids hash alike.
#[derive(Debug)]
pub(crate) struct Turns {
    hasher: RandomState,
    stripes: Box<[Mutex<()>]>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { hasher: RandomState::new(), stripes: (0..STRIPES).map(|_| Mutex::new(())).collect() }
    }
}

impl Turns {
    /// Waits for the user's turn, which lasts until the guard is dropped.
    pub(crate) async fn of(&self, app: &AppId, user: &UserId) -> MutexGuard<'_, ()> {
        #[allow(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let hash = self.hasher.hash_one((app, user)) as usize;
        self.stripes[hash % STRIPES].lock().await
    }
}
