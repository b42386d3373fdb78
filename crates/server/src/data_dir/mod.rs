//! The data folder: database, master keys, and who serves it.
//!
//! ```text
//!  DATA/ (0700)
//!    chatcamp.db   apps, users, keys' digests        back up
//!    keys (0600)   the master keyring                back up: without it every token and API key is void
//!    server.lock   held by the server that serves it, and its process number
//! ```

mod backup;
mod begin;
mod files;
mod restore;

use std::{
    error::Error as _,
    fs::{self, File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use chatcamp_auth::{Keyring, keyring::InvalidKeyring};
use chatcamp_store::{
    Store, StoreError,
    prelude::*,
    sqlite::{self, FileFault},
};

pub use self::{backup::BackedUp, restore::Restored};
use self::{
    begin::{is_filled, is_used, make_if_new},
    files::{make_folder, remove_unfinished},
};
use crate::{Accounts, create_private_file};

/// The setting by which a database recognises its keyring.
const KEYRING_CHECK: &str = "keyring_check";
/// The file of the database.
const DATABASE: &str = "chatcamp.db";
/// The file whose lock says who serves the folder.
const LOCK: &str = "server.lock";
/// The file of the keyring, unless another is named.
const KEYS: &str = "keys";

/// An open data folder.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    store: Arc<sqlite::Store>,
    keyring: Keyring,
    /// Held, by whoever serves the folder, until this is dropped.
    lock: Option<File>,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// A file or folder cannot be made or read.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The keyring file is no keyring.
    #[error("cannot use the keyring {}", path.display())]
    Keyring {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: InvalidKeyring,
    },
    /// The keyring is not the one the database was made with.
    #[error(
        "the keyring {} does not belong to the database in {}: restore the keys that were backed up with it, \
         or name their file in CHATCAMP_KEYS_FILE", keys.display(), data.display()
    )]
    WrongKeyring {
        /// The keyring file.
        keys: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// The keyring of a database is gone.
    #[error(
        "there is a database in {}, but not its keyring {}: restore the keys that were backed up with it, \
         or name their file in CHATCAMP_KEYS_FILE", data.display(), keys.display()
    )]
    NoKeyring {
        /// Where it should be.
        keys: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// Another server serves the folder.
    #[error("{} is already served by {by}; stop that server, or choose another folder with --data", path.display())]
    AlreadyServed {
        /// The folder.
        path: PathBuf,
        /// Who serves it.
        by: String,
    },
    /// What is to be made is there already.
    #[error("{} is there already; choose another name", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A backup cannot be used, or not be made.
    #[error("cannot use {} as a backup", path.display())]
    Backup {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// What is to be restored would replace a database.
    #[error(
        "there is a database in {} already; choose another folder with --data, or replace it with --force",
        path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The keyring of a backup is nowhere to be found.
    #[error("the keys of the backup {} are needed too; name their file with --keys", backup.display())]
    KeysNeeded {
        /// The backup.
        backup: PathBuf,
    },
    /// The keyring is not the one of the backup.
    #[error("the keyring {} does not belong to the backup {}", keys.display(), backup.display())]
    ForeignKeys {
        /// The keyring file.
        keys: PathBuf,
        /// The backup.
        backup: PathBuf,
    },
    /// The database of a folder that has been used before is missing or empty.
    #[error(
        "the database in {} is lost: {fault}; restore a backup with `chatcamp restore`, or begin with an empty database with \
         `chatcamp serve --new-database`", data.display()
    )]
    NoDatabase {
        /// The data folder.
        data: PathBuf,
        /// What is wrong with the file.
        fault: FileFault,
    },
    /// There is a database where a new one was asked for.
    #[error("there is a database in {} already; leave out --new-database", data.display())]
    HasDatabase {
        /// The data folder.
        data: PathBuf,
    },
    /// The log could not be written back into the database at the end.
    #[error(
        "the database in {} was not closed; keep chatcamp.db and chatcamp.db-wal together, the next start makes one file of them",
        path.display()
    )]
    NotClosed {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The database cannot be used.
    #[error("cannot use the database in {}", path.display())]
    Store {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl DataDir {
    /// Opens the folder, made if it is not there, beside whoever else uses it.
    ///
    /// The keyring is read from `keys_file`, or else from `keys` in the folder, which is made with a new folder.
    ///
    /// # Errors
    /// [`DataDirError`] says which file, why, and what to do. [`DataDirError::NoDatabase`] if the folder has been used before
    /// and its database is missing or empty.
    pub async fn open(path: impl Into<PathBuf>, keys_file: Option<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        make_folder(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        make_if_new(&path, keys_file.as_deref()).await?;
        Self::open_made(path, keys_file, None, sqlite::Store::open_existing).await
    }

    /// Opens the folder, which has to be there, beside whoever else uses it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_existing(
        path: impl Into<PathBuf>,
        keys_file: Option<PathBuf>,
    ) -> Result<Self, DataDirError> {
        Self::open_made(path.into(), keys_file, None, sqlite::Store::open_existing).await
    }

    /// Opens the folder, which has to be there, only to read it, on a full disk too; every write fails.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_to_read(
        path: impl Into<PathBuf>,
        keys_file: Option<PathBuf>,
    ) -> Result<Self, DataDirError> {
        Self::open_made(path.into(), keys_file, None, sqlite::Store::open_to_read).await
    }

    /// Opens the folder as the one server of it, for as long as this lives; when it is dropped, its store is closed.
    ///
    /// Writes fail while the lock file or the keyring file is missing, as they do without the database.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`DataDirError::AlreadyServed`] names the server that is; nothing was touched then.
    pub async fn open_to_serve(
        path: impl Into<PathBuf>,
        keys_file: Option<PathBuf>,
    ) -> Result<Self, DataDirError> {
        let path = path.into();
        make_folder(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        let lock = lock(&path)?;
        // What a restore has left that was killed is in nobody's way.
        _ = remove_unfinished(&path.join(DATABASE));
        make_if_new(&path, keys_file.as_deref()).await?;
        let keys = keys_file.clone().unwrap_or_else(|| path.join(KEYS));
        let mut data = Self::open_made(path, keys_file, Some(lock), sqlite::Store::open_existing).await?;
        let of_store = |source| DataDirError::of_store(&data.path, source);
        data.store.require(data.path.join(LOCK), true).map_err(of_store)?;
        data.store.require(keys, false).map_err(of_store)?;
        data.announce(&format!("process {}", std::process::id()))?;
        Ok(data)
    }

    async fn open_made(
        path: PathBuf,
        keys_file: Option<PathBuf>,
        lock: Option<File>,
        open: fn(PathBuf) -> Result<sqlite::Store, StoreError>,
    ) -> Result<Self, DataDirError> {
        let database = path.join(DATABASE);
        let keys = keys_file.clone().unwrap_or_else(|| path.join(KEYS));
        if keys_file.is_none() && !keys.exists() && is_filled(&database) {
            return Err(DataDirError::NoKeyring { keys, data: path });
        }
        let of_store = |source| DataDirError::of_store(&path, source);
        let store = Arc::new(open(database).map_err(of_store)?);
        warn_if_readable_by_others(&keys);
        let keyring = read_keyring(&keys)?;
        let check = store.setting(KEYRING_CHECK).await.map_err(of_store)?;
        // It is written when the database is made.
        let check = check.ok_or_else(|| no_database(&path, FileFault::NoData { name: DATABASE.into() }))?;
        if !keyring.matches(&check) {
            return Err(DataDirError::WrongKeyring { keys, data: path });
        }
        Ok(Self { path, store, keyring, lock })
    }

    /// Commits what is queued and leaves the database as one whole file, unless other processes have it open. Then another
    /// server may open the folder.
    ///
    /// Whoever still holds [`store`](Self::store) finds it closed. Blocks for the disk.
    ///
    /// # Errors
    /// [`DataDirError::NotClosed`] if the log could not be written back into the database.
    pub fn close(self) -> Result<(), DataDirError> {
        self.store.close().map_err(|source| DataDirError::NotClosed { path: self.path.clone(), source })
    }

    /// Returns whether there is a data folder at `path`, even if its database is lost.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.join(DATABASE).exists() || is_used(path)
    }

    /// Says for others how to recognise the server of the folder, such as by its address.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn announce(&mut self, who: &str) -> Result<(), DataDirError> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        let written =
            lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(who.as_bytes()));
        written.map_err(|source| DataDirError::Io { path: self.path.join(LOCK), source })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept in it.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Its keyring.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Its apps and users.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        Accounts::new(self.store(), self.keyring())
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Before the lock is released, so that the next server does not meet the writer of this one.
        if self.lock.is_some()
            && let Err(error) = self.store.close()
        {
            let error = error.source().unwrap_or(&error);
            tracing::error!(%error, "the database was not closed; keep its files together");
        }
    }
}

impl DataDirError {
    /// An error of the database in a folder; one that is lost is told apart.
    fn of_store(folder: &Path, source: StoreError) -> Self {
        match FileFault::of(&source) {
            Some(fault @ (FileFault::Missing { .. } | FileFault::NoData { .. })) => {
                no_database(folder, fault.clone())
            }
            _ => Self::Store { path: folder.to_owned(), source },
        }
    }
}

fn no_database(folder: &Path, fault: FileFault) -> DataDirError {
    DataDirError::NoDatabase { data: folder.to_owned(), fault }
}

/// Opens the lock file and locks it, until the file is dropped.
fn lock(folder: &Path) -> Result<File, DataDirError> {
    let path = folder.join(LOCK);
    let failed = |source| DataDirError::Io { path: path.clone(), source };
    let opened = match create_private_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            File::options().read(true).write(true).open(&path)
        }
        created => created,
    };
    let mut file = opened.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let mut by = String::new();
            // Without the text the refusal still stands.
            _ = file.read_to_string(&mut by);
            let by = if by.is_empty() { "another server".to_owned() } else { by };
            Err(DataDirError::AlreadyServed { path: folder.to_owned(), by })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn read_keyring(path: &Path) -> Result<Keyring, DataDirError> {
    let text =
        fs::read_to_string(path).map_err(|source| DataDirError::Io { path: path.to_owned(), source })?;
    Keyring::parse(&text).map_err(|source| DataDirError::Keyring { path: path.to_owned(), source })
}

/// Says so, where everybody could read the keys; some mount them so on purpose.
fn warn_if_readable_by_others(keys: &Path) {
    #[cfg(unix)]
    if let Ok(found) = fs::metadata(keys)
        && std::os::unix::fs::MetadataExt::mode(&found) & 0o077 != 0
    {
        tracing::warn!(keys = %keys.display(), "others than its owner can read the keyring; chmod 600 it");
    }
}
