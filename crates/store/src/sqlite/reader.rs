//! Reads, done in the caller's thread on connections that wait for their next use.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{fault::store_error, schema};
use crate::StoreError;

/// Most connections kept while nobody reads; more are open only while as many threads read at once.
const IDLE: usize = 32;

/// A pool of connections that cannot write.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()) }
    }

    /// Reads on a connection of its own; one that met an error is not used again.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().pop();
        let connection = idle.map_or_else(|| schema::open_reader(&self.path), Ok).map_err(store_error)?;
        let found = read(&connection).map_err(store_error)?;
        let mut idle = self.idle.lock();
        if idle.len() < IDLE {
            idle.push(connection);
        }
        Ok(found)
    }
}
