//! Blocks: calls, writes, rows.

use std::sync::Arc;

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};
use rusqlite::{Connection, Result as SqlResult, params};

use super::{
    Store,
    batch::Batch,
    columns::number,
    fault::Fault,
    user_rows::{page, read_users, select_user, user_key},
};
use crate::{BlockStore, MAX_BLOCKS, StoreError, User};

#[async_trait]
impl BlockStore for Store {
    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let (app, user, other) = (app.clone(), user.clone(), other.clone());
        self.submit(move |batch| block(batch, &app, &user, &other)).await
    }

    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let (app, user, other) = (app.clone(), user.clone(), other.clone());
        self.submit(move |batch| unblock(batch, &app, &user, &other)).await
    }

    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        let (app, user, after) = (app.clone(), user.clone(), after.cloned());
        self.readers
            .read_long(move |connection| blocked(connection, &app, &user, after.as_ref(), limit))
            .await
    }
}

fn block(batch: &mut Batch<'_>, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, Fault> {
    let Some((user, other)) = keys(batch, app, user, other)? else { return Ok(false) };
    let state = block_state(batch.connection, user, other)?;
    if state.is_blocked {
        return Ok(true);
    }
    if state.blocks >= MAX_BLOCKS {
        return Err(StoreError::BlockLimit.into());
    }
    insert_block(batch.connection, user, other)?;
    Ok(true)
}

fn unblock(batch: &mut Batch<'_>, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, Fault> {
    let Some((user, other)) = keys(batch, app, user, other)? else { return Ok(false) };
    Ok(delete_block(batch.connection, user, other)?)
}

/// Returns the keys of two users; `None` if either user or the app is missing.
fn keys(
    batch: &mut Batch<'_>,
    app: &AppId,
    user: &UserId,
    other: &UserId,
) -> Result<Option<(i64, i64)>, Fault> {
    let Some(app) = batch.app(app)? else { return Ok(None) };
    let Some(user) = user_key(batch.connection, app.key, user)? else { return Ok(None) };
    let other = user_key(batch.connection, app.key, other)?;
    Ok(other.map(|other| (user, other)))
}

/// The state that decides whether one user may block another.
struct BlockState {
    is_blocked: bool,
    /// The number of users that the user blocks.
    blocks: u64,
}

fn block_state(connection: &Connection, user: i64, other: i64) -> SqlResult<BlockState> {
    connection
        .prepare_cached(
            "SELECT EXISTS(SELECT 1 FROM blocks WHERE user = ?1 AND blocked = ?2), \
             (SELECT COUNT(*) FROM blocks WHERE user = ?1)",
        )?
        .query_row([user, other], |row| Ok(BlockState { is_blocked: row.get(0)?, blocks: number(row, 1)? }))
}

fn insert_block(connection: &Connection, user: i64, other: i64) -> SqlResult<()> {
    connection
        .prepare_cached("INSERT INTO blocks(user, blocked) VALUES (?1, ?2)")?
        .execute([user, other])
        .map(drop)
}

/// Deletes a block; returns `false` if it is missing.
fn delete_block(connection: &Connection, user: i64, other: i64) -> SqlResult<bool> {
    let deleted = connection
        .prepare_cached("DELETE FROM blocks WHERE user = ?1 AND blocked = ?2")?
        .execute([user, other])?;
    Ok(deleted == 1)
}

/// Sorts the ids of all users that a user blocks, at most [`MAX_BLOCKS`], and reads only the rows of the page.
pub(super) const BLOCKED: &str = select_user!(
    "WHERE key IN (\
         SELECT other.key FROM blocks JOIN users other ON other.key = blocks.blocked \
         WHERE blocks.user = (SELECT key FROM users WHERE app = (SELECT key FROM apps WHERE id = ?1) AND id = ?4) \
         AND other.id > ?2 ORDER BY other.id LIMIT ?3) ORDER BY id"
);

fn blocked(
    connection: &Connection,
    app: &AppId,
    user: &UserId,
    after: Option<&UserId>,
    limit: usize,
) -> SqlResult<Vec<Arc<User>>> {
    let mut statement = connection.prepare_cached(BLOCKED)?;
    let (after, limit) = page(after, limit);
    read_users(statement.query(params![app.as_str(), after, limit, user.as_str()])?, app)
}
