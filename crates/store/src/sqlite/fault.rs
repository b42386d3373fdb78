//! Translates the errors of SQLite for callers.

use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use crate::StoreError;

/// A fault of a file, which is the source of a [`StoreError`]. Its text names files without their folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// The disk is full.
    #[error("the disk is full; free some space on it")]
    DiskFull,
    /// The file is missing.
    #[error("the file {name} is missing")]
    Missing {
        /// The name of the file.
        name: String,
    },
    /// Another file is in its place since it was opened.
    #[error("the file {name} was replaced while it was in use; stop the server before files are replaced")]
    Replaced {
        /// The name of the file.
        name: String,
    },
    /// The file was truncated since it was opened.
    #[error("the file {name} was truncated while it was in use; stop the server and restore a backup")]
    Truncated {
        /// The name of the file.
        name: String,
    },
    /// The file is empty, or a database that no store has written.
    #[error(
        "the file {name} contains no ChatCamp data; if it was copied from elsewhere, copy its {name}-wal too"
    )]
    NoData {
        /// The name of the file.
        name: String,
    },
}

impl FileFault {
    pub(super) fn missing(path: &Path) -> Self {
        Self::Missing { name: name(path) }
    }

    pub(super) fn replaced(path: &Path) -> Self {
        Self::Replaced { name: name(path) }
    }

    pub(super) fn truncated(path: &Path) -> Self {
        Self::Truncated { name: name(path) }
    }

    pub(super) fn no_data(path: &Path) -> Self {
        Self::NoData { name: name(path) }
    }

    /// Returns the fault of a file that caused an error; `None` if the error has another cause.
    #[must_use]
    pub fn of(error: &StoreError) -> Option<&Self> {
        match error {
            StoreError::Unavailable(cause) | StoreError::Corrupt(cause) => cause.downcast_ref(),
            _ => None,
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The error of a job inside the writer. A type of its own, so that SQLite's errors have no public conversion.
#[derive(Debug)]
pub(super) struct Fault(pub(super) StoreError);

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(store_error(error))
    }
}

/// Converts an error of SQLite.
pub(super) fn store_error(error: Error) -> StoreError {
    match &error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::corrupt(error),
            ErrorCode::DiskFull => StoreError::unavailable(FileFault::DiskFull),
            // The memory that processes share is a file too. SQLite returns this code if that file cannot grow.
            _ if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
                StoreError::unavailable(FileFault::DiskFull)
            }
            _ => StoreError::unavailable(error),
        },
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::InvalidColumnType(..) => StoreError::corrupt(error),
        _ => StoreError::unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_for_a_full_disk_is_translated() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            let error = store_error(Error::SqliteFailure(ffi::Error::new(code), None));
            assert_eq!(FileFault::of(&error), Some(&FileFault::DiskFull), "{code}");
        }
        let error = store_error(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_READ), None));
        assert_eq!(FileFault::of(&error), None);
    }
}
