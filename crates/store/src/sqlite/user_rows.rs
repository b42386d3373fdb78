//! Rows of users: how they are read and written.

use std::sync::Arc;

use chatcamp_protocol::{AppId, Profile, UserId, user::ProfileText};
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, Rows, params, types::Type};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::columns::{malformed, number};
use crate::{Previous, TokenRecord, User};

const NO_TOKEN: i64 = 0;
const DERIVED: i64 = 1;
const CUSTOM: i64 = 2;

/// The columns of a user, in the order in which [`read_user`] reads them.
macro_rules! select_user {
    ($rest:literal) => {
        concat!(
            "SELECT display_name, profile, created_at, last_seen, is_suspended, check_access_token, auto_created, \
             stamp, token, expires_at, digest, previous_stamp, previous_token, previous_expires_at, \
             previous_digest, grace_until, id, rev FROM users ",
            $rest
        )
    };
}

pub(super) use select_user;

pub(super) fn user(connection: &Connection, app: &AppId, id: &UserId) -> Result<Option<User>> {
    connection
        .prepare_cached(select_user!("WHERE app = (SELECT key FROM apps WHERE id = ?1) AND id = ?2"))?
        .query_row([app.as_str(), id.as_str()], |row| read_user(row, app.clone(), id.clone()))
        .optional()
}

/// Returns the key of a user of the app with this key.
pub(super) fn user_key(connection: &Connection, app: i64, id: &UserId) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT key FROM users WHERE app = ?1 AND id = ?2")?
        .query_row(params![app, id.as_str()], |row| row.get(0))
        .optional()
}

pub(super) fn user_by_key(connection: &Connection, app: &AppId, key: i64) -> Result<Arc<User>> {
    connection
        .prepare_cached(select_user!("WHERE key = ?1"))?
        .query_row([key], |row| read_listed(row, app))
        .map(Arc::new)
}

pub(super) fn users(
    connection: &Connection,
    app: &AppId,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<Arc<User>>> {
    let mut statement = connection.prepare_cached(select_user!(
        "WHERE app = (SELECT key FROM apps WHERE id = ?1) AND id > ?2 ORDER BY id LIMIT ?3"
    ))?;
    let (after, limit) = page(after, limit);
    read_users(statement.query(params![app.as_str(), after, limit])?, app)
}

/// Uses the index of names and its order, which it would not with the collation on the other side.
pub(super) const USERS_BY_NAME: &str = select_user!(
    "WHERE app = (SELECT key FROM apps WHERE id = ?1) AND display_name <> '' \
     AND (display_name, id) > (?2 COLLATE NOCASE, ?3) ORDER BY display_name COLLATE NOCASE, id LIMIT ?4"
);

pub(super) fn users_by_name(
    connection: &Connection,
    app: &AppId,
    prefix: &str,
    after: Option<(&str, &UserId)>,
    limit: usize,
) -> Result<Vec<Arc<User>>> {
    // SQLite compares names only up to a NUL.
    if prefix.contains('\0') {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(USERS_BY_NAME)?;
    let (_, limit) = page(None, limit);
    let (name, id) = after.map_or((prefix, ""), |(name, id)| (name, id.as_str()));
    let mut rows = statement.query(params![app.as_str(), name, id, limit])?;
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str()?.as_bytes();
        // Names with the same beginning are adjacent.
        if !name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes())) {
            break;
        }
        users.push(Arc::new(read_listed(row, app)?));
    }
    Ok(users)
}

/// Returns the parameters of a page: the id after which it begins, and its length.
pub(super) fn page(after: Option<&UserId>, limit: usize) -> (&str, i64) {
    // No id is empty, so every id is after the empty text.
    (after.map_or("", UserId::as_str), i64::try_from(limit).unwrap_or(i64::MAX))
}

pub(super) fn user_count(connection: &Connection, app: &AppId) -> Result<u64> {
    let count = connection
        .prepare_cached("SELECT users FROM apps WHERE id = ?1")?
        .query_row([app.as_str()], |row| number(row, 0))
        .optional()?;
    Ok(count.unwrap_or(0))
}

/// Uses the index of suspended users.
pub(super) const ACTIVE_USER_COUNT: &str = "SELECT users - (SELECT COUNT(*) FROM users WHERE users.app = apps.key AND is_suspended = 1) \
     FROM apps WHERE id = ?1";

pub(super) fn active_user_count(connection: &Connection, app: &AppId) -> Result<u64> {
    let count = connection
        .prepare_cached(ACTIVE_USER_COUNT)?
        .query_row([app.as_str()], |row| number(row, 0))
        .optional()?;
    Ok(count.unwrap_or(0))
}

/// Inserts a user of the app with this key; returns `false` if the id is taken.
pub(super) fn insert_user(connection: &Connection, app: i64, user: &User) -> Result<bool> {
    let sql = "INSERT INTO users(app, id, display_name, profile, created_at, last_seen, is_suspended, \
        check_access_token, auto_created, stamp, token, expires_at, digest, previous_stamp, previous_token, \
        previous_expires_at, previous_digest, grace_until, rev) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) ON CONFLICT DO NOTHING";
    Ok(write_user(connection, sql, app, user)? == 1)
}

/// Updates a user of the app with this key.
pub(super) fn update_user(connection: &Connection, app: i64, user: &User) -> Result<()> {
    // Not REPLACE, which deletes the row first and, by cascade, the rows that refer to it.
    let sql = "UPDATE users SET display_name = ?3, profile = ?4, created_at = ?5, last_seen = ?6, \
        is_suspended = ?7, check_access_token = ?8, auto_created = ?9, stamp = ?10, token = ?11, \
        expires_at = ?12, digest = ?13, previous_stamp = ?14, previous_token = ?15, previous_expires_at = ?16, \
        previous_digest = ?17, grace_until = ?18, rev = ?19 WHERE app = ?1 AND id = ?2";
    write_user(connection, sql, app, user).map(drop)
}

fn write_user(connection: &Connection, sql: &str, app: i64, user: &User) -> Result<usize> {
    let stored = Stored(&user.profile);
    let profile = (!stored.is_empty())
        .then(|| serde_json::to_string(&stored))
        .transpose()
        .map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
    let token = token_columns(&user.token);
    let previous = user.previous.as_deref();
    let previous_token = previous.map(|previous| token_columns(&previous.token));
    connection.prepare_cached(sql)?.execute(params![
        app,
        user.id.as_str(),
        user.profile.display_name,
        profile,
        user.created_at.cast_signed(),
        user.last_seen.cast_signed(),
        user.is_suspended,
        user.check_access_token,
        user.auto_created,
        user.stamp,
        token.kind,
        token.expires_at,
        token.digest,
        previous.map(|previous| previous.stamp),
        previous_token.map(|token| token.kind),
        previous_token.and_then(|token| token.expires_at),
        previous_token.and_then(|token| token.digest),
        previous.map(|previous| previous.grace_until.cast_signed()),
        user.rev.cast_signed(),
    ])
}

#[derive(Clone, Copy)]
struct TokenColumns<'a> {
    kind: i64,
    expires_at: Option<i64>,
    digest: Option<&'a [u8; 32]>,
}

fn token_columns(token: &TokenRecord) -> TokenColumns<'_> {
    match token {
        TokenRecord::None => TokenColumns { kind: NO_TOKEN, expires_at: None, digest: None },
        TokenRecord::Derived { expires_at } => {
            TokenColumns { kind: DERIVED, expires_at: expires_at.map(u64::cast_signed), digest: None }
        }
        TokenRecord::Custom { digest } => {
            TokenColumns { kind: CUSTOM, expires_at: None, digest: Some(digest) }
        }
    }
}

fn read_user(row: &Row<'_>, app: AppId, id: UserId) -> Result<User> {
    let profile = match row.get_ref(1)?.as_str_or_null()? {
        Some(json) => serde_json::from_str(json).map_err(|error| malformed(1, Type::Text, error))?,
        None => Profile::default(),
    };
    Ok(User {
        app,
        id,
        profile: Profile { display_name: row.get(0)?, ..profile },
        created_at: number(row, 2)?,
        last_seen: number(row, 3)?,
        is_suspended: row.get(4)?,
        check_access_token: row.get(5)?,
        auto_created: row.get(6)?,
        stamp: row.get(7)?,
        token: read_token(row, 8)?,
        previous: match row.get(11)? {
            Some(stamp) => {
                Some(Box::new(Previous { stamp, token: read_token(row, 12)?, grace_until: number(row, 15)? }))
            }
            None => None,
        },
        rev: number(row, 17)?,
    })
}

/// Reads all users of a query whose app is known.
pub(super) fn read_users(mut rows: Rows<'_>, app: &AppId) -> Result<Vec<Arc<User>>> {
    let mut users = Vec::new();
    while let Some(row) = rows.next()? {
        users.push(Arc::new(read_listed(row, app)?));
    }
    Ok(users)
}

fn read_listed(row: &Row<'_>, app: &AppId) -> Result<User> {
    let id = UserId::new(row.get_ref(16)?.as_str()?).map_err(|error| malformed(16, Type::Text, error))?;
    read_user(row, app.clone(), id)
}

/// Reads kind, expiry and digest, beginning at the column `at`.
fn read_token(row: &Row<'_>, at: usize) -> Result<TokenRecord> {
    match row.get(at)? {
        NO_TOKEN => Ok(TokenRecord::None),
        DERIVED => Ok(TokenRecord::Derived {
            expires_at: row.get::<_, Option<i64>>(at + 1)?.map(i64::cast_unsigned),
        }),
        CUSTOM => Ok(TokenRecord::Custom { digest: row.get(at + 2)? }),
        unknown => Err(Error::IntegralValueOutOfRange(at, unknown)),
    }
}

/// A profile as stored in its column: without the display name, which has a column of its own, and without empty fields.
struct Stored<'a>(&'a Profile);

impl Stored<'_> {
    fn texts(&self) -> impl Iterator<Item = ProfileText<'_>> {
        self.0.texts().into_iter().filter(|text| text.field != "display_name" && !text.text.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.0.metadata.is_empty() && self.texts().next().is_none()
    }
}

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for ProfileText { field, text, .. } in self.texts() {
            map.serialize_entry(field, text)?;
        }
        if !self.0.metadata.is_empty() {
            map.serialize_entry("metadata", &self.0.metadata)?;
        }
        map.end()
    }
}
