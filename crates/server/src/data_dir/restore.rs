//! A backup, put where a server finds it.

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
    files::{Draft, MadeFolders, unused_beside, with_ending, write_private},
    is_filled, lock, read_keyring,
};
use crate::create_private_file;

/// What SQLite may keep beside a database, and would take for a part of the one that comes in its place.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A backup that was restored.
#[derive(Debug)]
pub struct Restored {
    /// Users in it, of all apps.
    pub users: u64,
    /// The keyring that belongs to it.
    pub keys: PathBuf,
    /// Where the keyring is that was there before, if another took its place.
    pub replaced_keys: Option<PathBuf>,
}

/// Where the right keyring is.
enum Keys {
    /// In its place.
    InPlace,
    /// Elsewhere: it is to be put in its place.
    Elsewhere(Keyring),
}

impl DataDir {
    /// Puts the backup `from` into `folder`, made if it is not there, which nobody serves meanwhile.
    ///
    /// The keyring in its place is used if it belongs to the backup; else `keys`, or else the file beside the backup whose
    /// name ends with `.keys`, is copied there. With `replace` a database and a keyring that are there give way; the keyring
    /// is kept under another name. Blocks for the disk.
    ///
    /// # Errors
    /// [`DataDirError`] says what is wrong, with a folder that is served, occupied or in use, with a backup that is damaged
    /// or none, and with keys that are missing or others. Then the database that was there still is, and a folder
    /// that was not there is not.
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
        // Gone before the lock is, so that nobody holds one on a file that is no longer there.
        let made = made.with(folder.join(LOCK));
        let database = folder.join(DATABASE);
        // A log alone may hold everything.
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

        clear_the_place(folder, &database)?;
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

/// Leaves nothing beside the database that SQLite would mix with the one to come.
fn clear_the_place(folder: &Path, database: &Path) -> Result<(), DataDirError> {
    if database.exists() {
        match settle(database) {
            // What is damaged is in use by nobody, and may be why there is a restore.
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

/// Puts the keyring in its place; one that is there is kept under the name that is returned.
fn put_keys(place: &Path, keyring: &Keyring) -> io::Result<Option<PathBuf>> {
    let draft = Draft::of(place);
    write_private(draft.path(), keyring.to_text().as_bytes())?;
    let replaced = place.exists().then(|| unused_beside(place));
    if let Some(replaced) = &replaced {
        fs::rename(place, replaced)?;
    }
    draft.put()?;
    Ok(replaced)
}
