//! The state of a file at one moment, which is read, checked and copied while others write.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    fault::{FileFault, store_error},
    schema,
    setting::setting,
};
use crate::StoreError;

/// The number of pages copied at a time.
const PAGES: i32 = 1024;
/// How long to wait for others to close the file.
const PATIENCE: Duration = Duration::from_secs(1);

/// The state of a file when it was opened. Others may continue to write; the data are not changed.
pub struct Snapshot {
    connection: Connection,
    path: PathBuf,
}

impl Snapshot {
    /// Opens the file at `path`, which must exist, without a migration. Blocks for the disk, as all other methods do.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`] if only newer releases can use it, [`StoreError::Corrupt`] if it is not the
    /// database of a store, [`StoreError::Unavailable`] if it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        schema::refuse_empty(&path)?;
        let connection = schema::open_reader_on_full_disk(&path)?;
        // The first read fixes the state until the transaction ends.
        connection.execute_batch("BEGIN").map_err(store_error)?;
        if schema::usable(&connection)? == 0 {
            return Err(StoreError::corrupt(FileFault::no_data(&path)));
        }
        Ok(Self { connection, path })
    }

    /// Returns a setting; `None` if it was never written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        setting(&self.connection, name).map_err(store_error)
    }

    /// Counts the users of all apps.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub fn user_count(&self) -> Result<u64, StoreError> {
        let count = self.connection.query_row("SELECT COALESCE(SUM(users), 0) FROM apps", [], |row| {
            row.get(0).map(i64::cast_unsigned)
        });
        count.map_err(store_error)
    }

    /// Reads the whole file and checks it for damage.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the first damage, [`StoreError::Unavailable`].
    pub fn check(&self) -> Result<(), StoreError> {
        let found: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(store_error)?;
        if found == "ok" { Ok(()) } else { Err(StoreError::corrupt(found)) }
    }

    /// Copies the state to a new file, accessible by its owner alone. The copy is complete and on the disk when this returns.
    ///
    /// An existing empty file is used, and keeps its owner and mode.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file cannot be written, or exists and is not empty. A partial copy stays.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        schema::create_private(path).map_err(StoreError::unavailable)?;
        if fs::symlink_metadata(path).is_ok_and(|found| found.len() > 0) {
            return Err(StoreError::unavailable(io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut copy = Connection::open_with_flags(path, flags).map_err(store_error)?;
        let backup = Backup::new(&self.connection, &mut copy).map_err(store_error)?;
        loop {
            match backup.step(PAGES).map_err(store_error)? {
                StepResult::More => {}
                StepResult::Done => break,
                _ => return Err(StoreError::unavailable("another process has locked the copy")),
            }
        }
        drop(backup);
        end_write_ahead(&copy)
    }
}

/// Makes one complete file, without companion files, of a database that no other process has open, so that it can be replaced.
///
/// Blocks for the disk, and up to 1 s while others have the file open.
///
/// # Errors
/// [`StoreError::Unavailable`] if another process has it open, [`StoreError::Corrupt`].
pub fn settle(path: &Path) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
    connection.busy_timeout(PATIENCE).map_err(store_error)?;
    end_write_ahead(&connection)
}

/// Ends the write-ahead mode of the file, which fails while another connection is open.
fn end_write_ahead(connection: &Connection) -> Result<(), StoreError> {
    let mode: String =
        connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0)).map_err(store_error)?;
    if mode == "delete" {
        Ok(())
    } else {
        Err(StoreError::unavailable("another process has the file open; stop it first"))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("path", &self.path).finish_non_exhaustive()
    }
}
