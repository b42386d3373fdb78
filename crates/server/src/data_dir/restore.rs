//! Restores a backup into a data folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chatcamp_auth::Keyring;
use chatcamp_store::{
    StoreError,
    sqlite::{Snapshot, settle},
};

use super::{
    DATABASE, DataDir, DataDirError, KEYRING_CHECK, KEYS, LOCK,
    backup::KEYS_ENDING,
    files::{Draft, MadeFolders, unused_beside, with_ending},
    is_filled, lock, read_keyring,
};
use crate::{
    create_private_file,
    private_file::{private_draft, sync_folder},
};

/// The suffixes of files that SQLite keeps beside a database, and would apply to the restored one.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// The number of users in it, of all apps.
    pub users: u64,
    /// The keyring that belongs to the backup.
    pub keys: PathBuf,
    /// Where the previous keyring was moved, if it was replaced.
    pub replaced_keys: Option<PathBuf>,
}

/// Where the keyring of the backup was found.
enum Keys {
    /// In the data folder, or in the keyring file that was named.
    InPlace,
    /// Elsewhere; it must be copied there.
    Elsewhere(Keyring),
}

impl DataDir {
    /// Restores the backup `from` into `folder`, which is created if it does not exist. No server may serve the folder.
    ///
    /// A keyring that exists already is used if it belongs to the backup. Otherwise `keys` is copied, or the file beside the
    /// backup whose name ends with `.keys`. If `replace` is set, an existing database and keyring are replaced; the old keyring
    /// is kept under another name. Blocks on the disk.
    ///
    /// # Errors
    /// Returns a [`DataDirError`] if the folder is served, occupied or in use, if the backup is damaged or is not a backup, or if
    /// the keyring is missing or belongs to another database. After an error, an existing database is unchanged, and a new
    /// folder is removed.
    pub fn restore(
        folder: &Path,
        keys_file: Option<PathBuf>,
        from: &Path,
        keys: Option<PathBuf>,
        replace: bool,
    ) -> Result<Restored, DataDirError> {
        let of_folder = |source| DataDirError::Io { path: folder.to_owned(), source };
        let of_backup = |source| DataDirError::Backup { path: from.to_owned(), source };
        let made = MadeFolders::make(folder).map_err(of_folder)?;
        let _lock = lock(folder)?;
        // Removed before the lock is released, so that no process locks a file that no longer exists.
        let made = made.with(folder.join(LOCK));
        let database = folder.join(DATABASE);
        // The log alone may contain all data.
        if (database.exists() || is_filled(&with_ending(&database, "-wal"))) && !replace {
            return Err(DataDirError::Occupied { path: folder.to_owned() });
        }

        let backup = Snapshot::open(from).map_err(of_backup)?;
        let check = backup.setting(KEYRING_CHECK).map_err(of_backup)?;
        let check = check.ok_or_else(|| of_backup(StoreError::corrupt("nothing in it tells its keyring")))?;
        let place = keys_file.clone().unwrap_or_else(|| folder.join(KEYS));
        let may_replace = replace && keys_file.is_none();
        let found = find_keys(&place, may_replace, keys, from, &check)?;

        let draft = Draft::only_of(&database).map_err(of_folder)?;
        create_private_file(draft.path()).map_err(of_folder)?;
        backup.copy_to(draft.path()).map_err(of_backup)?;
        let copy = Snapshot::open(draft.path()).map_err(of_backup)?;
        copy.check().map_err(of_backup)?;
        let users = copy.user_count().map_err(of_backup)?;
        drop(copy);

        remove_companions(folder, &database)?;
        let replaced_keys = match found {
            Keys::InPlace => None,
            Keys::Elsewhere(keyring) => put_keys(&place, &keyring)
                .map_err(|source| DataDirError::Io { path: place.clone(), source })?,
        };
        draft.put().map_err(of_folder)?;
        made.keep();
        Ok(Restored { users, keys: place, replaced_keys })
    }
}

fn find_keys(
    place: &Path,
    may_replace: bool,
    given: Option<PathBuf>,
    backup: &Path,
    check: &[u8],
) -> Result<Keys, DataDirError> {
    let foreign =
        |keys: &Path| DataDirError::ForeignKeys { keys: keys.to_owned(), backup: backup.to_owned() };
    if place.exists() {
        match read_keyring(place) {
            Ok(keyring) if keyring.matches(check) => return Ok(Keys::InPlace),
            Ok(_) if !may_replace => return Err(foreign(place)),
            Err(error) if !may_replace => return Err(error),
            _ => {}
        }
    }
    let beside = || Some(with_ending(backup, KEYS_ENDING)).filter(|path| path.exists());
    let Some(path) = given.or_else(beside) else {
        return Err(DataDirError::KeysNeeded { backup: backup.to_owned() });
    };
    let keyring = read_keyring(&path)?;
    if keyring.matches(check) { Ok(Keys::Elsewhere(keyring)) } else { Err(foreign(&path)) }
}

/// Removes the files that SQLite would apply to the restored database.
fn remove_companions(folder: &Path, database: &Path) -> Result<(), DataDirError> {
    if database.exists() {
        match settle(database) {
            // A damaged database is not in use, and may be the reason for the restore.
            Ok(()) | Err(StoreError::Corrupt(_)) => {}
            Err(source) => return Err(DataDirError::Store { path: folder.to_owned(), source }),
        }
    }
    for companion in COMPANIONS.map(|ending| with_ending(database, ending)) {
        match fs::remove_file(&companion) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DataDirError::Io { path: companion, source: error });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes the keyring. Returns the new path of the previous keyring, or `None` if there was none.
fn put_keys(place: &Path, keyring: &Keyring) -> io::Result<Option<PathBuf>> {
    let draft = private_draft(place, keyring.to_text().as_bytes())?;
    let replaced = place.exists().then(|| unused_beside(place));
    if let Some(replaced) = &replaced {
        fs::rename(place, replaced)?;
    }
    draft.persist(place)?;
    sync_folder(place)?;
    Ok(replaced)
}
