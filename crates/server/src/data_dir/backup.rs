//! Backs up the database of a data folder, even while a server serves it.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use chatcamp_store::{StoreError, sqlite::Snapshot};

use super::{
    DATABASE, DataDir, DataDirError, KEYRING_CHECK, KEYS,
    files::{Draft, with_ending},
    read_keyring,
};
use crate::{
    create_private_file,
    private_file::{create_own, folder_of},
};

/// The suffix that is appended to the name of the backup to name the copy of the keyring.
pub(super) const KEYS_ENDING: &str = ".keys";

/// The result of a backup.
#[derive(Debug)]
pub struct BackedUp {
    /// The number of users in it, of all apps.
    pub users: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The keyring that belongs to the backup; without it, every token and API key is invalid.
    pub keys: PathBuf,
    /// The copy of the keyring, if one was asked for.
    pub keys_copy: Option<PathBuf>,
}

impl DataDir {
    /// Copies a consistent snapshot of the database in `folder` to the new file `to`, while other processes may use it.
    ///
    /// The copy is a complete database that only its owner can read. It contains no secret. If `with_keys` is set, the keyring is
    /// written beside it, to a file whose name ends with `.keys`. The data folder is not changed. Blocks on the disk.
    ///
    /// # Errors
    /// Returns [`DataDirError::Exists`] if one of the files exists, or another [`DataDirError`] that names the file and the
    /// reason. After an error, this method leaves no file behind.
    pub fn back_up(
        folder: &Path,
        keys_file: Option<PathBuf>,
        to: &Path,
        with_keys: bool,
    ) -> Result<BackedUp, DataDirError> {
        let of_store = |source| DataDirError::of_store(folder, source);
        let of_copy = |source| copy_error(to, source);
        let keys_copy = with_keys.then(|| with_ending(to, KEYS_ENDING));
        for path in std::iter::once(to).chain(keys_copy.as_deref()) {
            if path.symlink_metadata().is_ok() {
                return Err(DataDirError::Exists { path: path.to_owned() });
            }
        }

        let snapshot = Snapshot::open(folder.join(DATABASE)).map_err(of_store)?;
        let keys = keys_file.unwrap_or_else(|| folder.join(KEYS));
        if !keys.exists() {
            return Err(DataDirError::NoKeyring { keys, data: folder.to_owned() });
        }
        let keyring = read_keyring(&keys)?;
        if !snapshot.setting(KEYRING_CHECK).map_err(of_store)?.is_some_and(|check| keyring.matches(&check)) {
            return Err(DataDirError::WrongKeyring { keys, data: folder.to_owned() });
        }

        let draft = Draft::of(to);
        let create = if is_within(folder, to) { create_private_file } else { create_own };
        create(draft.path()).map_err(|source| DataDirError::Io { path: to.to_owned(), source })?;
        snapshot.copy_to(draft.path()).map_err(of_copy)?;
        drop(snapshot);
        let copy = Snapshot::open(draft.path()).map_err(of_copy)?;
        copy.check().map_err(of_copy)?;
        let users = copy.user_count().map_err(of_copy)?;
        drop(copy);
        let bytes = fs::metadata(draft.path()).map_or(0, |found| found.len());
        if let Some(path) = &keys_copy {
            let failed = |source| DataDirError::Io { path: path.clone(), source };
            let written = create(path).and_then(|mut file| {
                file.write_all(keyring.to_text().as_bytes())?;
                file.sync_all()
            });
            written.map_err(failed)?;
        }
        draft.put().map_err(|source| DataDirError::Io { path: to.to_owned(), source })?;
        Ok(BackedUp { users, bytes, keys, keys_copy })
    }
}

/// Returns whether the file will be inside the data folder, where files that root creates must belong to the folder's owner.
fn is_within(folder: &Path, file: &Path) -> bool {
    let found = (folder.canonicalize(), folder_of(file).canonicalize());
    matches!(found, (Ok(folder), Ok(place)) if place.starts_with(&folder))
}

/// Converts an error of writing the copy: an I/O error is about the file, any other about the backup.
fn copy_error(path: &Path, source: StoreError) -> DataDirError {
    let path = path.to_owned();
    if let StoreError::Unavailable(cause) = &source
        && let Some(cause) = cause.downcast_ref::<io::Error>()
    {
        return DataDirError::Io { path, source: io::Error::new(cause.kind(), cause.to_string()) };
    }
    DataDirError::Backup { path, source }
}
