//! Settings: calls, writes, rows.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Result as SqlResult, params};

use super::{Store, batch::Batch, fault::Fault};
use crate::{SettingStore, StoreError, nul};

#[async_trait]
impl SettingStore for Store {
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.to_owned();
        self.readers.read_short(move |connection| setting(connection, &name)).await
    }

    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (name, value) = (name.to_owned(), value.to_vec());
        self.submit(move |batch| setting_or_insert(batch, &name, value)).await
    }
}

fn setting_or_insert(batch: &Batch<'_>, name: &str, value: Vec<u8>) -> Result<Vec<u8>, Fault> {
    nul::check_setting(name)?;
    let inserted = batch
        .connection
        .prepare_cached("INSERT INTO settings(name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![name, value])?;
    if inserted == 1 {
        return Ok(value);
    }
    Ok(setting(batch.connection, name)?.unwrap_or(value))
}

pub(super) fn setting(connection: &Connection, name: &str) -> SqlResult<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM settings WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}
