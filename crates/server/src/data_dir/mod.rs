//! The data folder: the database, the master keyring, and the lock of the server that serves it.
//!
//! ```text
//!  DATA/ (0700)
//!    chatcamp.db   apps, users, keys' digests        back up
//!    keys (0600)   the master keyring                back up: without it every token and API key is invalid
//!    server.lock   locked by the server that serves the folder; contains its process id and address
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

/// The setting by which a database identifies its keyring.
const KEYRING_CHECK: &str = "keyring_check";
/// The name of the database file.
const DATABASE: &str = "chatcamp.db";
/// The name of the file that the server locks.
const LOCK: &str = "server.lock";
/// The default name of the keyring file.
const KEYS: &str = "keys";

/// An open data folder.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    store: Arc<sqlite::Store>,
    keyring: Keyring,
    /// The lock, if this process serves the folder; released when this is dropped.
    lock: Option<File>,
}

/// What a data folder is opened for.
enum Access {
    /// Reading, beside others.
    Read,
    /// Reading and writing, beside others.
    Write,
    /// Serving, with the lock of the folder.
    Serve(File),
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// A file or folder cannot be created or read.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The keyring file is invalid.
    #[error("cannot use the keyring {}", path.display())]
    Keyring {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: InvalidKeyring,
    },
    /// The keyring belongs to another database.
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
    /// The keyring of the database is missing.
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
        /// The server, as it described itself.
        by: String,
    },
    /// The database has an older schema, and the lock of the folder is held, so that it cannot be migrated.
    #[error(
        "the database in {} has to be migrated for this version, but {by} uses the folder; stop the server, which runs an older \
         version, then start it with this version or repeat the command", path.display()
    )]
    NotMigrated {
        /// The folder.
        path: PathBuf,
        /// The process that holds the lock.
        by: String,
    },
    /// The file to create exists.
    #[error("{} already exists; choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A backup cannot be used or created.
    #[error("cannot use {} as a backup", path.display())]
    Backup {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// A restore would replace a database.
    #[error(
        "there is a database in {} already; choose another folder with --data, or replace it with --force",
        path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The keyring of the backup was not found.
    #[error("the keys of the backup {} are needed too; name their file with --keys", backup.display())]
    KeysNeeded {
        /// The backup.
        backup: PathBuf,
    },
    /// The keyring belongs to another backup.
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
        /// The fault of the file.
        fault: FileFault,
    },
    /// A new database was requested, but a database exists.
    #[error("there is a database in {} already; leave out --new-database", data.display())]
    HasDatabase {
        /// The data folder.
        data: PathBuf,
    },
    /// The log could not be written back into the database on closing.
    #[error(
        "the database in {} was not closed; keep chatcamp.db and chatcamp.db-wal together, the next start makes one file of them",
        path.display()
    )]
    NotClosed {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: StoreError,
    },
    /// The database cannot be used.
    #[error("cannot use the database in {}", path.display())]
    Store {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: StoreError,
    },
}

impl DataDir {
    /// Opens the folder without locking it, so other processes may use it too. Creates it if it does not exist.
    ///
    /// The keyring is read from `keys_file`, or from `keys` in the folder if `keys_file` is `None`. A new folder gets a new
    /// keyring. A database of an older schema is migrated, unless a server holds the lock of the folder.
    ///
    /// # Errors
    /// Returns [`DataDirError::NoDatabase`] if the folder has been used before and its database is missing or empty,
    /// [`DataDirError::NotMigrated`] if a server of an older version runs, or another [`DataDirError`] that says which file, why,
    /// and what to do.
    ///
    /// # Cancel safety
    /// If the future is dropped, a new folder has either a complete database or none.
    pub async fn open(path: impl Into<PathBuf>, keys_file: Option<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        make_folder(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        make_if_new(&path, keys_file.as_deref()).await?;
        Self::open_existing(path, keys_file).await
    }

    /// Opens an existing folder without locking it, so other processes may use it too.
    ///
    /// # Errors
    /// Fails like [`open`](Self::open), and if the folder does not exist.
    ///
    /// # Cancel safety
    /// Dropping the future closes the folder again.
    pub async fn open_existing(
        path: impl Into<PathBuf>,
        keys_file: Option<PathBuf>,
    ) -> Result<Self, DataDirError> {
        Self::open_made(path.into(), keys_file, Access::Write).await
    }

    /// Opens an existing folder for reading only, which works on a full disk too. Every write fails.
    ///
    /// A database of an older schema is migrated, which needs some room.
    ///
    /// # Errors
    /// Fails like [`open`](Self::open), and if the folder does not exist.
    ///
    /// # Cancel safety
    /// Dropping the future closes the folder again.
    pub async fn open_to_read(
        path: impl Into<PathBuf>,
        keys_file: Option<PathBuf>,
    ) -> Result<Self, DataDirError> {
        Self::open_made(path.into(), keys_file, Access::Read).await
    }

    /// Opens the folder as its only server, and locks it until this is dropped, which also closes the store. Migrates an older schema.
    ///
    /// Writes fail while the lock file, the keyring file or the database is missing.
    ///
    /// # Errors
    /// Fails like [`open`](Self::open). Returns [`DataDirError::AlreadyServed`], without changing the folder, if another server
    /// serves it.
    ///
    /// # Cancel safety
    /// If the future is dropped, the lock is released, and a new folder has either a complete database or none.
    pub async fn open_to_serve(
        path: impl Into<PathBuf>,
        keys_file: Option<PathBuf>,
    ) -> Result<Self, DataDirError> {
        let path = path.into();
        make_folder(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        let lock = lock(&path)?;
        // A draft that a killed restore left does no harm, so a failure to remove it is ignored.
        _ = remove_unfinished(&path.join(DATABASE));
        make_if_new(&path, keys_file.as_deref()).await?;
        let keys = keys_file.clone().unwrap_or_else(|| path.join(KEYS));
        let mut data = Self::open_made(path, keys_file, Access::Serve(lock)).await?;
        let of_store = |source| DataDirError::of_store(&data.path, source);
        data.store.require(data.path.join(LOCK), true).map_err(of_store)?;
        data.store.require(keys, false).map_err(of_store)?;
        data.announce(&format!("process {}", std::process::id()))?;
        Ok(data)
    }

    async fn open_made(
        path: PathBuf,
        keys_file: Option<PathBuf>,
        access: Access,
    ) -> Result<Self, DataDirError> {
        let database = path.join(DATABASE);
        let keys = keys_file.clone().unwrap_or_else(|| path.join(KEYS));
        if keys_file.is_none() && !keys.exists() && is_filled(&database) {
            return Err(DataDirError::NoKeyring { keys, data: path });
        }
        let of_store = |source| DataDirError::of_store(&path, source);
        let opened = match &access {
            Access::Read => sqlite::Store::open_to_read(&database),
            Access::Write => sqlite::Store::open_migrated(&database),
            Access::Serve(_) => sqlite::Store::open_existing(&database),
        };
        let opened = match opened {
            Err(StoreError::SchemaTooOld { .. }) => {
                let _lock = lock_to_migrate(&path)?;
                sqlite::Store::open_existing(&database)
            }
            opened => opened,
        };
        let store = Arc::new(opened.map_err(of_store)?);
        warn_if_readable_by_others(&keys);
        let keyring = read_keyring(&keys)?;
        let check = store.setting(KEYRING_CHECK).await.map_err(of_store)?;
        // This setting is written when the database is created.
        let check = check.ok_or_else(|| no_database(&path, FileFault::NoData { name: DATABASE.into() }))?;
        if !keyring.matches(&check) {
            return Err(DataDirError::WrongKeyring { keys, data: path });
        }
        let lock = match access {
            Access::Serve(lock) => Some(lock),
            Access::Read | Access::Write => None,
        };
        Ok(Self { path, store, keyring, lock })
    }

    /// Commits queued writes, closes the store and releases the folder for another server.
    ///
    /// Leaves the database as one file, unless other processes have it open. Clones of [`store`](Self::store) fail from then on.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// Returns [`DataDirError::NotClosed`] if the log could not be written back into the database.
    pub fn close(self) -> Result<(), DataDirError> {
        self.store.close().map_err(|source| DataDirError::NotClosed { path: self.path.clone(), source })
    }

    /// Returns whether there is a data folder at `path`, even if its database is lost.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.join(DATABASE).exists() || is_used(path)
    }

    /// Writes a description of this server, such as its address, to the lock file, for [`DataDirError::AlreadyServed`].
    ///
    /// # Errors
    /// Returns [`DataDirError::Io`] if the lock file cannot be written.
    pub fn announce(&mut self, who: &str) -> Result<(), DataDirError> {
        let Some(lock) = &mut self.lock else { return Ok(()) };
        sign(lock, who).map_err(|source| DataDirError::Io { path: self.path.join(LOCK), source })
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Returns its keyring.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// Returns the accounts of its apps and users.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        Accounts::new(self.store(), self.keyring())
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Close before the lock is released, so that the next server does not compete with this writer.
        if self.lock.is_some()
            && let Err(error) = self.store.close()
        {
            let error = error.source().unwrap_or(&error);
            tracing::error!(%error, "the database was not closed; keep its files together");
        }
    }
}

impl DataDirError {
    /// Converts an error of the database in a folder; a missing or empty database becomes [`NoDatabase`](Self::NoDatabase).
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

/// Opens and locks the lock file. Dropping the file releases the lock.
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
            // The error is valid without the description too.
            _ = file.read_to_string(&mut by);
            let by = if by.is_empty() { "another server".to_owned() } else { by };
            Err(DataDirError::AlreadyServed { path: folder.to_owned(), by })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Locks the folder so that no server runs, or starts, while its database is migrated.
///
/// A server of an older version would go on with statements that the new schema does not know.
fn lock_to_migrate(folder: &Path) -> Result<File, DataDirError> {
    let mut lock = lock(folder).map_err(|error| match error {
        DataDirError::AlreadyServed { path, by } => DataDirError::NotMigrated { path, by },
        error => error,
    })?;
    let holder = format!("process {}, which migrates the database,", std::process::id());
    sign(&mut lock, &holder).map_err(|source| DataDirError::Io { path: folder.join(LOCK), source })?;
    Ok(lock)
}

/// Replaces the text of a lock file, which names its holder.
fn sign(lock: &mut File, holder: &str) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(holder.as_bytes())
}

fn read_keyring(path: &Path) -> Result<Keyring, DataDirError> {
    let text =
        fs::read_to_string(path).map_err(|source| DataDirError::Io { path: path.to_owned(), source })?;
    Keyring::parse(&text).map_err(|source| DataDirError::Keyring { path: path.to_owned(), source })
}

/// Warns if others can read the keyring. It is not an error, because some operators mount it that way on purpose.
fn warn_if_readable_by_others(keys: &Path) {
    #[cfg(unix)]
    if let Ok(found) = fs::metadata(keys)
        && std::os::unix::fs::MetadataExt::mode(&found) & 0o077 != 0
    {
        tracing::warn!(keys = %keys.display(), "users other than its owner can read the keyring; chmod 600 it");
    }
}
