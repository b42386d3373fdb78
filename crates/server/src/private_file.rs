//! Files that only their owner can read.
//!
//! A file that root creates in the folder of another user is given to that user, because the server that runs as that user
//! has to read it. Files of any other user are not given away: a group may share a folder on purpose.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

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
