//! Files and folders of a data folder: private, and complete or absent.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use crate::private_file::give_to_folder_owner;
use crate::{create_private_file, private_file::folder_of, random};

/// What the name of the only draft ends with.
const UNFINISHED: &str = ".unfinished";

/// Makes a folder that only its owner can enter, unless there is one; returns those that were made, the innermost first.
pub(super) fn make_folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_dir() {
        return Ok(Vec::new());
    }
    if path.exists() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "this is not a folder"));
    }
    if let Ok(target) = fs::read_link(path) {
        let why = format!("this is a symbolic link to {}, which is not there", target.display());
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

/// The folders that were made for a purpose; gone again, as far as they are empty, unless they are kept.
#[derive(Debug)]
pub(super) struct MadeFolders {
    /// The innermost first.
    made: Vec<PathBuf>,
    /// What goes with them, if it was made for the purpose too.
    file: Option<PathBuf>,
}

impl MadeFolders {
    /// Makes a folder, and those it stands in, where they are not there.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        Ok(Self { made: make_folder(path)?, file: None })
    }

    /// The same with a file in them.
    pub(super) fn with(mut self, file: PathBuf) -> Self {
        self.file = Some(file);
        self
    }

    /// Lets them be.
    pub(super) fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        if let Some(file) = self.file.take_if(|_| !self.made.is_empty()) {
            _ = fs::remove_file(file);
        }
        // One that somebody has put something into stays, and so do those around it.
        _ = self.made.iter().try_for_each(fs::remove_dir);
    }
}

/// A file in the making, beside the place where it belongs; gone unless it is put there.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    place: PathBuf,
}

impl Draft {
    /// Chooses its name; the caller makes the file.
    pub(super) fn of(place: &Path) -> Self {
        Self { path: unused_beside(place), place: place.to_owned() }
    }

    /// Names the one draft there may be at a time, as a lock has it; what an earlier one left is gone.
    pub(super) fn only_of(place: &Path) -> io::Result<Self> {
        remove_unfinished(place)?;
        Ok(Self { path: with_ending(place, UNFINISHED), place: place.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place, over what is there.
    pub(super) fn put(self) -> io::Result<()> {
        fs::rename(&self.path, &self.place)?;
        sync_folder(&self.place)
    }

    /// Puts it in its place; returns `false` if something is there: of several the first decides.
    pub(super) fn put_first(self) -> io::Result<bool> {
        match fs::hard_link(&self.path, &self.place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&self.place).map(|()| true),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It may not be there any more, or not yet.
        for ending in ["", "-journal", "-wal", "-shm"] {
            _ = fs::remove_file(with_ending(&self.path, ending));
        }
    }
}

/// Removes what was left of the only draft, and what SQLite kept beside it, when whoever made it was killed.
pub(super) fn remove_unfinished(place: &Path) -> io::Result<()> {
    for ending in ["", "-journal", "-wal", "-shm"] {
        match fs::remove_file(with_ending(place, &format!("{UNFINISHED}{ending}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The name of the file with a random ending.
pub(super) fn unused_beside(path: &Path) -> PathBuf {
    with_ending(path, &format!(".{}", data_encoding::HEXLOWER.encode(&random::bytes::<8>())))
}

/// The path with something appended to its name.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Waits until the names in the folder of that file are on the disk.
fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(folder_of(file))?.sync_all()
}

/// Writes a new file of the folder's owner, as [`create_private_file`] makes it, and waits until it is on the disk.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = create_private_file(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Gives a folder that root has just made to the owner of the folder that contains it.
#[cfg(unix)]
fn give_folder(path: &Path) -> io::Result<()> {
    use std::{fs::Metadata, os::unix::fs::MetadataExt as _};

    let made = File::open(path)?;
    let same = |a: &Metadata, b: &Metadata| a.is_dir() && (a.dev(), a.ino()) == (b.dev(), b.ino());
    if !same(&fs::symlink_metadata(path)?, &made.metadata()?) {
        return Err(io::Error::other("another file has taken its name"));
    }
    give_to_folder_owner(&made, folder_of(path))
}
