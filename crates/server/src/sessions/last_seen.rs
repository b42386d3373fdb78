//! When users were last connected: collected here, and written behind in batches by the operations.

use std::collections::HashMap;

use chatcamp_protocol::{AppId, UserId};
use parking_lot::Mutex;

use crate::session::Session;

/// How old, in seconds, the time of somebody who connects may be: after a crash it is all there is to tell.
const STALE: u64 = 60 * 60;

/// Users whose time waits to be written, at most; of more in one interval some keep an older time.
const WAITING: usize = 100_000;

/// Last-seen times not yet written.
#[derive(Debug, Default)]
pub(crate) struct LastSeen {
    left: Mutex<HashMap<(AppId, UserId), u64>>,
}

impl LastSeen {
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

    /// Takes out the times that are to be written.
    pub(crate) fn take(&self) -> Vec<(AppId, UserId, u64)> {
        let left = std::mem::take(&mut *self.left.lock());
        left.into_iter().map(|((app, user), at)| (app, user, at)).collect()
    }

    /// Puts back times that were not written, except those that are newer here and those for which there is no room.
    pub(crate) fn put_back(&self, batch: Vec<(AppId, UserId, u64)>) {
        let mut left = self.left.lock();
        for (app, user, at) in batch.into_iter().take(WAITING.saturating_sub(left.len())) {
            left.entry((app, user)).or_insert(at);
        }
    }
}
