//! Why a store did not do as asked.

use std::{error::Error, sync::Arc};

/// Why a store did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot answer now: busy, full, out of reach or closed. A write may still have happened.
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
    /// The data cannot be read as what it should be: restore a backup.
    #[error("the stored data is corrupt")]
    Corrupt(#[source] Arc<dyn Error + Send + Sync>),
    /// The app has as many users as it may; nothing was created.
    #[error("the app has reached its limit of users")]
    UserLimit,
    /// The user blocks as many others as it may; nothing was added.
    #[error("the user has reached its limit of blocks")]
    BlockLimit,
    /// There is no app of that id to put something into.
    #[error("there is no such app")]
    UnknownApp,
    /// A text contains NUL, which not every database can hold; nothing was written.
    #[error("{field} contains the character NUL (U+0000); remove it")]
    Nul {
        /// The field that contains it.
        field: &'static str,
    },
}

impl StoreError {
    /// Wraps the reason for which a store cannot answer now.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(Arc::from(source.into()))
    }

    /// Wraps the reason for which stored data cannot be read.
    pub fn corrupt(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(Arc::from(source.into()))
    }

    /// Whether the same call may succeed later without anybody repairing anything.
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
    fn only_an_unavailable_store_is_worth_another_try() {
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
