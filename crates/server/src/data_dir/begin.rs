//! Creates the database of a new data folder, or of one that has lost its database.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use chatcamp_auth::Keyring;
use chatcamp_store::{
    prelude::*,
    sqlite::{self, FileFault, Snapshot},
};

use super::{
    DATABASE, DataDir, DataDirError, KEYRING_CHECK, KEYS, LOCK,
    files::{Draft, make_folder, unused_beside, with_ending},
    lock, read_keyring,
};
use crate::{
    create_private_file,
    private_file::{private_draft, sync_folder},
    random,
};

/// Files that show that a folder has had a database, besides its keyring and the log.
const TRACES: [&str; 3] = [LOCK, "dev.json", "admin-password.hash"];

impl DataDir {
    /// Creates a new, empty database in a folder whose database is missing or empty. No server may serve the folder.
    ///
    /// An existing keyring is kept. If a file is at the path of the database, it and its log are kept under another name, which
    /// is returned.
    ///
    /// # Errors
    /// Returns [`DataDirError::HasDatabase`] if the database is not empty, [`DataDirError::AlreadyServed`] if a server serves the
    /// folder, or another [`DataDirError`] that names the file and the reason.
    ///
    /// # Cancel safety
    /// If the future is dropped, the folder has either a complete database or none.
    pub async fn begin_anew(
        folder: &Path,
        keys_file: Option<&Path>,
    ) -> Result<Option<PathBuf>, DataDirError> {
        let of_folder = |source| DataDirError::Io { path: folder.to_owned(), source };
        make_folder(folder).map_err(of_folder)?;
        let _lock = lock(folder)?;
        let database = folder.join(DATABASE);
        let found = Snapshot::open(&database).and_then(|found| found.setting(KEYRING_CHECK));
        match found {
            Ok(Some(_)) => return Err(DataDirError::HasDatabase { data: folder.to_owned() }),
            Ok(None) => {}
            Err(source) => match FileFault::of(&source) {
                Some(FileFault::Missing { .. } | FileFault::NoData { .. }) => {}
                _ => return Err(DataDirError::Store { path: folder.to_owned(), source }),
            },
        }
        let kept = rename_old(&database).map_err(of_folder)?;
        let keys = keys_file.map_or_else(|| folder.join(KEYS), Path::to_owned);
        if keys_file.is_some() || keys.exists() {
            make_database(&database, &read_keyring(&keys)?, None).await?;
        } else {
            make_database(&database, &new_keyring(), Some(&keys)).await?;
        }
        Ok(kept)
    }
}

/// Creates keyring and database in a folder that has never had a database. Another process may do the same at the same time.
pub(super) async fn make_if_new(folder: &Path, keys_file: Option<&Path>) -> Result<(), DataDirError> {
    let database = folder.join(DATABASE);
    let keys = folder.join(KEYS);
    // Checked first, because these files are created after the database.
    let is_used = is_used(folder);
    if database.symlink_metadata().is_ok() {
        return Ok(());
    }
    match keys_file {
        Some(_) if is_used => Ok(()),
        Some(keys) => make_database(&database, &read_keyring(keys)?, None).await,
        None if keys.exists() => {
            wait_for_maker(&keys);
            Ok(())
        }
        None if is_filled(&with_ending(&database, "-wal")) => Ok(()),
        None => make_database(&database, &new_keyring(), Some(&keys)).await,
    }
}

/// Returns whether the folder has had a database.
pub(super) fn is_used(folder: &Path) -> bool {
    let log = with_ending(&folder.join(DATABASE), "-wal");
    folder.join(KEYS).exists() || is_filled(&log) || TRACES.iter().any(|name| is_filled(&folder.join(name)))
}

/// Returns whether the file exists and is not empty.
pub(super) fn is_filled(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

fn new_keyring() -> Keyring {
    Keyring::new(vec![random::bytes()]).expect("a keyring of one key is valid")
}

/// Creates a database atomically, and before it the file of its keyring, if `keys` names a new one.
///
/// Of several processes the first wins. It holds a lock on the keyring file until the database is at its final path, so that
/// [`wait_for_maker`] distinguishes an unfinished folder from one that has lost its database.
async fn make_database(database: &Path, keyring: &Keyring, keys: Option<&Path>) -> Result<(), DataDirError> {
    let failed = |source| DataDirError::Io { path: database.to_owned(), source };
    let of_store = |source| {
        let path = database.parent().unwrap_or(database).to_owned();
        DataDirError::Store { path, source }
    };
    let draft = Draft::of(database);
    create_private_file(draft.path()).map_err(failed)?;
    let store = sqlite::Store::open(draft.path()).map_err(of_store)?;
    store.setting_or_insert(KEYRING_CHECK, &keyring.check_value()).await.map_err(of_store)?;
    store.close().map_err(of_store)?;
    let Some(keys) = keys else { return draft.put_first().map(drop).map_err(failed) };

    let of_keys = |source| DataDirError::Io { path: keys.to_owned(), source };
    let keys_draft = private_draft(keys, keyring.to_text().as_bytes()).map_err(of_keys)?;
    // Where files cannot be locked, a process that comes at the same moment fails and may be run again.
    _ = keys_draft.as_file().lock();
    let _locked = match keys_draft.persist_noclobber(keys) {
        Ok(keys_file) => keys_file,
        Err(exists) if exists.error.kind() == io::ErrorKind::AlreadyExists => {
            wait_for_maker(keys);
            return Ok(());
        }
        Err(failed) => return Err(of_keys(failed.error)),
    };
    sync_folder(keys).map_err(of_keys)?;
    let put = draft.put_first().map_err(failed);
    // Without a database the keyring is useless, and the database would seem to be lost.
    put.map(drop).inspect_err(|_| drop(fs::remove_file(keys)))
}

/// Waits until the process that created this keyring file has created the database too, or has ended.
fn wait_for_maker(keys: &Path) {
    // If the file cannot be locked, there is nothing to wait for.
    _ = File::open(keys).and_then(|keys| keys.lock_shared());
}

/// Renames the files at the path of a database. Returns the new path, or `None` if there was no file.
fn rename_old(database: &Path) -> io::Result<Option<PathBuf>> {
    let name = unused_beside(database);
    let mut kept = None;
    for ending in ["", "-wal", "-shm", "-journal"] {
        match fs::rename(with_ending(database, ending), with_ending(&name, ending)) {
            Ok(()) => kept = Some(name.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}
