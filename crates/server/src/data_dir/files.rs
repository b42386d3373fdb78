//! Creates the private files and folders of a data folder; each is complete or absent.

use std::{
    fs::{self, DirBuilder, File},
    io,
    path::{Path, PathBuf},
};

#[cfg(unix)]
use crate::private_file::give_to_folder_owner;
use crate::{
    private_file::{folder_of, sync_folder},
    random,
};

/// The suffix of a draft of [`Draft::only_of`].
const UNFINISHED: &str = ".unfinished";

/// Creates a folder that only its owner can enter, unless it exists. Returns the folders that were created, innermost first.
pub(super) fn make_folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_dir() {
        return Ok(Vec::new());
    }
    if path.exists() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "this is not a folder"));
    }
    if let Ok(target) = fs::read_link(path) {
        let why = format!("this is a symbolic link to {}, which does not exist", target.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && folder.symlink_metadata().is_err();
    let made: Vec<_> = path.ancestors().take_while(missing).map(Path::to_owned).collect();
    builder.create(path)?;
    #[cfg(unix)]
    for folder in made.iter().rev() {
        give_folder(folder)?;
    }
    Ok(made)
}

/// Folders that were created for an operation. Dropping this removes those that are empty, unless [`keep`](Self::keep) was
/// called.
#[derive(Debug)]
pub(super) struct MadeFolders {
    /// Innermost first.
    made: Vec<PathBuf>,
    /// A file that is removed with them.
    file: Option<PathBuf>,
}

impl MadeFolders {
    /// Creates a folder and the folders that contain it, unless they exist.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        Ok(Self { made: make_folder(path)?, file: None })
    }

    /// Adds a file that is removed with the folders.
    pub(super) fn with(mut self, file: PathBuf) -> Self {
        self.file = Some(file);
        self
    }

    /// Keeps the folders.
    pub(super) fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        if let Some(file) = self.file.take_if(|_| !self.made.is_empty()) {
            _ = fs::remove_file(file);
        }
        // A folder that is not empty stays, and so do the folders that contain it.
        _ = self.made.iter().try_for_each(fs::remove_dir);
    }
}

/// An unfinished database beside its final path. Dropping this removes the file unless it was moved there.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    target: PathBuf,
}

impl Draft {
    /// Chooses a name for the draft; the caller creates the file.
    pub(super) fn of(target: &Path) -> Self {
        Self { path: unused_beside(target), target: target.to_owned() }
    }

    /// Returns the only draft that may exist at a time, which a lock ensures, and removes what an earlier one left.
    pub(super) fn only_of(target: &Path) -> io::Result<Self> {
        remove_unfinished(target)?;
        Ok(Self { path: with_ending(target, UNFINISHED), target: target.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the file to its final path, and replaces a file there.
    pub(super) fn put(self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        sync_folder(&self.target)
    }

    /// Moves the file to its final path. Returns `false` if a file exists there: of several processes the first wins.
    pub(super) fn put_first(self) -> io::Result<bool> {
        match fs::hard_link(&self.path, &self.target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&self.target).map(|()| true),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // The file may have been moved or not created yet.
        for ending in ["", "-journal", "-wal", "-shm"] {
            _ = fs::remove_file(with_ending(&self.path, ending));
        }
    }
}

/// Removes the only draft and SQLite's files beside it, which a killed process may have left.
pub(super) fn remove_unfinished(target: &Path) -> io::Result<()> {
    for ending in ["", "-journal", "-wal", "-shm"] {
        match fs::remove_file(with_ending(target, &format!("{UNFINISHED}{ending}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the path with a random suffix.
pub(super) fn unused_beside(path: &Path) -> PathBuf {
    with_ending(path, &format!(".{}", data_encoding::HEXLOWER.encode(&random::bytes::<8>())))
}

/// Returns the path with a suffix.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Gives a folder that root has just created to the owner of the folder that contains it.
#[cfg(unix)]
fn give_folder(path: &Path) -> io::Result<()> {
    use std::{fs::Metadata, os::unix::fs::MetadataExt as _};

    let made = File::open(path)?;
    let same = |a: &Metadata, b: &Metadata| a.is_dir() && (a.dev(), a.ino()) == (b.dev(), b.ino());
    if !same(&fs::symlink_metadata(path)?, &made.metadata()?) {
        return Err(io::Error::other("another file has replaced it"));
    }
    give_to_folder_owner(&made, folder_of(path))
}
