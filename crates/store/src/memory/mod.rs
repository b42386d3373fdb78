//! A store in memory.

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

/// Stores everything in memory, for tests and throw-away apps.
#[derive(Debug, Default)]
pub struct Store {
    state: Mutex<State>,
    listeners: Listeners,
}

#[derive(Debug, Default)]
struct State {
    /// In order of creation.
    apps: Vec<AppRecords>,
    settings: HashMap<String, Vec<u8>>,
}

/// An app and all records that belong to it.
#[derive(Debug)]
struct AppRecords {
    app: Arc<App>,
    /// The id as JavaScript rounds it, if it differs.
    rounded: Option<AppId>,
    keys: Vec<ApiKey>,
    users: BTreeMap<UserId, Arc<User>>,
    /// The users that each user blocks.
    blocks: HashMap<UserId, BTreeSet<UserId>>,
}

impl Store {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn changed(&self, app: &AppId, user: Option<&UserId>) {
        self.listeners.notify(&Change { app: app.clone(), user: user.cloned() });
    }
}

impl AppRecords {
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
    fn app(&self, id: &AppId) -> Option<&AppRecords> {
        self.apps.iter().find(|records| records.app.id == *id)
    }

    fn app_mut(&mut self, id: &AppId) -> Option<&mut AppRecords> {
        self.apps.iter_mut().find(|records| records.app.id == *id)
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
