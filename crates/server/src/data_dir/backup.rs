//! A copy of the database, made while a server goes on.

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

/// What the name of the keys' copy ends with, behind that of the database's.
pub(super) const KEYS_ENDING: &str = ".keys";

/// A backup that was made.
#[derive(Debug)]
pub struct BackedUp {
    /// Users in it, of all apps.
    pub users: u64,
    /// Its size.
    pub bytes: u64,
    /// The keyring without which it is of little use.
    pub keys: PathBuf,
    /// The copy of the keyring, if one was asked for.
    pub keys_copy: Option<PathBuf>,
}

impl DataDir {
    /// Copies the database in `folder` to the new file `to`, as it is at one moment, beside whoever uses it.
    ///
    /// The copy is a database by itself and only its owner's to read. It holds no secret; with `with_keys` the keyring is
    /// written beside it, to a file whose name ends with `.keys`. The data are not changed. Blocks for the disk.
    ///
    /// # Errors
    /// [`DataDirError`] says which file and why; then neither file is there. [`DataDirError::Exists`] when one was.
    pub fn back_up(
        folder: &Path,
        keys_file: Option<PathBuf>,
        to: &Path,
        with_keys: bool,
    ) -> Result<BackedUp, DataDirError> {
        let of_store = |source| DataDirError::of_store(folder, source);
        let of_copy = |source| unwritten(to, source);
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

/// Returns whether the file is to be in the data folder, where what root makes belongs to the folder's owner.
fn is_within(folder: &Path, file: &Path) -> bool {
    let found = (folder.canonicalize(), folder_of(file).canonicalize());
    matches!(found, (Ok(folder), Ok(place)) if place.starts_with(&folder))
}

/// A file that cannot be made is no matter of a store.
fn unwritten(path: &Path, source: StoreError) -> DataDirError {
    let path = path.to_owned();
    if let StoreError::Unavailable(cause) = &source
        && let Some(cause) = cause.downcast_ref::<io::Error>()
    {
        return DataDirError::Io { path, source: io::Error::new(cause.kind(), cause.to_string()) };
    }
    DataDirError::Backup { path, source }
}
