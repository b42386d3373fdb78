//! Finds Chromium, and fetches the npm packages that drive it.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why the browser cannot be used.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Finds a program on `PATH`.
pub(crate) fn on_path(program: &str) -> Result<PathBuf, Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{program} is not on PATH: apt-get install {program}").into())
}

/// Fetches the npm packages of the lock file, unless they are there; one process at a time.
pub(crate) fn install_packages() -> Result<(), Failure> {
    let installing = File::create(folder().join(".installing"))?;
    installing.lock()?;
    let wanted = fs::read(folder().join("package-lock.json"))?;
    let installed = folder().join("node_modules/.installed");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let done = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder())
        .output()?;
    if !done.status.success() {
        return Err(format!("npm ci: {}: {}", done.status, String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(fs::write(installed, wanted)?)
}

/// The folder with the scripts and the packages.
pub(crate) fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser"))
}
