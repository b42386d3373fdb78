//! Commands to try next, in the form in which this process was started.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use chatcamp_protocol::AppId;

use crate::escape::shell_word;

/// The data folder if `--data` is not given.
pub(crate) const DEFAULT_FOLDER: &str = "./chatcamp-data";
/// The package of this binary, which cargo names in the environment of `cargo run`.
const PACKAGE: &str = "chatcamp-cli";

/// Returns the command line that runs `command` on the data folder, for the given app or by default the development app.
pub(crate) fn next_command(command: &str, folder: &Path, app: Option<&AppId>) -> String {
    let is_cargo_run = env::var_os("CARGO_PKG_NAME").is_some_and(|package| package == PACKAGE);
    let executable = env::current_exe().ok().filter(|_| is_cargo_run);
    let mut line = format!("{} {command}", program(executable, env::args_os().next()));
    if let Some(app) = app {
        line += &format!(" --app {}", shell_word(app.as_str()));
    }
    if folder != Path::new(DEFAULT_FOLDER) {
        line += &format!(" --data {}", shell_word(&folder.to_string_lossy()));
    }
    line
}

/// Returns how to start this program again: by cargo if that has started the `executable`, otherwise by its name or path.
fn program(executable: Option<PathBuf>, name: Option<OsString>) -> String {
    match executable {
        Some(path) if path.parent().is_some_and(|folder| folder.ends_with("release")) => {
            "cargo run --release --".into()
        }
        Some(_) => "cargo run --".into(),
        None => name.map_or_else(|| "chatcamp".into(), |name| shell_word(&name.to_string_lossy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_as_it_was_started() {
        for (executable, name, shown) in [
            (None, Some("chatcamp"), "chatcamp"),
            (None, Some("./target/debug/chatcamp"), "./target/debug/chatcamp"),
            (None, Some("/opt/my tools/chatcamp"), "'/opt/my tools/chatcamp'"),
            (None, None, "chatcamp"),
            (Some("/src/target/debug/chatcamp"), Some("target/debug/chatcamp"), "cargo run --"),
            (Some("/src/target/release/chatcamp"), Some("target/release/chatcamp"), "cargo run --release --"),
        ] {
            assert_eq!(program(executable.map(PathBuf::from), name.map(OsString::from)), shown);
        }
    }
}
