//! A store in one SQLite file, durable before anything is acknowledged.
//!
//! ```text
//!  read   cache ──hit──────────────────────────> caller
//!           └─miss── connection from the pool ──> caller             in the caller's thread, no hop
//!  write  bounded queue ──> writer thread: BEGIN · everything queued · COMMIT
//!                             └─> drop from cache ─> listeners ─> callers
//!  other processes' writes    follower thread: data_version ─> changes ─> drop from cache ─> listeners
//! ```
//!
//! Write-ahead log, `synchronous=FULL`. One process should serve from a file; others may write beside it.

mod batch;
mod cache;
mod fault;
mod follow;
mod reader;
mod rows;
mod schema;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::{fmt, path::Path, sync::Arc};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};

pub use self::snapshot::{Snapshot, settle};
use self::{
    cache::{UserKey, UserKeyRef},
    follow::Follower,
    reader::Readers,
    shared::Shared,
    writer::Writer,
};
use crate::{ApiKey, App, AppEdit, ChangeListener, Created, StoreError, Upsert, Upserted, User, UserEdit};

/// How many users' times one transaction raises at most, so that other writes get their turn.
const LAST_SEEN_CHUNK: usize = 512;

/// Keeps everything in one SQLite file.
///
/// Dropping it commits what is queued and waits for its two threads to end.
pub struct Store {
    shared: Arc<Shared>,
    readers: Readers,
    writer: Writer,
    _follower: Follower,
}

impl Store {
    /// Opens the file at `path`, created readable by its owner alone if it is not there.
    ///
    /// Blocks for the disk, up to 5 s while another process writes.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] when a newer release has written the file, which then is left alone,
    /// [`StoreError::Corrupt`] when it is no database, [`StoreError::Unavailable`] when it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let connection = schema::open(path)?;
        let instance =
            connection.query_row("SELECT random()", [], |row| row.get(0)).map_err(fault::store_error)?;
        let shared = Arc::new(Shared::new());
        let follower = Follower::spawn(path, instance, shared.clone())?;
        let writer = Writer::spawn(connection, instance, shared.clone())?;
        Ok(Self { shared, readers: Readers::new(path), writer, _follower: follower })
    }

    /// How many transactions were committed since it was opened; one may hold many writes.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits()
    }
}

#[async_trait]
impl crate::Store for Store {
    async fn create_app(&self, app: App) -> Result<bool, StoreError> {
        self.writer.submit(move |batch| write::create_app(batch, &app)).await
    }

    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError> {
        if let Some(app) = self.shared.apps.get(id) {
            return Ok(Some(app));
        }
        let ticket = self.shared.apps.ticket(id);
        let Some(app) = self.readers.read(|connection| rows::app(connection, id))? else { return Ok(None) };
        let app = Arc::new(app);
        self.shared.apps.insert(ticket, id.clone(), app.clone());
        Ok(Some(app))
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        self.readers.read(rows::apps)
    }

    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError> {
        let id = id.clone();
        self.writer.submit(move |batch| write::edit_app(batch, &id, edit)).await
    }

    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError> {
        self.writer.submit(move |batch| write::create_api_key(batch, &key)).await
    }

    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError> {
        self.readers.read(|connection| rows::api_keys(connection, app))
    }

    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError> {
        let (app, key) = (app.clone(), key.to_owned());
        self.writer.submit(move |batch| write::revoke_api_key(batch, &app, &key)).await
    }

    async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        self.readers.read(|connection| rows::api_key_by_digest(connection, digest))
    }

    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError> {
        let key = UserKeyRef { app, id };
        if let Some(user) = self.shared.users.get(&key) {
            return Ok(Some(user));
        }
        let ticket = self.shared.users.ticket(&key);
        let Some(user) = self.readers.read(|connection| rows::user(connection, app, id))? else {
            return Ok(None);
        };
        let user = Arc::new(user);
        self.shared.users.insert(ticket, UserKey::of(&user), user.clone());
        Ok(Some(user))
    }

    async fn create_user(&self, user: User) -> Result<Created, StoreError> {
        let ticket = self.shared.users.ticket(&UserKeyRef { app: &user.app, id: &user.id });
        let created = self.writer.submit(move |batch| write::create_user(batch, user)).await?;
        self.shared.users.insert(ticket, UserKey::of(created.user()), created.user().clone());
        Ok(created)
    }

    async fn edit_user(
        &self,
        app: &AppId,
        id: &UserId,
        edit: UserEdit,
    ) -> Result<Option<Arc<User>>, StoreError> {
        let (app, id) = (app.clone(), id.clone());
        self.writer.submit(move |batch| write::edit_user(batch, &app, &id, edit)).await
    }

    async fn upsert_users(
        &self,
        upserts: Vec<Upsert>,
    ) -> Result<Vec<Result<Upserted, StoreError>>, StoreError> {
        self.writer.submit(move |batch| write::upsert_users(batch, upserts)).await
    }

    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError> {
        let (app, id) = (app.clone(), id.clone());
        self.writer.submit(move |batch| write::delete_user(batch, app, id)).await
    }

    async fn users<'a>(
        &self,
        app: &AppId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.readers.read(|connection| rows::users(connection, app, after, limit))
    }

    async fn users_by_name<'a>(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<(&'a str, &'a UserId)>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.readers.read(|connection| rows::users_by_name(connection, app, prefix, after, limit))
    }

    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        self.readers.read(|connection| rows::user_count(connection, app))
    }

    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError> {
        self.readers.read(|connection| rows::active_user_count(connection, app))
    }

    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let (app, user, other) = (app.clone(), user.clone(), other.clone());
        self.writer.submit(move |batch| write::block(batch, &app, &user, &other)).await
    }

    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let (app, user, other) = (app.clone(), user.clone(), other.clone());
        self.writer.submit(move |batch| write::unblock(batch, &app, &user, &other)).await
    }

    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError> {
        self.readers.read(|connection| rows::blocked(connection, app, user, after, limit))
    }

    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError> {
        for chunk in seen.chunks(LAST_SEEN_CHUNK) {
            let chunk = chunk.to_vec();
            self.writer.submit(move |batch| write::record_last_seen(batch, chunk)).await?;
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.writer.submit(|batch| write::probe(batch)).await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read(|connection| rows::setting(connection, name))
    }

    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (name, value) = (name.to_owned(), value.to_vec());
        self.writer.submit(move |batch| write::setting_or_insert(batch, &name, value)).await
    }

    fn on_change(&self, listener: ChangeListener) {
        self.shared.listeners.add(listener);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("commits", &self.commits())
            .field("listeners", &self.shared.listeners)
            .finish_non_exhaustive()
    }
}
