//! The set of long-poll connections that have a session.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;

use super::ChatRequest;

/// The long-poll connections that have a session. HTTP connections that poll for them do not count as pending.
#[derive(Debug, Default)]
pub(crate) struct AdmittedPolls {
    hasher: RandomState,
    ids: Mutex<HashSet<PollId>>,
}

/// The hashed id of a long-poll connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PollId(u64);

/// The entry of one long-poll connection; dropping it removes the entry.
#[derive(Debug)]
pub(crate) struct AdmittedPoll {
    polls: Arc<AdmittedPolls>,
    id: PollId,
}

impl AdmittedPolls {
    /// Returns the hashed id that a request names. Returns `None` if the request names no id.
    pub(crate) fn id(&self, chat: &ChatRequest<'_>) -> Option<PollId> {
        Some(PollId(self.hasher.hash_one(chat.id()?)))
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
        // Give memory back after many connections have ended.
        if ids.capacity() > 1024.max(4 * ids.len()) {
            let twice = 2 * ids.len();
            ids.shrink_to(twice);
        }
    }
}
