//! The insides of the `chatcamp` binary: run a server, make apps and users, connect.
//!
//! It refuses to mix its voices: results go to stdout (with `--json` one object per line and nothing else), logs and errors
//! to stderr. It exits 0, 1 for a failure or a refusal, 2 for a mistake in how it was called.
//!
//! A library beside the binary, so that [`self_check`] is also a test; start from [`run`].
//!
//! | module | holds |
//! |---|---|
//! | `command` | the command line, and on which runtime a command runs |
//! | `app`, `user`, `backup` | what operators do |
//! | `serve`, `dev` | a server on a data folder |
//! | `connect`, `event` | a user at the terminal |
//! | [`self_check`] | the same scenarios over every transport |
//! | `context`, `dev_file`, `private_file`, `secret_input` | the data folder and its development app; secrets as given |
//! | `output`, `escape`, `failure`, `logs`, `moment` | what is printed and logged |
//! | `core_dumps`, `open_files`, `signals` | what the operating system is asked |

mod admin;
mod app;
mod backup;
mod command;
mod connect;
mod context;
mod core_dumps;
mod dev;
mod dev_file;
mod escape;
mod event;
mod failure;
mod logs;
mod moment;
mod open_files;
mod output;
mod private_file;
mod secret_input;
pub mod self_check;
mod serve;
mod signals;
mod user;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the command of this process's command line, to its end.
#[must_use]
pub fn run() -> ExitCode {
    match command::CommandLine::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
