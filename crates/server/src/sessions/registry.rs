//! Finds sessions by id and by user, detached ones too.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use chatcamp_protocol::{AppId, UserId};
use parking_lot::Mutex;
use slab::Slab;

use crate::session::{Session, SessionId};

const SHARDS: usize = 16;

/// The sessions of this process.
#[derive(Debug)]
pub(crate) struct Registry {
    slots: Mutex<Slots>,
    hasher: RandomState,
    users: [Mutex<HashMap<Key, Vec<SessionId>>>; SHARDS],
}

type Key = (AppId, UserId);

#[derive(Debug, Default)]
struct Slots {
    sessions: Slab<Arc<Session>>,
    generation: u32,
}

/// The user has the maximum number of live sessions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Registry {
    pub(crate) fn new() -> Self {
        Self { slots: Mutex::default(), hasher: RandomState::new(), users: Default::default() }
    }

    /// Adds the session that `make` creates for the user.
    ///
    /// # Errors
    /// [`Full`] if the user already has `most` live sessions; `make` is not called.
    pub(crate) fn insert(
        &self,
        app: &AppId,
        user: &UserId,
        most: usize,
        make: impl FnOnce(SessionId) -> Arc<Session>,
    ) -> Result<Arc<Session>, Full> {
        if most == 0 {
            return Err(Full);
        }
        let key = (app.clone(), user.clone());
        let mut users = self.shard(&key).lock();
        let of_user = users.entry(key).or_insert_with(|| Vec::with_capacity(1));
        let mut slots = self.slots.lock();
        let is_live = |id: &&SessionId| slots.get(**id).is_some_and(|session| session.is_live());
        if of_user.len() >= most && of_user.iter().filter(is_live).count() >= most {
            return Err(Full);
        }
        slots.generation = slots.generation.wrapping_add(1);
        let generation = slots.generation;
        let entry = slots.sessions.vacant_entry();
        let slot = u32::try_from(entry.key()).expect("fewer sessions than 2^32 fit into memory");
        let session = make(SessionId { slot, generation });
        entry.insert(session.clone());
        of_user.push(session.id);
        Ok(session)
    }

    /// Removes the session.
    pub(crate) fn remove(&self, session: &Session) {
        let key = (session.app.clone(), session.user.clone());
        let mut users = self.shard(&key).lock();
        let mut slots = self.slots.lock();
        if slots.get(session.id).is_some() {
            slots.sessions.remove(session.id.slot as usize);
        }
        drop(slots);
        let Some(of_user) = users.get_mut(&key) else { return };
        of_user.retain(|id| *id != session.id);
        if of_user.is_empty() {
            users.remove(&key);
        }
    }

    /// Returns the session with this id; `None` if it is over.
    pub(crate) fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.slots.lock().get(id).cloned()
    }

    /// Returns the user's sessions, in the order in which they began.
    pub(crate) fn of_user(&self, app: &AppId, user: &UserId) -> Vec<Arc<Session>> {
        let key = (app.clone(), user.clone());
        let users = self.shard(&key).lock();
        let Some(of_user) = users.get(&key) else { return Vec::new() };
        let slots = self.slots.lock();
        of_user.iter().filter_map(|id| slots.get(*id).cloned()).collect()
    }

    /// Returns the user's session that has been detached longest; `None` if at most `most` of its sessions are detached.
    pub(crate) fn oldest_detached(&self, app: &AppId, user: &UserId, most: usize) -> Option<SessionId> {
        let key = (app.clone(), user.clone());
        let users = self.shard(&key).lock();
        let of_user = users.get(&key).filter(|of_user| of_user.len() > most)?;
        let slots = self.slots.lock();
        let mut detached = 0;
        let mut oldest = None;
        for id in of_user {
            let Some(ticket) = slots.get(*id).and_then(|session| session.ticket()) else { continue };
            detached += 1;
            if oldest.is_none_or(|(oldest_ticket, _)| ticket < oldest_ticket) {
                oldest = Some((ticket, *id));
            }
        }
        oldest.filter(|_| detached > most).map(|(_, id)| id)
    }

    /// Returns whether the user has a live session.
    pub(crate) fn is_online(&self, app: &AppId, user: &UserId) -> bool {
        self.of_user(app, user).iter().any(|session| session.is_live())
    }

    /// Returns all sessions.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.slots.lock().sessions.iter().map(|(_, session)| session.clone()).collect()
    }

    /// Returns the number of sessions.
    pub(crate) fn len(&self) -> usize {
        self.slots.lock().sessions.len()
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Vec<SessionId>>> {
        #[allow(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let hash = self.hasher.hash_one(key) as usize;
        &self.users[hash % SHARDS]
    }
}

impl Slots {
    fn get(&self, id: SessionId) -> Option<&Arc<Session>> {
        self.sessions.get(id.slot as usize).filter(|session| session.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_sessions_leaves_no_entry() {
        let registry = Registry::new();
        let app = AppId::new("app").unwrap();
        let alice = UserId::new("alice").unwrap();
        let inserted = registry.insert(&app, &alice, 0, |_| unreachable!("no session is allowed"));
        assert!(inserted.is_err());
        assert!(registry.users.iter().all(|users| users.lock().is_empty()));
    }
}
