//! What was read, kept for the next time, and never older than the last change.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use chatcamp_protocol::{AppId, Profile, UserId};
use parking_lot::Mutex;
use quick_cache::{DefaultHashBuilder, Equivalent, UnitWeighter, Weighter, sync};
use serde_json::{Map, Value};

use crate::{App, User};

/// Most bytes of users kept, roughly.
const USER_BYTES: u64 = 64 * 1024 * 1024;
/// What a user weighs that says little of itself; sizes the cache's tables.
const USER_BYTES_USUAL: usize = 1024;
/// Most apps kept.
const APPS: usize = 4096;
/// Independent counts of changes; a change spoils only the reads under way that share its count.
const EPOCHS: usize = 64;

pub(super) type Apps = Cache<AppId, Arc<App>, UnitWeighter>;
pub(super) type Users = Cache<UserKey, Arc<User>, UserWeight>;

/// A cache into which nothing gets that was read before a change and arrives after it.
///
/// A reader takes a ticket, then reads, then inserts; a change counts up, then removes. Both look at the count
/// under its lock, so a reader that was overtaken finds its ticket void.
pub(super) struct Cache<K, V, W> {
    entries: sync::Cache<K, V, W>,
    epochs: [Mutex<u64>; EPOCHS],
    hasher: DefaultHashBuilder,
}

/// The moment a read began.
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

    /// Marks the beginning of a read; to be called before it.
    pub(super) fn ticket<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Ticket {
        let slot = self.slot(key);
        Ticket { slot, epoch: *self.epochs[slot].lock() }
    }

    /// Keeps what was read, unless something changed since the ticket was taken.
    pub(super) fn insert(&self, ticket: Ticket, key: K, value: V) {
        let epoch = self.epochs[ticket.slot].lock();
        if *epoch == ticket.epoch {
            self.entries.insert(key, value);
        }
    }

    /// Forgets one entry after it has changed.
    pub(super) fn remove<Q: Hash + Equivalent<K>>(&self, key: &Q) {
        let mut epoch = self.epochs[self.slot(key)].lock();
        *epoch += 1;
        self.entries.remove(key);
    }

    /// Forgets everything.
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

    /// Raises a kept user's time in place, so that writing it costs nobody a read.
    pub(super) fn raise_last_seen(&self, key: &UserKeyRef<'_>, at: u64) {
        let mut epoch = self.epochs[self.slot(key)].lock();
        *epoch += 1;
        if let Some(mut user) = self.entries.peek(key).filter(|user| user.last_seen < at) {
            Arc::make_mut(&mut user).last_seen = at;
            // Refused only if it was evicted meanwhile, and then nothing stale is left.
            let _ = self.entries.replace(UserKey::of(&user), user, true);
        }
    }
}

/// Whose entry it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct UserKey {
    app: AppId,
    id: UserId,
}

/// The same, borrowed; must hash alike.
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

/// Weighs a user by the memory it takes, roughly.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserWeight;

impl Weighter<UserKey, Arc<User>> for UserWeight {
    fn weight(&self, key: &UserKey, user: &Arc<User>) -> u64 {
        const ENTRY: usize = size_of::<User>() + size_of::<UserKey>() + 64;
        let Profile {
            display_name,
            first_name,
            last_name,
            email,
            phone_number,
            profile_url,
            avatar_url,
            data,
            metadata,
        } = &user.profile;
        let texts = [display_name, first_name, last_name, email, phone_number, profile_url, avatar_url, data];
        let bytes =
            texts.iter().map(|text| text.len()).sum::<usize>() + key.id.as_str().len() + members(metadata);
        (ENTRY + bytes) as u64
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
    fn a_reader_that_a_change_overtook_does_not_enter() {
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
    fn a_kept_time_is_raised_and_never_lowered() {
        let (users, kept) = (Users::new(), user(5));
        let key = UserKeyRef { app: &kept.app, id: &kept.id };
        users.insert(users.ticket(&key), UserKey::of(&kept), kept.clone());
        for (at, expected) in [(4, 5), (9, 9), (7, 9)] {
            users.raise_last_seen(&key, at);
            assert_eq!(users.get(&key).map(|user| user.last_seen), Some(expected));
        }
    }

    #[test]
    fn what_is_kept_is_bounded_by_its_weight() {
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
