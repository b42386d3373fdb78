//! Errors of a store.

use std::{error::Error, sync::Arc};

/// An error of a store.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot answer now: it is busy, full, unreachable or closed. A write may have happened all the same.
    #[error("the store is unavailable")]
    Unavailable(#[source] Arc<dyn Error + Send + Sync>),
    /// The data was written by a newer release, and this one cannot use it; it was not touched.
    #[error(
        "the data has schema {found}, which needs a release with schema {compatible} or later, and this one has schema {known}; use \
         a newer release"
    )]
    SchemaTooNew {
        /// The schema of the data.
        found: u32,
        /// The oldest schema whose releases can use the data.
        compatible: u32,
        /// The schema of this release.
        known: u32,
    },
    /// The data was written by an older release and has to be migrated first; it was not touched.
    #[error("the data has schema {found} and has to be migrated to schema {known}")]
    SchemaTooOld {
        /// The schema of the data.
        found: u32,
        /// The schema of this release.
        known: u32,
    },
    /// The data cannot be decoded.
    #[error("the stored data is corrupt; restore a backup")]
    Corrupt(#[source] Arc<dyn Error + Send + Sync>),
    /// The app has the most users it may have; nothing was created.
    #[error("the app has reached its limit of users; delete users or raise the limit")]
    UserLimit,
    /// The user blocks the most users it may block; nothing was added.
    #[error("the user has reached its limit of blocks; unblock a user first")]
    BlockLimit,
    /// The app is missing; nothing was written.
    #[error("the app does not exist")]
    UnknownApp,
    /// A text contains NUL, which not every database can store; nothing was written.
    #[error("{field} contains the character NUL (U+0000); remove it")]
    Nul {
        /// The field that contains it.
        field: &'static str,
    },
}

impl StoreError {
    /// Creates [`StoreError::Unavailable`] with its cause.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(source.into()))
    }

    /// Creates [`StoreError::Corrupt`] with its cause.
    pub fn corrupt(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(Arc::from(source.into()))
    }

    /// Returns whether the same call may succeed later without a repair.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_reachable_and_not_repeated() {
        let error = StoreError::unavailable("disk full");
        assert_eq!(error.to_string(), "the store is unavailable");
        assert_eq!(error.source().unwrap().to_string(), "disk full");
    }

    #[test]
    fn only_unavailable_is_retryable() {
        for (error, retryable) in [
            (StoreError::unavailable("busy"), true),
            (StoreError::SchemaTooNew { found: 3, compatible: 2, known: 1 }, false),
            (StoreError::SchemaTooOld { found: 1, known: 2 }, false),
            (StoreError::corrupt("garbage"), false),
            (StoreError::UserLimit, false),
            (StoreError::BlockLimit, false),
            (StoreError::UnknownApp, false),
            (StoreError::Nul { field: "data" }, false),
        ] {
            assert_eq!(error.is_retryable(), retryable, "{error}");
        }
    }
}
