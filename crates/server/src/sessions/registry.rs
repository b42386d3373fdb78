//! Finds sessions by number and by user, those without a connection too.

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

/// All sessions.
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

/// The user has as many sessions as it may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Registry {
    pub(crate) fn new() -> Self {
        Self { slots: Mutex::default(), hasher: RandomState::new(), users: Default::default() }
    }

    /// Adds the session that `make` builds for the user, who may have `most` live ones.
    pub(crate) fn insert(
        &self,
        app: &AppId,
        user: &UserId,
        most: usize,
        make: impl FnOnce(SessionId) -> Arc<Session>,
    ) -> Result<Arc<Session>, Full> {
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

    /// Forgets the session.
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

    pub(crate) fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.slots.lock().get(id).cloned()
    }

    /// The user's sessions, in the order they joined.
    pub(crate) fn of_user(&self, app: &AppId, user: &UserId) -> Vec<Arc<Session>> {
        let key = (app.clone(), user.clone());
        let users = self.shard(&key).lock();
        let Some(of_user) = users.get(&key) else { return Vec::new() };
        let slots = self.slots.lock();
        of_user.iter().filter_map(|id| slots.get(*id).cloned()).collect()
    }

    /// The session of the user that has been without a connection longest, if more than `most` are.
    pub(crate) fn longest_away(&self, app: &AppId, user: &UserId, most: usize) -> Option<SessionId> {
        let key = (app.clone(), user.clone());
        let users = self.shard(&key).lock();
        let of_user = users.get(&key).filter(|of_user| of_user.len() > most)?;
        let slots = self.slots.lock();
        let tickets = of_user.iter().filter_map(|id| Some((slots.get(*id)?.ticket()?, *id)));
        let (away, longest) =
            tickets.fold((0, None), |(away, longest): (usize, Option<(u64, SessionId)>), one| {
                let longer = longest.filter(|longest| longest.0 < one.0).unwrap_or(one);
                (away + 1, Some(longer))
            });
        longest.filter(|_| away > most).map(|(_, id)| id)
    }

    /// Whether the user has a live session.
    pub(crate) fn is_online(&self, app: &AppId, user: &UserId) -> bool {
        self.of_user(app, user).iter().any(|session| session.is_live())
    }

    /// All sessions at this moment.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.slots.lock().sessions.iter().map(|(_, session)| session.clone()).collect()
    }

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
