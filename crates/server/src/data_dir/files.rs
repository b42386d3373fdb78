//! Files that only their owner can read, whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::random;

/// Makes a folder that only its owner can enter, unless there is one.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A file in the making, beside the place where it belongs; gone unless it is put there.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    place: PathBuf,
}

impl Draft {
    /// Names it; whoever writes it makes it.
    pub(super) fn of(place: &Path) -> Self {
        Self { path: unused_beside(place), place: place.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it in its place, over what is there.
    pub(super) fn put(self) -> io::Result<()> {
        fs::rename(&self.path, &self.place)?;
        sync_folder(&self.place)
    }

    /// Puts it in its place unless something is there: of several the first decides.
    pub(super) fn put_first(self) -> io::Result<()> {
        match fs::hard_link(&self.path, &self.place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&self.place),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It may not be there any more, or not yet.
        _ = fs::remove_file(&self.path);
    }
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
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Writes a new file that only its owner can read, and waits until it is on the disk.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private().create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// To write to a file that, if it is made, only its owner can read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
