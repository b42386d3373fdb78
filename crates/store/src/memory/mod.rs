//! A store that ends with its process.

mod api_key;
mod app;
mod block;
mod setting;
mod user;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};
use parking_lot::Mutex;

use crate::{ApiKey, App, Change, ChangeListener, StoreError, User, listeners::Listeners};

/// Keeps everything in memory: for tests and throw-away apps.
#[derive(Debug, Default)]
pub struct Store {
    state: Mutex<State>,
    listeners: Listeners,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of creation.
    apps: Vec<Kept>,
    settings: HashMap<String, Vec<u8>>,
}

#[derive(Debug)]
struct Kept {
    app: Arc<App>,
    rounded: Option<AppId>,
    keys: Vec<ApiKey>,
    users: BTreeMap<UserId, Arc<User>>,
    /// The users that a user blocks, by that user.
    blocks: HashMap<UserId, BTreeSet<UserId>>,
}

impl Store {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn changed(&self, app: &AppId, user: Option<&UserId>) {
        self.listeners.tell(&Change { app: app.clone(), user: user.cloned() });
    }
}

impl Kept {
    fn delete_user(&mut self, id: &UserId) -> bool {
        self.blocks.remove(id);
        self.blocks.retain(|_, blocked| {
            blocked.remove(id);
            !blocked.is_empty()
        });
        self.users.remove(id).is_some()
    }
}

impl State {
    fn kept(&self, id: &AppId) -> Option<&Kept> {
        self.apps.iter().find(|kept| kept.app.id == *id)
    }

    fn kept_mut(&mut self, id: &AppId) -> Option<&mut Kept> {
        self.apps.iter_mut().find(|kept| kept.app.id == *id)
    }
}

#[async_trait]
impl crate::Store for Store {
    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_change(&self, listener: ChangeListener) {
        self.listeners.add(listener);
    }
}
