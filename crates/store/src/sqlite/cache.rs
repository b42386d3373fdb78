//! Caches of records, which are never older than the last change.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use chatcamp_protocol::{AppId, UserId};
use parking_lot::Mutex;
use quick_cache::{DefaultHashBuilder, Equivalent, UnitWeighter, Weighter, sync};
use serde_json::{Map, Value};

use crate::{App, User};

/// The maximum number of bytes of cached users, roughly.
const USER_BYTES: u64 = 64 * 1024 * 1024;
/// The weight of a user with a short profile, from which the size of the cache's tables follows.
const USER_BYTES_USUAL: usize = 1024;
/// The maximum number of cached apps.
const APPS: usize = 4096;
/// The number of counts of changes. A change voids only the reads in progress that share its count.
const EPOCHS: usize = 64;

pub(super) type Apps = Cache<AppId, Arc<App>, UnitWeighter>;
pub(super) type Users = Cache<UserKey, Arc<User>, UserWeight>;

/// A cache that refuses a record that was read before a change and is inserted after it.
///
/// A reader takes a ticket, then reads, then inserts. A change increments the count, then removes the entry. Both access the count under
/// its lock, so the ticket of a reader that a change has overtaken is void.
pub(super) struct Cache<K, V, W> {
    entries: sync::Cache<K, V, W>,
    epochs: [Mutex<u64>; EPOCHS],
    hasher: DefaultHashBuilder,
}

/// The count of changes when a read began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    slot: usize,
    epoch: u64,
}

impl<K: Hash + Eq, V: Clone, W: Weighter<K, V> + Clone> Cache<K, V, W> {
    fn with_weighter(usual_items: usize, capacity: u64, weighter: W) -> Self {
        Self {
            entries: sync::Cache::with_weighter(usual_items, capacity, weighter),
            epochs: std::array::from_fn(|_| Mutex::new(0)),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(super) fn get<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Option<V> {
        self.entries.get(key)
    }

    /// Returns a ticket; must be called before the read.
    pub(super) fn ticket<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Ticket {
        let slot = self.slot(key);
        Ticket { slot, epoch: *self.epochs[slot].lock() }
    }

    /// Inserts a record that was read, unless it may have changed since the ticket was taken.
    pub(super) fn insert(&self, ticket: Ticket, key: K, value: V) {
        let epoch = self.epochs[ticket.slot].lock();
        if *epoch == ticket.epoch {
            self.entries.insert(key, value);
        }
    }

    /// Removes one entry after a change.
    pub(super) fn remove<Q: Hash + Equivalent<K>>(&self, key: &Q) {
        let mut epoch = self.epochs[self.slot(key)].lock();
        *epoch += 1;
        self.entries.remove(key);
    }

    /// Removes all entries.
    pub(super) fn clear(&self) {
        let mut epochs: Vec<_> = self.epochs.iter().map(Mutex::lock).collect();
        epochs.iter_mut().for_each(|epoch| **epoch += 1);
        self.entries.clear();
    }

    fn slot<Q: Hash>(&self, key: &Q) -> usize {
        self.hasher.hash_one(key) as usize % EPOCHS
    }
}

impl Apps {
    pub(super) fn new() -> Self {
        Self::with_weighter(APPS, APPS as u64, UnitWeighter)
    }

    /// Returns the ids of all cached apps.
    pub(super) fn ids(&self) -> BTreeSet<AppId> {
        self.entries.iter().map(|(_, app)| app.id.clone()).collect()
    }
}

impl Users {
    pub(super) fn new() -> Self {
        Self::with_weighter(USER_BYTES as usize / USER_BYTES_USUAL, USER_BYTES, UserWeight)
    }

    /// Raises the time of a cached user in place, so that the write causes no read.
    pub(super) fn raise_last_seen(&self, key: &UserKeyRef<'_>, at: u64) {
        let mut epoch = self.epochs[self.slot(key)].lock();
        *epoch += 1;
        if let Some(mut user) = self.entries.peek(key).filter(|user| user.last_seen < at) {
            Arc::make_mut(&mut user).last_seen = at;
            // Fails only if the user was evicted in the meantime; then nothing outdated is cached.
            let _ = self.entries.replace(UserKey::of(&user), user, true);
        }
    }
}

/// The key of a cached user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct UserKey {
    app: AppId,
    id: UserId,
}

/// The key of a cached user, borrowed; must have the same hash.
#[derive(Debug, Hash)]
pub(super) struct UserKeyRef<'a> {
    pub(super) app: &'a AppId,
    pub(super) id: &'a UserId,
}

impl UserKey {
    pub(super) fn of(user: &User) -> Self {
        Self { app: user.app.clone(), id: user.id.clone() }
    }
}

impl Equivalent<UserKey> for UserKeyRef<'_> {
    fn equivalent(&self, key: &UserKey) -> bool {
        *self.id == key.id && *self.app == key.app
    }
}

/// Weighs a user by the memory it needs, roughly.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserWeight;

impl Weighter<UserKey, Arc<User>> for UserWeight {
    fn weight(&self, key: &UserKey, user: &Arc<User>) -> u64 {
        const ENTRY: usize = size_of::<User>() + size_of::<UserKey>() + 64;
        let texts: usize = user.profile.texts().iter().map(|text| text.text.len()).sum();
        (ENTRY + key.id.as_str().len() + texts + members(&user.profile.metadata)) as u64
    }
}

fn members(map: &Map<String, Value>) -> usize {
    map.iter().map(|(name, value)| size_of::<String>() + name.len() + nested(value)).sum()
}

fn nested(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(nested).sum(),
            Value::Object(map) => members(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(last_seen: u64) -> Arc<User> {
        let mut user = User::new(AppId::new("a").unwrap(), UserId::new("alice").unwrap(), [0; 16], 1);
        user.last_seen = last_seen;
        Arc::new(user)
    }

    #[test]
    fn a_record_read_before_a_change_is_not_cached_after_it() {
        let (users, old) = (Users::new(), user(1));
        let key = UserKeyRef { app: &old.app, id: &old.id };

        let overtaken = users.ticket(&key);
        users.remove(&key);
        users.insert(overtaken, UserKey::of(&old), old.clone());
        assert_eq!(users.get(&key), None);

        let cleared = users.ticket(&key);
        users.clear();
        users.insert(cleared, UserKey::of(&old), old.clone());
        assert_eq!(users.get(&key), None);

        let raised = users.ticket(&key);
        users.raise_last_seen(&key, 2);
        users.insert(raised, UserKey::of(&old), old.clone());
        assert_eq!(users.get(&key), None);

        let good = users.ticket(&key);
        users.insert(good, UserKey::of(&old), old.clone());
        assert_eq!(users.get(&key), Some(old.clone()));
    }

    #[test]
    fn a_cached_time_is_raised_and_never_lowered() {
        let (users, kept) = (Users::new(), user(5));
        let key = UserKeyRef { app: &kept.app, id: &kept.id };
        users.insert(users.ticket(&key), UserKey::of(&kept), kept.clone());
        for (at, expected) in [(4, 5), (9, 9), (7, 9)] {
            users.raise_last_seen(&key, at);
            assert_eq!(users.get(&key).map(|user| user.last_seen), Some(expected));
        }
    }

    #[test]
    fn the_weight_of_the_cache_is_bounded() {
        let users = Users::new();
        let text = "x".repeat(512 * 1024);
        for n in 0..256 {
            let mut big = User::clone(&user(0));
            big.id = UserId::new(n.to_string()).unwrap();
            big.profile.data = text.clone();
            let key = UserKeyRef { app: &big.app, id: &big.id };
            users.insert(users.ticket(&key), UserKey::of(&big), Arc::new(big.clone()));
        }
        assert!(users.entries.weight() <= USER_BYTES, "{}", users.entries.weight());
        assert!(!users.entries.is_empty());
    }
}
