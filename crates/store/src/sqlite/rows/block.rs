//! Who blocks whom.

use std::sync::Arc;

use chatcamp_protocol::{AppId, UserId};
use rusqlite::{Connection, Result, params};

use super::{
    number,
    user::{page, read_users, select_user},
};
use crate::User;

/// What decides whether one user may block another.
pub(in crate::sqlite) struct BlockState {
    pub(in crate::sqlite) both_exist: bool,
    pub(in crate::sqlite) is_blocked: bool,
    /// How many others the user blocks.
    pub(in crate::sqlite) blocks: u64,
}

pub(in crate::sqlite) fn block_state(
    connection: &Connection,
    app: i64,
    user: &UserId,
    other: &UserId,
) -> Result<BlockState> {
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

pub(in crate::sqlite) fn insert_block(
    connection: &Connection,
    app: i64,
    user: &UserId,
    other: &UserId,
) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO blocks(app, user, blocked) VALUES (?1, ?2, ?3)")?
        .execute(params![app, user.as_str(), other.as_str()])
        .map(drop)
}

/// Deletes a block; false when there is none.
pub(in crate::sqlite) fn delete_block(
    connection: &Connection,
    app: i64,
    user: &UserId,
    other: &UserId,
) -> Result<bool> {
    let deleted = connection
        .prepare_cached("DELETE FROM blocks WHERE app = ?1 AND user = ?2 AND blocked = ?3")?
        .execute(params![app, user.as_str(), other.as_str()])?;
    Ok(deleted == 1)
}

pub(in crate::sqlite) fn blocked(
    connection: &Connection,
    app: &AppId,
    user: &UserId,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<Arc<User>>> {
    let mut statement = connection.prepare_cached(select_user!(
        "WHERE app = (SELECT key FROM apps WHERE id = ?1) AND id IN (\
             SELECT blocked FROM blocks WHERE app = (SELECT key FROM apps WHERE id = ?1) \
             AND user = ?4 AND blocked > ?2 ORDER BY blocked LIMIT ?3) ORDER BY id"
    ))?;
    let (after, limit) = page(after, limit);
    read_users(statement.query(params![app.as_str(), after, limit, user.as_str()])?, app)
}
