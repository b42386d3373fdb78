//! API keys: calls, writes, rows.

use async_trait::async_trait;
use chatcamp_protocol::AppId;
use rusqlite::{Connection, OptionalExtension, Result as SqlResult, Row, params};

use super::{
    Store,
    batch::Batch,
    columns::{app_id, number},
    fault::Fault,
};
use crate::{ApiKey, ApiKeyStore, StoreError, nul};

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

#[async_trait]
impl ApiKeyStore for Store {
    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError> {
        self.submit(move |batch| create_api_key(batch, &key)).await
    }

    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError> {
        let app = app.clone();
        self.readers.read_long(move |connection| api_keys(connection, &app)).await
    }

    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError> {
        let (app, key) = (app.clone(), key.to_owned());
        self.submit(move |batch| revoke_api_key(batch, &app, &key)).await
    }

    async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        let digest = *digest;
        self.readers.read_short(move |connection| api_key_by_digest(connection, &digest)).await
    }
}

fn create_api_key(batch: &mut Batch<'_>, key: &ApiKey) -> Result<bool, Fault> {
    nul::check_api_key(key)?;
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

fn revoke_api_key(batch: &mut Batch<'_>, app: &AppId, key: &str) -> Result<bool, Fault> {
    let Some(app) = batch.app(app)? else { return Ok(false) };
    let deleted = batch
        .connection
        .prepare_cached("DELETE FROM api_keys WHERE app = ?1 AND id = ?2")?
        .execute(params![app.key, key])?;
    Ok(deleted == 1)
}

fn api_keys(connection: &Connection, app: &AppId) -> SqlResult<Vec<ApiKey>> {
    let mut statement =
        connection.prepare_cached(select_api_key!("WHERE apps.id = ?1 ORDER BY api_keys.key"))?;
    statement.query_map([app.as_str()], read_api_key)?.collect()
}

fn api_key_by_digest(connection: &Connection, digest: &[u8; 32]) -> SqlResult<Option<ApiKey>> {
    connection
        .prepare_cached(select_api_key!("WHERE api_keys.digest = ?1"))?
        .query_row([digest], read_api_key)
        .optional()
}

fn read_api_key(row: &Row<'_>) -> SqlResult<ApiKey> {
    Ok(ApiKey {
        app: app_id(row, 0)?,
        id: row.get(1)?,
        name: row.get(2)?,
        digest: row.get(3)?,
        created_at: number(row, 4)?,
    })
}
