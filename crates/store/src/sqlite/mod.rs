//! A store in one SQLite file. A write is durable before it is acknowledged.
//!
//! ```text
//!  read   cache ──hit──────────────────────────> caller
//!           └─miss── connection from the pool ──> caller             in the caller's thread while the disk is fast
//!  list   bounded queue ──> reader threads: connection from the pool ──> caller
//!  write  bounded queue ──> writer thread: BEGIN · everything queued · COMMIT
//!                             └─> drop from cache ─> listeners ─> callers
//!  other processes' writes    follower thread: data_version ─> changes ─> drop from cache ─> listeners
//! ```
//!
//! The file has a write-ahead log and `synchronous=FULL`. One process should serve from it; others may write beside it.

mod api_key;
mod app;
mod batch;
mod block;
mod cache;
mod columns;
mod fault;
mod follow;
mod reader;
mod schema;
mod setting;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod user;
mod user_query;
mod user_rows;
mod watch;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use self::{
    batch::Batch,
    fault::Fault,
    follow::Follower,
    reader::Readers,
    schema::Opening,
    shared::Shared,
    watch::{Required, Watch},
    writer::Writer,
};
pub use self::{
    fault::FileFault,
    snapshot::{Snapshot, settle},
};
use crate::{ChangeListener, StoreError};

/// Stores everything in one SQLite file.
///
/// [`close`](Self::close) it at the end: dropping it does the same, but can only log a failure.
pub struct Store {
    shared: Arc<Shared>,
    readers: Readers,
    /// `None` in a store that was opened for reading.
    writing: Option<Writing>,
}

/// The two threads of a store that can be written to.
struct Writing {
    writer: Writer,
    follower: Follower,
}

impl Store {
    /// Opens the file at `path`; creates it, readable only by its owner, if it is missing. Migrates an older schema.
    ///
    /// Blocks for the disk, up to 5 s while another process writes.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] if only newer releases can use the file, which is not touched then,
    /// [`StoreError::Corrupt`] if it is not a database, [`StoreError::Unavailable`] if it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), Opening::Create)
    }

    /// Opens the file at `path`, which must exist and hold the data of a store. Migrates an older schema.
    ///
    /// Blocks as [`open`](Self::open) does.
    ///
    /// # Errors
    /// As [`open`](Self::open), and with [`FileFault::Missing`] or [`FileFault::NoData`] as the source; then neither the file
    /// nor its `-wal` and `-shm` files were touched.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), Opening::Migrate)
    }

    /// Opens the file at `path` as [`open_existing`](Self::open_existing) does, but never migrates it.
    ///
    /// For a process that shares the file with others: an older release that has it open cannot use it after a migration.
    ///
    /// # Errors
    /// As [`open_existing`](Self::open_existing), and [`StoreError::SchemaTooOld`] if the file has to be migrated.
    pub fn open_migrated(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), Opening::Migrated)
    }

    /// Opens the file at `path` for reading, which also works on a full disk. Never migrates it.
    ///
    /// Every write fails, and changes by other processes are not followed.
    ///
    /// # Errors
    /// As [`open_migrated`](Self::open_migrated).
    pub fn open_to_read(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        schema::refuse_empty(path)?;
        let connection = schema::open_reader_on_full_disk(path)?;
        let found = schema::usable(&connection)?;
        if found == 0 {
            return Err(StoreError::corrupt(FileFault::no_data(path)));
        }
        schema::refuse_older(found)?;
        let readers = Readers::spawn_with(path, connection)?;
        Ok(Self { shared: Arc::new(Shared::new()), readers, writing: None })
    }

    fn open_with(path: &Path, opening: Opening) -> Result<Self, StoreError> {
        let connection = schema::open(path, opening)?;
        let instance =
            connection.query_row("SELECT random()", [], |row| row.get(0)).map_err(fault::store_error)?;
        let shared = Arc::new(Shared::new());
        let follower = Follower::spawn(path, instance, shared.clone())?;
        let watch = Watch::begin(path)?;
        let writer = Writer::spawn(connection, watch, instance, shared.clone())?;
        let writing = Some(Writing { writer, follower });
        Ok(Self { shared, readers: Readers::spawn(path)?, writing })
    }

    /// Makes writes fail while the file at `path` is missing or, with `is_same`, while another file is in its place.
    ///
    /// The database and its log are required in this way from the beginning.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it is missing now.
    pub fn require(&self, path: impl Into<PathBuf>, is_same: bool) -> Result<(), StoreError> {
        self.shared.required.lock().push(Required::new(path.into(), is_same)?);
        Ok(())
    }

    /// Commits all queued writes and leaves one complete file, unless other processes have it open. Later calls fail.
    ///
    /// Waits for reads and writes in progress and blocks for the disk. A second call does nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log could not be written back into the file. Nothing is lost as long as both files stay
    /// together.
    pub fn close(&self) -> Result<(), StoreError> {
        if let Some(writing) = &self.writing {
            writing.follower.close();
        }
        self.readers.close();
        // Last, so that the writer writes the log back and reports a failure.
        self.writing.as_ref().map_or(Ok(()), |writing| writing.writer.close())
    }

    /// Queues `work` for the writer and resolves once it is durable.
    async fn submit<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> Result<T, Fault> + Send + 'static,
    {
        match &self.writing {
            Some(writing) => writing.writer.submit(work).await,
            None => Err(StoreError::unavailable("the store was opened for reading; open it for writing")),
        }
    }

    /// Returns the number of transactions committed since the store was opened. One transaction may contain many writes.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits()
    }
}

#[async_trait]
impl crate::Store for Store {
    async fn probe(&self) -> Result<(), StoreError> {
        self.submit(|batch| probe(batch)).await
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

fn probe(batch: &Batch<'_>) -> Result<(), Fault> {
    batch
        .connection
        .prepare_cached(
            "INSERT INTO settings(name, value) VALUES ('probe', randomblob(8))
             ON CONFLICT(name) DO UPDATE SET value = excluded.value",
        )?
        .execute([])?;
    Ok(())
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("commits", &self.commits())
            .field("listeners", &self.shared.listeners)
            .finish_non_exhaustive()
    }
}
