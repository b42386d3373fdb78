//! Users: calls and writes; their rows are in `user_rows.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};
use rusqlite::{Connection, params};

use super::{
    Store,
    batch::{Batch, Effect},
    cache::{UserKey, UserKeyRef},
    fault::Fault,
    user_query, user_rows as rows,
    writer::run_edit,
};
use crate::{
    Change, Created, Edited, FoundUsers, StoreError, Upsert, Upserted, User, UserEdit, UserQuery, UserStore,
    nul,
};

/// The maximum number of last-seen times in one transaction, so that other writes do not wait long.
const LAST_SEEN_CHUNK: usize = 512;

#[async_trait]
impl UserStore for Store {
    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        let key = UserKeyRef { app, id };
        if let Some(user) = self.shared.users.get(&key) {
            return Ok(Some(user));
        }
        let ticket = self.shared.users.ticket(&key);
        let found = {
            let (app, id) = (app.clone(), id.clone());
            self.readers.read_short(move |connection| rows::user(connection, &app, &id)).await?
        };
        let Some(user) = found else { return Ok(None) };
        let user = Arc::new(user);
        self.shared.users.insert(ticket, UserKey::of(&user), user.clone());
        Ok(Some(user))
    }

    async fn create_user(&self, user: User) -> Result<Created, StoreError> {
        let ticket = self.shared.users.ticket(&UserKeyRef { app: &user.app, id: &user.id });
        let created = self.submit(move |batch| create_user(batch, user)).await?;
        self.shared.users.insert(ticket, UserKey::of(created.user()), created.user().clone());
        Ok(created)
    }

    async fn edit_user(
        &self,
        app: &AppId,
        id: &UserId,
        edit: UserEdit,
    ) -> Result<Option<Arc<User>>, StoreError> {
        let (app, id) = (app.clone(), id.clone());
        self.submit(move |batch| edit_user(batch, &app, &id, edit)).await
    }

    async fn upsert_users(
        &self,
        upserts: Vec<Upsert>,
    ) -> Result<Vec<Result<Upserted, StoreError>>, StoreError> {
        self.submit(move |batch| upsert_users(batch, upserts)).await
    }

    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError> {
        let (app, id) = (app.clone(), id.clone());
        self.submit(move |batch| delete_user(batch, app, id)).await
    }

    async fn users<'a>(
        &self,
        app: &AppId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        let (app, after) = (app.clone(), after.cloned());
        self.readers.read_long(move |connection| rows::users(connection, &app, after.as_ref(), limit)).await
    }

    async fn users_by_name<'a>(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<(&'a str, &'a UserId)>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        let (app, prefix) = (app.clone(), prefix.to_owned());
        let after = after.map(|(name, id)| (name.to_owned(), id.clone()));
        let read = move |connection: &Connection| {
            let after = after.as_ref().map(|(name, id)| (name.as_str(), id));
            rows::users_by_name(connection, &app, &prefix, after, limit)
        };
        self.readers.read_long(read).await
    }

    async fn find_users(
        &self,
        app: &AppId,
        query: &UserQuery,
        skip: usize,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        let (app, query) = (app.clone(), query.clone());
        let read = move |connection: &Connection| user_query::find(connection, &app, &query, skip, limit);
        self.readers.read_long(read).await
    }

    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        let app = app.clone();
        self.readers.read_short(move |connection| rows::user_count(connection, &app)).await
    }

    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        let app = app.clone();
        self.readers.read_long(move |connection| rows::active_user_count(connection, &app)).await
    }

    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError> {
        for chunk in seen.chunks(LAST_SEEN_CHUNK) {
            let chunk = chunk.to_vec();
            self.submit(move |batch| record_last_seen(batch, chunk)).await?;
        }
        Ok(())
    }
}

fn create_user(batch: &mut Batch<'_>, user: User) -> Result<Created, Fault> {
    nul::check_user(&user)?;
    let user = User { rev: 1, ..user };
    let app = batch.app(&user.app)?.ok_or(StoreError::UnknownApp)?;
    let has_room = app.users < app.max_users;
    if has_room && rows::insert_user(batch.connection, app.key, &user)? {
        batch.count(&user.app, 1);
        return Ok(Created::New(Arc::new(user)));
    }
    match rows::user(batch.connection, &user.app, &user.id)? {
        Some(existing) => Ok(Created::Existing(Arc::new(existing))),
        None => Err(StoreError::UserLimit.into()),
    }
}

fn edit_user(
    batch: &mut Batch<'_>,
    app: &AppId,
    id: &UserId,
    edit: UserEdit,
) -> Result<Option<Arc<User>>, Fault> {
    let Some(found) = batch.app(app)? else { return Ok(None) };
    let Some(user) = rows::user(batch.connection, app, id)? else { return Ok(None) };
    Ok(Some(Arc::new(edit_found(batch, found.key, user, edit)?.0)))
}

/// Creates or edits users, in order. An error of a single user is that user's result.
fn upsert_users(
    batch: &mut Batch<'_>,
    upserts: Vec<Upsert>,
) -> Result<Vec<Result<Upserted, StoreError>>, Fault> {
    let mut outcomes = Vec::with_capacity(upserts.len());
    for upsert in upserts {
        match upsert_user(batch, upsert) {
            Err(fault @ Fault(StoreError::Unavailable(_))) => return Err(fault),
            outcome => outcomes.push(outcome.map_err(|fault| fault.0)),
        }
    }
    Ok(outcomes)
}

fn upsert_user(batch: &mut Batch<'_>, Upsert { new, edit }: Upsert) -> Result<Upserted, Fault> {
    nul::check_user(&new)?;
    let new = User { rev: 1, ..new };
    let app = batch.app(&new.app)?.ok_or(StoreError::UnknownApp)?;
    if app.users < app.max_users && rows::insert_user(batch.connection, app.key, &new)? {
        batch.count(&new.app, 1);
        return Ok(Upserted::Created);
    }
    let user = rows::user(batch.connection, &new.app, &new.id)?.ok_or(StoreError::UserLimit)?;
    Ok(match edit_found(batch, app.key, user, edit)?.1 {
        Edited::Save => Upserted::Saved,
        Edited::Keep => Upserted::Kept,
    })
}

/// Edits a user that was read from the app with this row key.
fn edit_found(batch: &mut Batch<'_>, app: i64, user: User, edit: UserEdit) -> Result<(User, Edited), Fault> {
    let mut edited = user.clone();
    if run_edit(edit, &mut edited)? == Edited::Keep {
        return Ok((user, Edited::Keep));
    }
    nul::check_edited_user(&user, &edited)?;
    let edited =
        User { app: user.app, id: user.id, created_at: user.created_at, rev: user.rev + 1, ..edited };
    rows::update_user(batch.connection, app, &edited)?;
    batch.effect(Effect::Changed(Change { app: edited.app.clone(), user: Some(edited.id.clone()) }));
    Ok((edited, Edited::Save))
}

fn delete_user(batch: &mut Batch<'_>, app: AppId, id: UserId) -> Result<bool, Fault> {
    let Some(found) = batch.app(&app)? else { return Ok(false) };
    let deleted = batch
        .connection
        .prepare_cached("DELETE FROM users WHERE app = ?1 AND id = ?2")?
        .execute(params![found.key, id.as_str()])?;
    if deleted == 1 {
        batch.count(&app, -1);
        batch.effect(Effect::Changed(Change { app, user: Some(id) }));
    }
    Ok(deleted == 1)
}

fn record_last_seen(batch: &mut Batch<'_>, seen: Vec<(AppId, UserId, u64)>) -> Result<(), Fault> {
    for (app, id, at) in seen {
        let Some(found) = batch.app(&app)? else { continue };
        let raised = batch
            .connection
            .prepare_cached("UPDATE users SET last_seen = ?3 WHERE app = ?1 AND id = ?2 AND last_seen < ?3")?
            .execute(params![found.key, id.as_str(), at.cast_signed()])?;
        if raised == 1 {
            batch.effect(Effect::Seen(app, id, at));
        }
    }
    Ok(())
}
