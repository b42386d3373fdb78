//! A store that ends with its process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};
use parking_lot::Mutex;

use crate::{
    ApiKey, App, AppEdit, Change, ChangeListener, Created, Edited, StoreError, User, UserEdit,
    listeners::Listeners, record::MAX_BLOCKS, rounding::rounded,
};

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
    /// Whom users block, by the one who does.
    blocks: HashMap<UserId, BTreeSet<UserId>>,
}

impl Store {
    /// An empty store.
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
    async fn create_app(&self, app: App) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        if state.kept(&app.id).is_some() {
            return Ok(false);
        }
        let rounded = rounded(&app.id);
        state.apps.push(Kept {
            app: Arc::new(app),
            rounded,
            keys: Vec::new(),
            users: BTreeMap::new(),
            blocks: HashMap::new(),
        });
        Ok(true)
    }

    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError> {
        let state = self.state.lock();
        let by_rounded = || state.apps.iter().find(|kept| kept.rounded.as_ref() == Some(id));
        Ok(state.kept(id).or_else(by_rounded).map(|kept| kept.app.clone()))
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        Ok(self.state.lock().apps.iter().map(|kept| kept.app.clone()).collect())
    }

    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError> {
        let edited = {
            let mut state = self.state.lock();
            let Some(kept) = state.kept_mut(id) else { return Ok(None) };
            let mut app = App::clone(&kept.app);
            if edit(&mut app) == Edited::Keep {
                return Ok(Some(kept.app.clone()));
            }
            kept.app = Arc::new(App { id: id.clone(), created_at: kept.app.created_at, ..app });
            kept.app.clone()
        };
        self.changed(id, None);
        Ok(Some(edited))
    }

    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let mut all = state.apps.iter().flat_map(|kept| &kept.keys);
        let is_taken = all.any(|k| k.digest == key.digest || (k.app == key.app && k.id == key.id));
        let kept = state.kept_mut(&key.app).ok_or(StoreError::UnknownApp)?;
        if !is_taken {
            kept.keys.push(key);
        }
        Ok(!is_taken)
    }

    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError> {
        Ok(self.state.lock().kept(app).map(|kept| kept.keys.clone()).unwrap_or_default())
    }

    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let Some(kept) = state.kept_mut(app) else { return Ok(false) };
        let before = kept.keys.len();
        kept.keys.retain(|k| k.id != key);
        Ok(kept.keys.len() < before)
    }

    async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let state = self.state.lock();
        Ok(state.apps.iter().flat_map(|kept| &kept.keys).find(|key| key.digest == *digest).cloned())
    }

    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        Ok(self.state.lock().kept(app).and_then(|kept| kept.users.get(id).cloned()))
    }

    async fn create_user(&self, user: User) -> Result<Created, StoreError> {
        let mut state = self.state.lock();
        let kept = state.kept_mut(&user.app).ok_or(StoreError::UnknownApp)?;
        if let Some(existing) = kept.users.get(&user.id) {
            return Ok(Created::Existing(existing.clone()));
        }
        if kept.users.len() as u64 >= kept.app.max_users {
            return Err(StoreError::UserLimit);
        }
        let user = Arc::new(user);
        kept.users.insert(user.id.clone(), user.clone());
        Ok(Created::New(user))
    }

    async fn edit_user(
        &self,
        app: &AppId,
        id: &UserId,
        edit: UserEdit,
    ) -> Result<Option<Arc<User>>, StoreError> {
        let edited = {
            let mut state = self.state.lock();
            let Some(user) = state.kept_mut(app).and_then(|kept| kept.users.get_mut(id)) else {
                return Ok(None);
            };
            let mut copy = User::clone(user);
            if edit(&mut copy) == Edited::Keep {
                return Ok(Some(user.clone()));
            }
            *user = Arc::new(User { app: app.clone(), id: id.clone(), created_at: user.created_at, ..copy });
            user.clone()
        };
        self.changed(app, Some(id));
        Ok(Some(edited))
    }

    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError> {
        let deleted = self.state.lock().kept_mut(app).is_some_and(|kept| kept.delete_user(id));
        if deleted {
            self.changed(app, Some(id));
        }
        Ok(deleted)
    }

    async fn users<'a>(
        &self,
        app: &AppId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        let state = self.state.lock();
        let Some(kept) = state.kept(app) else { return Ok(Vec::new()) };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(kept
            .users
            .range::<UserId, _>((start, Bound::Unbounded))
            .take(limit)
            .map(|(_, user)| user.clone())
            .collect())
    }

    async fn users_by_name<'a>(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<(&'a str, &'a UserId)>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        if prefix.contains('\0') {
            return Ok(Vec::new());
        }
        let (prefix, after) = (fold(prefix), after.map(|(name, id)| (fold(name), id)));
        let state = self.state.lock();
        let Some(kept) = state.kept(app) else { return Ok(Vec::new()) };
        let mut found: Vec<_> = kept
            .users
            .iter()
            .filter(|(_, user)| !user.profile.display_name.is_empty())
            .map(|(id, user)| ((fold(&user.profile.display_name), id), user))
            .filter(|(place, _)| place.0.starts_with(&prefix) && after.as_ref().is_none_or(|at| place > at))
            .collect();
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found.into_iter().take(limit).map(|(_, user)| user.clone()).collect())
    }

    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        Ok(self.state.lock().kept(app).map_or(0, |kept| kept.users.len() as u64))
    }

    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        let state = self.state.lock();
        let active = |kept: &Kept| kept.users.values().filter(|user| !user.is_suspended).count() as u64;
        Ok(state.kept(app).map_or(0, active))
    }

    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let Some(kept) = state.kept_mut(app) else { return Ok(false) };
        if !kept.users.contains_key(user) || !kept.users.contains_key(other) {
            return Ok(false);
        }
        let blocked = kept.blocks.entry(user.clone()).or_default();
        if !blocked.contains(other) {
            if blocked.len() as u64 >= MAX_BLOCKS {
                return Err(StoreError::BlockLimit);
            }
            blocked.insert(other.clone());
        }
        Ok(true)
    }

    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let blocked = state.kept_mut(app).and_then(|kept| kept.blocks.get_mut(user));
        Ok(blocked.is_some_and(|blocked| blocked.remove(other)))
    }

    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        let state = self.state.lock();
        let Some(kept) = state.kept(app) else { return Ok(Vec::new()) };
        let Some(blocked) = kept.blocks.get(user) else { return Ok(Vec::new()) };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = blocked.range::<UserId, _>((start, Bound::Unbounded)).take(limit);
        Ok(ids.filter_map(|id| kept.users.get(id).cloned()).collect())
    }

    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        for (app, id, at) in seen {
            let user = state.kept_mut(app).and_then(|kept| kept.users.get_mut(id));
            if let Some(user) = user.filter(|user| user.last_seen < *at) {
                Arc::make_mut(user).last_seen = *at;
            }
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.lock().settings.get(name).cloned())
    }

    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(self.state.lock().settings.entry(name.to_owned()).or_insert_with(|| value.to_vec()).clone())
    }

    fn on_change(&self, listener: ChangeListener) {
        self.listeners.add(listener);
    }
}

/// A name as it is compared with others.
fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}
