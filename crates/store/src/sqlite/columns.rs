//! Columns that several tables share.

use chatcamp_protocol::AppId;
use rusqlite::{Error, Result, Row, types::Type};

pub(super) fn app_id(row: &Row<'_>, at: usize) -> Result<AppId> {
    AppId::new(row.get_ref(at)?.as_str()?).map_err(|error| malformed(at, Type::Text, error))
}

/// Returns a number that was stored bit for bit as SQLite's signed type.
pub(super) fn number(row: &Row<'_>, at: usize) -> Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

pub(super) fn malformed(
    at: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::FromSqlConversionFailure(at, kind, Box::new(error))
}
