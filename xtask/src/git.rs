//! The files that git tracks.

use std::process::Command;

use crate::cargo::root;
use crate::failure::Failure;

/// Returns the paths of the files that git tracks.
pub(crate) fn tracked() -> Result<Vec<String>, Failure> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output()?;
    if !listed.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr)).into());
    }
    let paths: Vec<String> =
        String::from_utf8(listed.stdout)?.split_terminator('\0').map(str::to_owned).collect();
    if paths.is_empty() { Err("git tracks no file here".into()) } else { Ok(paths) }
}
