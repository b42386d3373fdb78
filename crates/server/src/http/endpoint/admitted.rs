//! Which long-poll connections have a session.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;

use super::Ask;

/// The long-poll connections that have a session: what polls for them is no stranger.
#[derive(Debug, Default)]
pub(crate) struct AdmittedPolls {
    hasher: RandomState,
    ids: Mutex<HashSet<PollId>>,
}

/// A long-poll connection's id, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PollId(u64);

/// A long-poll connection, as long as it has a session.
#[derive(Debug)]
pub(crate) struct AdmittedPoll {
    polls: Arc<AdmittedPolls>,
    id: PollId,
}

impl AdmittedPolls {
    /// Returns the hashed id that a request names; `None` if it names none.
    pub(crate) fn id(&self, ask: &Ask<'_>) -> Option<PollId> {
        Some(PollId(self.hasher.hash_one(ask.id()?)))
    }

    pub(crate) fn contains(&self, id: PollId) -> bool {
        self.ids.lock().contains(&id)
    }

    pub(super) fn insert(self: &Arc<Self>, id: PollId) -> AdmittedPoll {
        self.ids.lock().insert(id);
        AdmittedPoll { polls: self.clone(), id }
    }
}

impl Drop for AdmittedPoll {
    fn drop(&mut self) {
        let mut ids = self.polls.ids.lock();
        ids.remove(&self.id);
        // Gives memory back after a crowd has left.
        if ids.capacity() > 1024.max(4 * ids.len()) {
            let twice = 2 * ids.len();
            ids.shrink_to(twice);
        }
    }
}
