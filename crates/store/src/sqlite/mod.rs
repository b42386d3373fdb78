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
mod watch;
mod write;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};

use self::{
    batch::Batch,
    cache::{UserKey, UserKeyRef},
    fault::Fault,
    follow::Follower,
    reader::Readers,
    shared::Shared,
    watch::{Required, Watch},
    writer::Writer,
};
pub use self::{
    fault::FileFault,
    snapshot::{Snapshot, settle},
};
use crate::{ApiKey, App, AppEdit, ChangeListener, Created, StoreError, Upsert, Upserted, User, UserEdit};

/// How many users' times one transaction raises at most, so that other writes get their turn.
const LAST_SEEN_CHUNK: usize = 512;

/// Keeps everything in one SQLite file.
///
/// [`close`](Self::close) it at the end: dropping it does the same, but can only log what fails.
pub struct Store {
    shared: Arc<Shared>,
    readers: Readers,
    /// `None` in a store that was opened only to be read.
    writing: Option<Writing>,
}

/// The two threads of a store that may be written to.
struct Writing {
    writer: Writer,
    follower: Follower,
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
        Self::open_with(path.as_ref(), false)
    }

    /// Opens the file at `path`, which has to be there and hold the data of a store.
    ///
    /// Blocks as [`open`](Self::open) does.
    ///
    /// # Errors
    /// As [`open`](Self::open), with [`FileFault::Missing`] or [`FileFault::NoData`] as the source; the file and what is beside
    /// it were not touched then.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), true)
    }

    /// Opens the file at `path` as [`open_existing`](Self::open_existing) does, only to read it, on a full disk too.
    ///
    /// Every write fails, and changes by others are not followed. A file of an older schema is brought up to date first, which
    /// needs room.
    ///
    /// # Errors
    /// As [`open_existing`](Self::open_existing).
    pub fn open_to_read(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        schema::refuse_empty(path)?;
        let connection = schema::open_reader_on_full_disk(path)?;
        if schema::refuse_newer(&connection)? == 0 {
            return Err(StoreError::corrupt(FileFault::no_data(path)));
        }
        if !schema::is_newest(&connection)? {
            drop(connection);
            return Self::open_existing(path);
        }
        let readers = Readers::new(path).with(connection);
        Ok(Self { shared: Arc::new(Shared::new()), readers, writing: None })
    }

    fn open_with(path: &Path, must_exist: bool) -> Result<Self, StoreError> {
        let connection = schema::open(path, must_exist)?;
        let instance =
            connection.query_row("SELECT random()", [], |row| row.get(0)).map_err(fault::store_error)?;
        let shared = Arc::new(Shared::new());
        let follower = Follower::spawn(path, instance, shared.clone())?;
        let watch = Watch::begin(path)?;
        let writer = Writer::spawn(connection, watch, instance, shared.clone())?;
        let writing = Some(Writing { writer, follower });
        Ok(Self { shared, readers: Readers::new(path), writing })
    }

    /// Lets writes fail while the file at `path` is missing, or with `is_same` if another file has taken its place.
    ///
    /// The same holds for the database itself and its log, from the beginning.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it is missing now.
    pub fn require(&self, path: impl Into<PathBuf>, is_same: bool) -> Result<(), StoreError> {
        self.shared.required.lock().push(Required::new(path.into(), is_same)?);
        Ok(())
    }

    /// Commits what is queued and leaves one whole file, unless other processes have it open; later calls fail.
    ///
    /// Waits for reads and writes in progress and blocks for the disk. Closing again does nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log could not be written back into the file: nothing is lost as long as both stay
    /// together.
    pub fn close(&self) -> Result<(), StoreError> {
        if let Some(writing) = &self.writing {
            writing.follower.close();
        }
        self.readers.close();
        // Last, so that it is the writer that writes the log back and reports what fails.
        self.writing.as_ref().map_or(Ok(()), |writing| writing.writer.close())
    }

    async fn submit<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> Result<T, Fault> + Send + 'static,
    {
        match &self.writing {
            Some(writing) => writing.writer.submit(work).await,
            None => Err(StoreError::unavailable("the store was opened only to be read")),
        }
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
        self.submit(move |batch| write::create_app(batch, &app)).await
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
        self.submit(move |batch| write::edit_app(batch, &id, edit)).await
    }

    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError> {
        self.submit(move |batch| write::create_api_key(batch, &key)).await
    }

    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError> {
        self.readers.read(|connection| rows::api_keys(connection, app))
    }

    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError> {
        let (app, key) = (app.clone(), key.to_owned());
        self.submit(move |batch| write::revoke_api_key(batch, &app, &key)).await
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
        let created = self.submit(move |batch| write::create_user(batch, user)).await?;
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
        self.submit(move |batch| write::edit_user(batch, &app, &id, edit)).await
    }

    async fn upsert_users(
        &self,
        upserts: Vec<Upsert>,
    ) -> Result<Vec<Result<Upserted, StoreError>>, StoreError> {
        self.submit(move |batch| write::upsert_users(batch, upserts)).await
    }

    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError> {
        let (app, id) = (app.clone(), id.clone());
        self.submit(move |batch| write::delete_user(batch, app, id)).await
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
        self.submit(move |batch| write::block(batch, &app, &user, &other)).await
    }

    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let (app, user, other) = (app.clone(), user.clone(), other.clone());
        self.submit(move |batch| write::unblock(batch, &app, &user, &other)).await
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
            self.submit(move |batch| write::record_last_seen(batch, chunk)).await?;
        }
        Ok(())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.submit(|batch| write::probe(batch)).await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read(|connection| rows::setting(connection, name))
    }

    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (name, value) = (name.to_owned(), value.to_vec());
        self.submit(move |batch| write::setting_or_insert(batch, &name, value)).await
    }

    fn on_change(&self, listener: ChangeListener) {
        self.shared.listeners.add(listener);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            let error = std::error::Error::source(&error).unwrap_or(&error);
            tracing::error!(%error, "the log could not be written back into the database; keep both files together");
        }
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
