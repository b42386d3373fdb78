//! Queries that select users, page by page.

use std::collections::HashSet;

use chatcamp_protocol::{AppId, UserId, limits};
use rusqlite::{Connection, Result, params};

use super::user_rows::user_by_key;
use crate::{FoundUsers, UserQuery};

/// Selects keys and ids of users. Reads the row of a user only to compare it with a text or a filter, after the index of ids. An index of
/// the compared columns would make a search six times as fast, and double the cost of adding a user.
pub(super) const SELECTED: &str = "SELECT key, id FROM users WHERE app = (SELECT key FROM apps WHERE id = ?1) \
    AND (?2 IS NULL OR id LIKE ?2 ESCAPE '\\' OR display_name LIKE ?2 ESCAPE '\\') \
    AND (?3 IS NULL OR check_access_token = ?3) AND (?4 IS NULL OR is_suspended = ?4) ORDER BY id";

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
    let ids: Option<HashSet<&str>> = ids.as_ref().map(|ids| ids.iter().map(UserId::as_str).collect());
    // A transaction, so that the users of the page exist when they are read. It only reads, so a rollback may end it.
    let _moment = connection.unchecked_transaction()?;
    let mut statement = connection.prepare_cached(SELECTED)?;
    let mut rows = statement.query(params![app.as_str(), text, check_access_token, is_suspended])?;
    let page = skip..skip.saturating_add(limit);
    let mut keys: Vec<i64> = Vec::new();
    let mut total = 0;
    while let Some(row) = rows.next()? {
        if let Some(ids) = &ids
            && !ids.contains(row.get_ref(1)?.as_str()?)
        {
            continue;
        }
        if page.contains(&total) {
            keys.push(row.get(0)?);
        }
        total += 1;
    }
    let users = keys.into_iter().map(|key| user_by_key(connection, app, key)).collect::<Result<_>>()?;
    Ok(FoundUsers { users, total: total as u64 })
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
