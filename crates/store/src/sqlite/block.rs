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
    user_rows::{page, read_users, select_user},
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
        self.readers.read(|connection| blocked(connection, app, user, after, limit))
    }
}

fn block(batch: &mut Batch<'_>, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, Fault> {
    let Some(app) = batch.app(app)? else { return Ok(false) };
    let state = block_state(batch.connection, app.key, user, other)?;
    if !state.both_exist || state.is_blocked {
        return Ok(state.both_exist);
    }
    if state.blocks >= MAX_BLOCKS {
        return Err(StoreError::BlockLimit.into());
    }
    insert_block(batch.connection, app.key, user, other)?;
    Ok(true)
}

fn unblock(batch: &mut Batch<'_>, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, Fault> {
    let Some(app) = batch.app(app)? else { return Ok(false) };
    Ok(delete_block(batch.connection, app.key, user, other)?)
}

/// What decides whether one user may block another.
struct BlockState {
    both_exist: bool,
    is_blocked: bool,
    /// How many others the user blocks.
    blocks: u64,
}

fn block_state(connection: &Connection, app: i64, user: &UserId, other: &UserId) -> SqlResult<BlockState> {
    connection
        .prepare_cached(
            "SELECT EXISTS(SELECT 1 FROM users WHERE app = ?1 AND id = ?2) \
             AND EXISTS(SELECT 1 FROM users WHERE app = ?1 AND id = ?3), \
             EXISTS(SELECT 1 FROM blocks WHERE app = ?1 AND user = ?2 AND blocked = ?3), \
             (SELECT COUNT(*) FROM blocks WHERE app = ?1 AND user = ?2)",
        )?
        .query_row(params![app, user.as_str(), other.as_str()], |row| {
            Ok(BlockState { both_exist: row.get(0)?, is_blocked: row.get(1)?, blocks: number(row, 2)? })
        })
}

fn insert_block(connection: &Connection, app: i64, user: &UserId, other: &UserId) -> SqlResult<()> {
    connection
        .prepare_cached("INSERT INTO blocks(app, user, blocked) VALUES (?1, ?2, ?3)")?
        .execute(params![app, user.as_str(), other.as_str()])
        .map(drop)
}

/// Deletes a block; false when there is none.
fn delete_block(connection: &Connection, app: i64, user: &UserId, other: &UserId) -> SqlResult<bool> {
    let deleted = connection
        .prepare_cached("DELETE FROM blocks WHERE app = ?1 AND user = ?2 AND blocked = ?3")?
        .execute(params![app, user.as_str(), other.as_str()])?;
    Ok(deleted == 1)
}

fn blocked(
    connection: &Connection,
    app: &AppId,
    user: &UserId,
    after: Option<&UserId>,
    limit: usize,
) -> SqlResult<Vec<Arc<User>>> {
    let mut statement = connection.prepare_cached(select_user!(
        "WHERE app = (SELECT key FROM apps WHERE id = ?1) AND id IN (\
             SELECT blocked FROM blocks WHERE app = (SELECT key FROM apps WHERE id = ?1) \
             AND user = ?4 AND blocked > ?2 ORDER BY blocked LIMIT ?3) ORDER BY id"
    ))?;
    let (after, limit) = page(after, limit);
    read_users(statement.query(params![app.as_str(), after, limit, user.as_str()])?, app)
}
