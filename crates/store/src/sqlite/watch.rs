//! Detects that the file, its log or another required file was deleted, replaced or truncated while in use.
//!
//! Reads the metadata of paths and never opens a file, because closing any descriptor of a file releases SQLite's locks on it.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, config::DbConfig};

use super::fault::{FileFault, store_error};
use crate::StoreError;

/// The file that was found at a path.
#[derive(Debug, Clone, Copy)]
struct Seen {
    identity: (u64, u64),
    len: u64,
}

/// The database and its log as they were last found.
pub(super) struct Watch {
    database: PathBuf,
    log: PathBuf,
    seen_database: Seen,
    seen_log: Seen,
    is_log_truncated: bool,
}

/// Another file that must exist for a write.
#[derive(Debug)]
pub(super) struct Required {
    path: PathBuf,
    /// The file that must be there; `None` if any file will do.
    identity: Option<(u64, u64)>,
}

impl Watch {
    /// Begins with the current files; must be called after a connection has opened the log.
    pub(super) fn begin(path: &Path) -> Result<Self, StoreError> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = PathBuf::from(log);
        let (seen_database, seen_log) = (look(path)?, look(&log)?);
        Ok(Self { database: path.to_owned(), log, seen_database, seen_log, is_log_truncated: false })
    }

    /// Checks the log before a transaction, which would hide that it was truncated.
    pub(super) fn before(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let found = look_for(&self.log, Some(self.seen_log.identity))?;
        if found.len < self.seen_log.len && !self.is_log_truncated {
            self.is_log_truncated = is_log_truncated(connection, found.len).map_err(store_error)?;
        }
        if self.is_log_truncated {
            return Err(StoreError::unavailable(FileFault::truncated(&self.log)));
        }
        self.seen_log = found;
        Ok(())
    }

    /// Checks all files after a transaction, before it is acknowledged.
    pub(super) fn after(&mut self, connection: &Connection, required: &[Required]) -> Result<(), StoreError> {
        let found = look_for(&self.database, Some(self.seen_database.identity))?;
        if found.len < self.seen_database.len {
            // A `VACUUM` by another process makes the file shorter too, and its number of pages smaller.
            let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
            // A file whose size cannot be read is damaged.
            let size = connection.query_row(size, [], |row| row.get(0)).map_or(u64::MAX, i64::cast_unsigned);
            if found.len < self.seen_database.len.min(size) {
                return Err(StoreError::unavailable(FileFault::truncated(&self.database)));
            }
        }
        self.seen_database = found;
        self.before(connection)?;
        for file in required {
            look_for(&file.path, file.identity)?;
        }
        Ok(())
    }

    /// Checks all files a last time. Prevents that a truncated log is written back, which would mix two states of the database.
    pub(super) fn end(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let looked = self.after(connection, &[]);
        if self.is_log_truncated {
            connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map_err(store_error)?;
        }
        looked
    }
}

impl Required {
    /// Requires the file that is at `path` now, or any file at that path.
    pub(super) fn new(path: PathBuf, is_same: bool) -> Result<Self, StoreError> {
        let seen = look(&path)?;
        Ok(Self { path, identity: is_same.then_some(seen.identity) })
    }
}

fn look(path: &Path) -> Result<Seen, StoreError> {
    match fs::metadata(path) {
        Ok(found) => Ok(Seen { identity: identity(&found), len: found.len() }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(StoreError::unavailable(FileFault::missing(path)))
        }
        Err(error) => {
            let error = io::Error::new(
                error.kind(),
                format!("cannot read the metadata of {}: {error}", path.display()),
            );
            Err(StoreError::unavailable(error))
        }
    }
}

fn look_for(path: &Path, identity: Option<(u64, u64)>) -> Result<Seen, StoreError> {
    let found = look(path)?;
    if identity.is_some_and(|identity| identity != found.identity) {
        return Err(StoreError::unavailable(FileFault::replaced(path)));
    }
    Ok(found)
}

/// Returns device and inode. On other systems than Unix a replaced file is not noticed.
fn identity(found: &fs::Metadata) -> (u64, u64) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        (found.dev(), found.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        (0, 0)
    }
}

/// Returns whether a log of this length lacks data that are not in the database yet.
///
/// SQLite itself also truncates the log, after all of it was written back.
fn is_log_truncated(connection: &Connection, len: u64) -> rusqlite::Result<bool> {
    /// Of the log, and of each page in it: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.
    const HEADERS: (u64, u64) = (32, 24);
    let (in_log, written_back) = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
        Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    })?;
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let needed = HEADERS.0 + in_log.max(0).cast_unsigned() * (HEADERS.1 + page.cast_unsigned());
    Ok(in_log > written_back && len < needed)
}
