//! The data folder: database, master keys, and who serves it.
//!
//! ```text
//!  DATA/ (0700)
//!    chatcamp.db   apps, users, keys' digests        back up
//!    keys (0600)   the master keyring                back up: without it every token and API key is void
//!    server.lock   held by the server that serves it, and its process number
//! ```

mod backup;
mod files;
mod restore;

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use chatcamp_auth::{Keyring, keyring::InvalidKeyring};
use chatcamp_store::{Store, StoreError, sqlite};

use self::files::{Draft, make_folder, private, remove_unfinished, write_private};
pub use self::{backup::BackedUp, restore::Restored};
use crate::{Accounts, random};

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
    /// [`DataDirError`] says which file, why, and what to do.
    pub async fn open(path: impl Into<PathBuf>, keys_file: Option<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        make_folder(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        Self::open_made(path, keys_file, None).await
    }

    /// Opens the folder as the one server of it, for as long as this lives.
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
        let mut data = Self::open_made(path, keys_file, Some(lock)).await?;
        data.announce(&format!("process {}", std::process::id()))?;
        Ok(data)
    }

    async fn open_made(
        path: PathBuf,
        keys_file: Option<PathBuf>,
        lock: Option<File>,
    ) -> Result<Self, DataDirError> {
        let database = path.join(DATABASE);
        let keys = keys_file.clone().unwrap_or_else(|| path.join(KEYS));
        if keys_file.is_none() && !keys.exists() {
            if database.exists() {
                return Err(DataDirError::NoKeyring { keys, data: path });
            }
            make_keyring(&keys).map_err(|source| DataDirError::Io { path: keys.clone(), source })?;
        }
        warn_if_readable_by_others(&keys);
        let keyring = read_keyring(&keys)?;
        let of_store = |source| DataDirError::Store { path: path.clone(), source };
        let store = Arc::new(sqlite::Store::open(database).map_err(of_store)?);
        let check = store.setting_or_insert(KEYRING_CHECK, &keyring.check_value()).await.map_err(of_store)?;
        if !keyring.matches(&check) {
            return Err(DataDirError::WrongKeyring { keys, data: path });
        }
        Ok(Self { path, store, keyring, lock })
    }

    /// Whether there is a data folder at `path`.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.join(DATABASE).exists()
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

/// Becomes the one who serves the folder, until the file is dropped.
fn lock(folder: &Path) -> Result<File, DataDirError> {
    let path = folder.join(LOCK);
    let failed = |source| DataDirError::Io { path: path.clone(), source };
    let mut file = private().read(true).create(true).truncate(false).open(&path).map_err(failed)?;
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

/// Makes a keyring of one random key, whole or not at all: of several processes the first decides.
fn make_keyring(path: &Path) -> io::Result<()> {
    let keyring = Keyring::new(vec![random::bytes()]).expect("a keyring of one key is valid");
    let draft = Draft::of(path);
    write_private(draft.path(), keyring.to_text().as_bytes())?;
    draft.put_first()
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
