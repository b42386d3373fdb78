//! What SQLite's errors mean to a caller.

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

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
            _ => StoreError::unavailable(error),
        },
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::InvalidColumnType(..) => StoreError::corrupt(error),
        _ => StoreError::unavailable(error),
    }
}
