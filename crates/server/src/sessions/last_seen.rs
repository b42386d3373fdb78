//! The times at which users were last connected. Collected here; the operations write them to the store in batches.

use std::collections::HashMap;

use chatcamp_protocol::{AppId, UserId};
use parking_lot::Mutex;

use crate::session::Session;

/// How old, in seconds, the stored time of a connected user may be. After a crash only the stored time is known.
const STALE: u64 = 60 * 60;

/// The maximum number of users whose times wait to be written. If there are more, some keep an older time.
const WAITING: usize = 100_000;

/// Last-seen times not yet written.
#[derive(Debug, Default)]
pub(crate) struct LastSeen {
    times: Mutex<HashMap<(AppId, UserId), u64>>,
}

impl LastSeen {
    /// Notes that a session begins at `now`, if the user's stored time is too old.
    pub(crate) fn note_start(&self, session: &Session, last_seen: u64, now: u64) {
        if last_seen.saturating_add(STALE) < now {
            self.note(session, now);
        }
    }

    /// Notes that a session had its connection until `now`, in Unix seconds.
    pub(crate) fn note(&self, session: &Session, now: u64) {
        let mut times = self.times.lock();
        if times.len() < WAITING {
            times.insert((session.app.clone(), session.user.clone()), now);
        }
    }

    /// Removes and returns the times that wait to be written.
    pub(crate) fn take(&self) -> Vec<(AppId, UserId, u64)> {
        let times = std::mem::take(&mut *self.times.lock());
        times.into_iter().map(|((app, user), at)| (app, user, at)).collect()
    }

    /// Puts back times that were not written. A newer time of the same user is kept, and times that do not fit are lost.
    pub(crate) fn put_back(&self, batch: Vec<(AppId, UserId, u64)>) {
        let mut times = self.times.lock();
        for (app, user, at) in batch.into_iter().take(WAITING.saturating_sub(times.len())) {
            times.entry((app, user)).or_insert(at);
        }
    }
}
