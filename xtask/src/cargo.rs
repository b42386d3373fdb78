//! Runs cargo, at the root of the workspace.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;

/// Returns the root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root of the workspace")
}

/// Returns a command that runs `args` at the root with the cargo that runs this xtask.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(args);
    cargo
}

/// Runs `command`; it prints to our output.
///
/// # Errors
///
/// If it cannot be started or fails.
pub(crate) fn succeed(mut command: Command) -> Result<(), Failure> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", line(&command)).into()) }
}

/// Returns the command line of `command`.
pub(crate) fn line(command: &Command) -> String {
    let words = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once("cargo".into()).chain(words).collect::<Vec<_>>().join(" ")
}
