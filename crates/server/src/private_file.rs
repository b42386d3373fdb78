//! Files that only their owner can read.
//!
//! A file that root creates in the folder of another user is given to that user, because the server that runs as that user
//! has to read it. Files of any other user are not given away: a group may share a folder on purpose.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use tempfile::NamedTempFile;

/// Follows the name of a file in the names of its drafts.
const DRAFT: &str = ".draft-";

/// Creates a new file that only its owner can read.
///
/// If root creates it in the folder of another user, it belongs to that user.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if a file of that name exists, which is left alone. After any other error no file of that
/// name exists.
pub fn create_private_file(path: &Path) -> io::Result<File> {
    let file = create_own(path)?;
    #[cfg(unix)]
    give_to_folder_owner(&file, folder_of(path)).inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(file)
}

/// Writes a file that only its owner can read, and replaces a file of that name. The name always refers to a complete file: the old one
/// or the new one, also after a crash.
///
/// If root writes it in the folder of another user, it belongs to that user.
///
/// # Errors
/// The old file is unchanged, or the new one is complete but the folder may not be on disk yet.
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("secret");
/// chatcamp_server::write_private_file(&path, b"one")?;
/// chatcamp_server::write_private_file(&path, b"two")?;
/// assert_eq!(std::fs::read(&path)?, b"two");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    private_draft(path, bytes)?.persist(path)?;
    sync_folder(path)
}

/// Removes the drafts of a file that [`write_private_file`] has left because its process was killed. Call it while no other process writes
/// the file.
///
/// # Errors
/// The folder cannot be read, or a draft cannot be removed.
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir()?;
/// chatcamp_server::remove_private_drafts(&folder.path().join("secret"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn remove_private_drafts(path: &Path) -> io::Result<()> {
    let prefix = draft_prefix(path);
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn draft_prefix(path: &Path) -> OsString {
    let mut prefix = path.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    prefix.push(DRAFT);
    prefix
}

/// Writes a new file beside `path` with [`create_private_file`], and waits until it is on disk. The file is removed when dropped.
pub(crate) fn private_draft(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let draft =
        tempfile::Builder::new().prefix(&draft_prefix(path)).make_in(folder_of(path), create_private_file)?;
    draft.as_file().write_all(bytes)?;
    draft.as_file().sync_all()?;
    Ok(draft)
}

/// Waits until the names in the folder of this file are on disk.
pub(crate) fn sync_folder(file: &Path) -> io::Result<()> {
    // Windows opens no folder as a file.
    if cfg!(unix) { File::open(folder_of(file))?.sync_all() } else { Ok(()) }
}

/// Creates a new file that only the user of this process can read, whoever owns the folder.
pub(crate) fn create_own(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Returns the folder of a file.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Gives a file or folder that root has just created to the owner of the folder that contains it.
///
/// Changes the open file, not the path: the folder is not root's, so another file may have taken the name.
#[cfg(unix)]
pub(crate) fn give_to_folder_owner(made: &File, folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};

    const ROOT: u32 = 0;

    let made_by = made.metadata()?.uid();
    let folder = fs::metadata(folder)?;
    if made_by != ROOT || folder.uid() == ROOT {
        return Ok(());
    }
    fchown(made, Some(folder.uid()), Some(folder.gid())).map_err(|error| {
        let uid = folder.uid();
        let what = format!("cannot give it to the owner of the folder, run this with `sudo -u '#{uid}'`");
        io::Error::new(error.kind(), format!("{what}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_private_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for text in ["one", "two"] {
            write_private_file(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["secret"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn drafts_that_a_killed_process_left_are_removed_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let killed = private_draft(&path, b"half").unwrap().keep().unwrap();
        write_private_file(&path, b"whole").unwrap();
        fs::write(folder.path().join("secret.backup"), b"").unwrap();
        assert!(killed.1.exists());
        remove_private_drafts(&path).unwrap();
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, ["secret", "secret.backup"]);
    }

    #[test]
    fn a_private_file_that_cannot_be_moved_to_its_name_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::create_dir(&path).unwrap();
        assert!(write_private_file(&path, b"one").is_err());
        assert_eq!(names(folder.path()), ["secret"]);
        assert!(path.is_dir());
    }
}
