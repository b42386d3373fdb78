//! The state that the threads of a store and its callers share.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{
    batch::Effect,
    cache::{Apps, UserKeyRef, Users},
    watch::Required,
};
use crate::{Change, listeners::Listeners, rounding::rounded};

/// The caches, listeners and counts of one open store.
pub(super) struct Shared {
    pub(super) apps: Apps,
    pub(super) users: Users,
    pub(super) listeners: Listeners,
    /// Files that must exist for a write.
    pub(super) required: Mutex<Vec<Required>>,
    commits: AtomicU64,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            apps: Apps::new(),
            users: Users::new(),
            listeners: Listeners::default(),
            required: Mutex::new(Vec::new()),
            commits: AtomicU64::new(0),
        }
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Applies the effects of a committed transaction: to the caches first, then to the listeners.
    pub(super) fn committed(&self, effects: &[Effect]) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        for effect in effects {
            match effect {
                Effect::Changed(change) => self.announce(change),
                Effect::AppCreated(app) => self.apps.remove(app),
                Effect::Seen(app, id, at) => self.users.raise_last_seen(&UserKeyRef { app, id }, *at),
            }
        }
    }

    /// Removes the changed record from the cache, then calls the listeners.
    pub(super) fn announce(&self, change: &Change) {
        match &change.user {
            Some(id) => self.users.remove(&UserKeyRef { app: &change.app, id }),
            None => {
                self.apps.remove(&change.app);
                if let Some(rounded) = rounded(&change.app) {
                    self.apps.remove(&rounded);
                }
            }
        }
        self.listeners.notify(change);
    }
}
