//! Queries that select users, page by page.

use chatcamp_protocol::{AppId, limits};
use rusqlite::{Connection, Result, params};

use super::{
    columns::number,
    user_rows::{read_users, select_user},
};
use crate::{FoundUsers, UserQuery};

/// Selects the keys of users from the index of searches, which holds every column that is compared.
macro_rules! select_keys {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM users WHERE app = (SELECT key FROM apps WHERE id = ?1) \
             AND (?2 IS NULL OR id LIKE ?2 ESCAPE '\\' OR display_name LIKE ?2 ESCAPE '\\') \
             AND (?3 IS NULL OR check_access_token = ?3) AND (?4 IS NULL OR is_suspended = ?4) \
             AND (?5 IS NULL OR id IN (SELECT value FROM json_each(?5)))",
            $rest
        )
    };
}

/// Counts the users that a query selects.
pub(super) const COUNT: &str = select_keys!("COUNT(*)", "");
/// Reads the rows of the users of one page only.
pub(super) const PAGE: &str = concat!(
    select_user!("WHERE key IN ("),
    select_keys!("key", " ORDER BY id LIMIT ?6 OFFSET ?7"),
    ") ORDER BY id"
);

/// The longest text that can be inside an id or a display name, in bytes.
const LONGEST: usize =
    if limits::USER_ID > limits::DISPLAY_NAME { limits::USER_ID } else { limits::DISPLAY_NAME };

pub(super) fn find(
    connection: &Connection,
    app: &AppId,
    query: &UserQuery,
    skip: usize,
    limit: usize,
) -> Result<FoundUsers> {
    let UserQuery { text, check_access_token, is_suspended, ids } = query;
    // SQLite compares only up to a NUL, and limits the length of a pattern.
    if text.contains('\0') || text.len() > LONGEST {
        return Ok(FoundUsers::default());
    }
    let text = (!text.is_empty()).then(|| pattern(text));
    let ids = ids.as_ref().map(|ids| {
        let ids = ids.iter().map(|id| id.as_str().into());
        serde_json::Value::Array(ids.collect()).to_string()
    });
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let app_id = app.as_str();
    let total = connection
        .prepare_cached(COUNT)?
        .query_row(params![app_id, text, check_access_token, is_suspended, ids], |row| number(row, 0))?;
    let mut statement = connection.prepare_cached(PAGE)?;
    let rows = statement.query(params![app_id, text, check_access_token, is_suspended, ids, limit, skip])?;
    Ok(FoundUsers { users: read_users(rows, app)?, total })
}

/// Returns the pattern for `LIKE` that matches texts with `text` inside.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "%"
}
