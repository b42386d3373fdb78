//! Files that only their owner can read.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

/// Creates a file that only its owner can read. Fails if the file exists.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
