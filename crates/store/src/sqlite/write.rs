//! What the writer does, one function per kind of write.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use chatcamp_protocol::{AppId, UserId};
use rusqlite::params;

use super::{
    batch::{Batch, Effect},
    fault::Fault,
    rows,
};
use crate::{
    ApiKey, App, AppEdit, Change, Created, Edited, StoreError, Upsert, Upserted, User, UserEdit,
    record::MAX_BLOCKS,
};

pub(super) fn create_app(batch: &mut Batch<'_>, app: &App) -> Result<bool, Fault> {
    let is_new = rows::insert_app(batch.connection, app)?;
    if is_new {
        batch.effect(Effect::AppCreated(app.id.clone()));
    }
    Ok(is_new)
}

pub(super) fn edit_app(batch: &mut Batch<'_>, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, Fault> {
    let Some(app) = rows::app_exactly(batch.connection, id)? else { return Ok(None) };
    let mut edited = app.clone();
    if run(edit, &mut edited)? == Edited::Keep {
        return Ok(Some(Arc::new(app)));
    }
    let edited = App { id: app.id, created_at: app.created_at, ..edited };
    rows::update_app(batch.connection, &edited)?;
    batch.limit(id, edited.max_users);
    batch.effect(Effect::Changed(Change { app: id.clone(), user: None }));
    Ok(Some(Arc::new(edited)))
}

pub(super) fn create_api_key(batch: &mut Batch<'_>, key: &ApiKey) -> Result<bool, Fault> {
    let app = batch.app(&key.app)?.ok_or(StoreError::UnknownApp)?;
    let inserted = batch
        .connection
        .prepare_cached(
            "INSERT INTO api_keys(app, id, name, digest, created_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![app.key, key.id, key.name, key.digest, key.created_at.cast_signed()])?;
    Ok(inserted == 1)
}

pub(super) fn revoke_api_key(batch: &mut Batch<'_>, app: &AppId, key: &str) -> Result<bool, Fault> {
    let Some(app) = batch.app(app)? else { return Ok(false) };
    let deleted = batch
        .connection
        .prepare_cached("DELETE FROM api_keys WHERE app = ?1 AND id = ?2")?
        .execute(params![app.key, key])?;
    Ok(deleted == 1)
}

pub(super) fn create_user(batch: &mut Batch<'_>, user: User) -> Result<Created, Fault> {
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

pub(super) fn edit_user(
    batch: &mut Batch<'_>,
    app: &AppId,
    id: &UserId,
    edit: UserEdit,
) -> Result<Option<Arc<User>>, Fault> {
    let Some(found) = batch.app(app)? else { return Ok(None) };
    let Some(user) = rows::user(batch.connection, app, id)? else { return Ok(None) };
    Ok(Some(Arc::new(edit_found(batch, found.key, user, edit)?.0)))
}

/// Creates or edits users, in order; what fails one of them alone is its own outcome.
pub(super) fn upsert_users(
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

/// Edits a user as it was found, of the app with that key.
fn edit_found(batch: &mut Batch<'_>, app: i64, user: User, edit: UserEdit) -> Result<(User, Edited), Fault> {
    let mut edited = user.clone();
    if run(edit, &mut edited)? == Edited::Keep {
        return Ok((user, Edited::Keep));
    }
    let edited = User { app: user.app, id: user.id, created_at: user.created_at, ..edited };
    rows::update_user(batch.connection, app, &edited)?;
    batch.effect(Effect::Changed(Change { app: edited.app.clone(), user: Some(edited.id.clone()) }));
    Ok((edited, Edited::Save))
}

pub(super) fn delete_user(batch: &mut Batch<'_>, app: AppId, id: UserId) -> Result<bool, Fault> {
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

pub(super) fn block(
    batch: &mut Batch<'_>,
    app: &AppId,
    user: &UserId,
    other: &UserId,
) -> Result<bool, Fault> {
    let Some(app) = batch.app(app)? else { return Ok(false) };
    let state = rows::block_state(batch.connection, app.key, user, other)?;
    if !state.both_exist || state.is_blocked {
        return Ok(state.both_exist);
    }
    if state.blocks >= MAX_BLOCKS {
        return Err(StoreError::BlockLimit.into());
    }
    rows::insert_block(batch.connection, app.key, user, other)?;
    Ok(true)
}

pub(super) fn unblock(
    batch: &mut Batch<'_>,
    app: &AppId,
    user: &UserId,
    other: &UserId,
) -> Result<bool, Fault> {
    let Some(app) = batch.app(app)? else { return Ok(false) };
    Ok(rows::delete_block(batch.connection, app.key, user, other)?)
}

pub(super) fn record_last_seen(batch: &mut Batch<'_>, seen: Vec<(AppId, UserId, u64)>) -> Result<(), Fault> {
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

pub(super) fn probe(batch: &Batch<'_>) -> Result<(), Fault> {
    batch
        .connection
        .prepare_cached(
            "INSERT INTO settings(name, value) VALUES ('probe', randomblob(8))
             ON CONFLICT(name) DO UPDATE SET value = excluded.value",
        )?
        .execute([])?;
    Ok(())
}

pub(super) fn setting_or_insert(batch: &Batch<'_>, name: &str, value: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let inserted = batch
        .connection
        .prepare_cached("INSERT INTO settings(name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![name, value])?;
    if inserted == 1 {
        return Ok(value);
    }
    Ok(rows::setting(batch.connection, name)?.unwrap_or(value))
}

/// Runs an edit; one that panics fails its caller, not the thread that writes for everybody.
fn run<T>(edit: Box<dyn FnOnce(&mut T) -> Edited + Send>, record: &mut T) -> Result<Edited, StoreError> {
    catch_unwind(AssertUnwindSafe(|| edit(record))).map_err(|_| StoreError::unavailable("the edit panicked"))
}
