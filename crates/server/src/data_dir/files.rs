//! Files that only their owner can read, whole or not at all.
//!
//! What root makes in the folder of another user belongs to that user, as the server that runs as that user has to read it.
//! Any other user's files stay that user's: a folder may be shared by a group on purpose.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::random;

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
        owner::give_folder(folder)?;
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

/// The folder of a file.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Writes a new file of the folder's owner, as [`create_private_file`] makes it, and waits until it is on the disk.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = create_private_file(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Makes a new file in a data folder, which only its owner can read.
///
/// If root makes it in the folder of another user, it belongs to that user.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is a file of that name, which is left alone; others, after which there is none.
pub fn create_private_file(path: &Path) -> io::Result<File> {
    let file = create_own(path)?;
    #[cfg(unix)]
    owner::give(&file, folder_of(path)).inspect_err(|_| drop(fs::remove_file(path)))?;
    Ok(file)
}

/// Makes a new file that only the user who runs this can read, wherever it is.
pub(super) fn create_own(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// To whom files belong.
#[cfg(unix)]
mod owner {
    use std::{
        fs::{self, File, Metadata},
        io,
        os::unix::fs::{MetadataExt as _, fchown},
        path::Path,
    };

    const ROOT: u32 = 0;

    /// Gives what root has just made to the owner of the folder.
    ///
    /// By its descriptor: another file may have taken its name, as the folder is not root's.
    pub(super) fn give(made: &File, folder: &Path) -> io::Result<()> {
        let (made_by, folder) = (made.metadata()?.uid(), fs::metadata(folder)?);
        if made_by != ROOT || folder.uid() == ROOT {
            return Ok(());
        }
        fchown(made, Some(folder.uid()), Some(folder.gid())).map_err(|error| {
            let uid = folder.uid();
            let what = format!("cannot give it to the owner of the folder, run this with `sudo -u '#{uid}'`");
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })
    }

    /// Gives a folder that root has just made to the owner of the folder around it.
    pub(super) fn give_folder(path: &Path) -> io::Result<()> {
        let made = File::open(path)?;
        let same = |a: &Metadata, b: &Metadata| a.is_dir() && (a.dev(), a.ino()) == (b.dev(), b.ino());
        if !same(&fs::symlink_metadata(path)?, &made.metadata()?) {
            return Err(io::Error::other("another file has taken its name"));
        }
        give(&made, super::folder_of(path))
    }
}
