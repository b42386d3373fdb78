//! `chatcamp completions`: scripts that complete the command line in a shell.

use clap::Args;
use clap_complete::Shell;

use crate::{failure::Failure, output::Output};

/// Arguments of `chatcamp completions`.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the script for `command`, also with `--json`.
    pub(crate) fn run(self, command: &mut clap::Command, out: Output) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "chatcamp", &mut script);
        out.write(&String::from_utf8_lossy(&script))
    }
}
