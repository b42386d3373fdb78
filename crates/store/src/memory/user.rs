//! Users, stored with their app.

use std::{ops::Bound, sync::Arc};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};

use super::{AppRecords, Store};
use crate::{Created, Edited, FoundUsers, StoreError, User, UserEdit, UserQuery, UserStore, nul};

#[async_trait]
impl UserStore for Store {
    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        Ok(self.state.lock().app(app).and_then(|records| records.users.get(id).cloned()))
    }

    async fn create_user(&self, user: User) -> Result<Created, StoreError> {
        nul::check_user(&user)?;
        let mut state = self.state.lock();
        let records = state.app_mut(&user.app).ok_or(StoreError::UnknownApp)?;
        if let Some(existing) = records.users.get(&user.id) {
            return Ok(Created::Existing(existing.clone()));
        }
        if records.users.len() as u64 >= records.app.max_users {
            return Err(StoreError::UserLimit);
        }
        let user = Arc::new(User { rev: 1, ..user });
        records.users.insert(user.id.clone(), user.clone());
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
            let Some(user) = state.app_mut(app).and_then(|records| records.users.get_mut(id)) else {
                return Ok(None);
            };
            let mut copy = User::clone(user);
            if edit(&mut copy) == Edited::Keep {
                return Ok(Some(user.clone()));
            }
            nul::check_edited_user(user, &copy)?;
            *user = Arc::new(User {
                app: app.clone(),
                id: id.clone(),
                created_at: user.created_at,
                rev: user.rev + 1,
                ..copy
            });
            user.clone()
        };
        self.changed(app, Some(id));
        Ok(Some(edited))
    }

    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError> {
        let deleted = self.state.lock().app_mut(app).is_some_and(|records| records.delete_user(id));
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
        let Some(records) = state.app(app) else { return Ok(Vec::new()) };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(records
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
        let Some(records) = state.app(app) else { return Ok(Vec::new()) };
        let mut found: Vec<_> = records
            .users
            .iter()
            .filter(|(_, user)| !user.profile.display_name.is_empty())
            .map(|(id, user)| ((fold(&user.profile.display_name), id), user))
            .filter(|(place, _)| place.0.starts_with(&prefix) && after.as_ref().is_none_or(|at| place > at))
            .collect();
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found.into_iter().take(limit).map(|(_, user)| user.clone()).collect())
    }

    async fn find_users(
        &self,
        app: &AppId,
        query: &UserQuery,
        skip: usize,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        let text = fold(&query.text);
        let state = self.state.lock();
        let Some(records) = state.app(app) else { return Ok(FoundUsers::default()) };
        let found: Vec<_> = records.users.values().filter(|user| is_selected(user, query, &text)).collect();
        let users = found.iter().skip(skip).take(limit).map(|&user| user.clone()).collect();
        Ok(FoundUsers { users, total: found.len() as u64 })
    }

    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        Ok(self.state.lock().app(app).map_or(0, |records| records.users.len() as u64))
    }

    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        let state = self.state.lock();
        let active =
            |records: &AppRecords| records.users.values().filter(|user| !user.is_suspended).count() as u64;
        Ok(state.app(app).map_or(0, active))
    }

    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        for (app, id, at) in seen {
            let user = state.app_mut(app).and_then(|records| records.users.get_mut(id));
            if let Some(user) = user.filter(|user| user.last_seen < *at) {
                Arc::make_mut(user).last_seen = *at;
            }
        }
        Ok(())
    }
}

/// Returns whether a query selects a user; `text` is its text in the form of [`fold`].
fn is_selected(user: &User, query: &UserQuery, text: &str) -> bool {
    let UserQuery { text: _, check_access_token, is_suspended, ids } = query;
    (fold(user.id.as_str()).contains(text) || fold(&user.profile.display_name).contains(text))
        && check_access_token.is_none_or(|checks| checks == user.check_access_token)
        && is_suspended.is_none_or(|suspended| suspended == user.is_suspended)
        && ids.as_ref().is_none_or(|ids| ids.contains(&user.id))
}

/// Returns the form of a name that is compared with others.
fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}
