//! Rows and records: what the tables hold, read and bound.

mod block;
mod user;

use std::sync::Arc;

use chatcamp_protocol::AppId;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, params, types::Type};

#[cfg(test)]
pub(super) use self::user::{ACTIVE_USER_COUNT, USERS_BY_NAME};
pub(super) use self::{
    block::{block_state, blocked, delete_block, insert_block},
    user::{active_user_count, insert_user, update_user, user, users, users_by_name},
};
use crate::{ApiKey, App, AuthPolicy, SessionPolicy, rounding::rounded};

/// The columns of an app, in the order in which [`read_app`] reads them.
macro_rules! select_app {
    ($rest:literal) => {
        concat!("SELECT id, name, auth, directory, max_users, sessions, created_at FROM apps ", $rest)
    };
}

/// The columns of an API key, in the order in which [`read_api_key`] reads them.
macro_rules! select_api_key {
    ($rest:literal) => {
        concat!(
            "SELECT apps.id, api_keys.id, api_keys.name, api_keys.digest, api_keys.created_at \
             FROM api_keys JOIN apps ON apps.key = api_keys.app ",
            $rest
        )
    };
}

pub(super) fn app(connection: &Connection, id: &AppId) -> Result<Option<App>> {
    let exact = app_exactly(connection, id)?;
    if exact.is_some() {
        return Ok(exact);
    }
    connection
        .prepare_cached(select_app!("WHERE rounded = ?1 ORDER BY key LIMIT 1"))?
        .query_row([id.as_str()], read_app)
        .optional()
}

pub(super) fn app_exactly(connection: &Connection, id: &AppId) -> Result<Option<App>> {
    connection.prepare_cached(select_app!("WHERE id = ?1"))?.query_row([id.as_str()], read_app).optional()
}

pub(super) fn apps(connection: &Connection) -> Result<Vec<Arc<App>>> {
    let mut statement = connection.prepare_cached(select_app!("ORDER BY key"))?;
    statement.query_map([], |row| read_app(row).map(Arc::new))?.collect()
}

pub(super) fn user_count(connection: &Connection, app: &AppId) -> Result<u64> {
    let count = connection
        .prepare_cached("SELECT users FROM apps WHERE id = ?1")?
        .query_row([app.as_str()], |row| number(row, 0))
        .optional()?;
    Ok(count.unwrap_or(0))
}

pub(super) fn api_keys(connection: &Connection, app: &AppId) -> Result<Vec<ApiKey>> {
    let mut statement =
        connection.prepare_cached(select_api_key!("WHERE apps.id = ?1 ORDER BY api_keys.key"))?;
    statement.query_map([app.as_str()], read_api_key)?.collect()
}

pub(super) fn api_key_by_digest(connection: &Connection, digest: &[u8; 32]) -> Result<Option<ApiKey>> {
    connection
        .prepare_cached(select_api_key!("WHERE api_keys.digest = ?1"))?
        .query_row([digest], read_api_key)
        .optional()
}

pub(super) fn setting(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM settings WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Writes an app that is not there yet; false when its id is taken.
pub(super) fn insert_app(connection: &Connection, app: &App) -> Result<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO apps(id, rounded, name, auth, directory, max_users, sessions, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            app.id.as_str(),
            rounded(&app.id).as_ref().map(AppId::as_str),
            app.name,
            app.auth == AuthPolicy::Token,
            app.directory,
            app.max_users.cast_signed(),
            app.sessions.to_string(),
            app.created_at.cast_signed(),
        ])?;
    Ok(inserted == 1)
}

/// Writes what of an app may change.
pub(super) fn update_app(connection: &Connection, app: &App) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE apps SET name = ?2, auth = ?3, directory = ?4, max_users = ?5, sessions = ?6 WHERE id = ?1",
        )?
        .execute(params![
            app.id.as_str(),
            app.name,
            app.auth == AuthPolicy::Token,
            app.directory,
            app.max_users.cast_signed(),
            app.sessions.to_string(),
        ])?;
    Ok(())
}

fn read_app(row: &Row<'_>) -> Result<App> {
    Ok(App {
        id: app_id(row, 0)?,
        name: row.get(1)?,
        auth: if row.get(2)? { AuthPolicy::Token } else { AuthPolicy::Open },
        directory: row.get(3)?,
        max_users: number(row, 4)?,
        sessions: session_policy(row, 5)?,
        created_at: number(row, 6)?,
    })
}

fn session_policy(row: &Row<'_>, column: usize) -> Result<SessionPolicy> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

fn read_api_key(row: &Row<'_>) -> Result<ApiKey> {
    Ok(ApiKey {
        app: app_id(row, 0)?,
        id: row.get(1)?,
        name: row.get(2)?,
        digest: row.get(3)?,
        created_at: number(row, 4)?,
    })
}

fn app_id(row: &Row<'_>, at: usize) -> Result<AppId> {
    AppId::new(row.get_ref(at)?.as_str()?).map_err(|error| malformed(at, Type::Text, error))
}

/// Figures are kept bit for bit; SQLite's are signed.
fn number(row: &Row<'_>, at: usize) -> Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

fn malformed(at: usize, kind: Type, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(at, kind, Box::new(error))
}
