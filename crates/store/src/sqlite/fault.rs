//! What SQLite's errors mean to a caller.

use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use crate::StoreError;

/// What is wrong with a file; the source of a [`StoreError`]. Its text names files without their folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// There is no room left.
    #[error("the disk is full; free some space on it")]
    DiskFull,
    /// A file is not there, or no longer.
    #[error("the file {name} is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// Another file has taken its place since it was opened.
    #[error("the file {name} was replaced while it was in use; stop the server before files are replaced")]
    Replaced {
        /// Its name.
        name: String,
    },
    /// It was made shorter since it was opened.
    #[error("the file {name} was truncated while it was in use; stop the server and restore a backup")]
    Truncated {
        /// Its name.
        name: String,
    },
    /// It is a database, or an empty file, that no store has written to.
    #[error(
        "the file {name} holds no ChatCamp data; if it was copied from elsewhere, its {name}-wal belongs to it"
    )]
    NoData {
        /// Its name.
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

    /// Returns the fault of a file that made a store fail.
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

/// Why a job failed, on the way out of the writer; keeps SQLite's errors out of the public conversions.
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

/// Sorts an error by what its caller can do.
pub(super) fn store_error(error: Error) -> StoreError {
    match &error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::corrupt(error),
            ErrorCode::DiskFull => StoreError::unavailable(FileFault::DiskFull),
            // The memory that processes share is a file too, and this is how SQLite says that it cannot grow.
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
    fn a_full_disk_is_said_in_words_whichever_code_sqlite_has_for_it() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            let error = store_error(Error::SqliteFailure(ffi::Error::new(code), None));
            assert_eq!(FileFault::of(&error), Some(&FileFault::DiskFull), "{code}");
        }
        let error = store_error(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_READ), None));
        assert_eq!(FileFault::of(&error), None);
    }
}
