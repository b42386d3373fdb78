//! The `chatcamp` binary; see the library of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    chatcamp_cli::run()
}
