//! Reads, done in the caller's thread on connections that wait for their next use.

use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;

use super::{fault::store_error, schema};
use crate::StoreError;

/// Most connections kept while nobody reads; more are open only while as many threads read at once.
const IDLE: usize = 32;

/// A pool of connections that cannot write.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Held for reading while a connection is in use, so that closing waits for it.
    is_open: RwLock<bool>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()), is_open: RwLock::new(true) }
    }

    /// Begins with a connection that is open already.
    pub(super) fn with(self, connection: Connection) -> Self {
        self.idle.lock().push(connection);
        self
    }

    /// Reads on a connection of its own; one that met an error is not used again.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let is_open = self.is_open.read();
        if !*is_open {
            return Err(StoreError::unavailable("the store is closed"));
        }
        let idle = self.idle.lock().pop();
        let connection = idle.map_or_else(|| schema::open_reader(&self.path), Ok).map_err(store_error)?;
        let found = read(&connection).map_err(store_error)?;
        let mut idle = self.idle.lock();
        if idle.len() < IDLE {
            idle.push(connection);
        }
        Ok(found)
    }

    /// Waits for reads in progress, closes every connection and refuses later reads.
    pub(super) fn close(&self) {
        *self.is_open.write() = false;
        self.idle.lock().clear();
    }
}
