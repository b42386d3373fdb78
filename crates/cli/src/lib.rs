//! The implementation of the `chatcamp` binary: run a server, manage apps and users, connect.
//!
//! Results go to stdout (with `--json` one object per line and nothing else), logs and errors to stderr. The exit code is 0 for
//! success, 1 for a failure or a refusal, and 2 for invalid arguments.
//!
//! This is a library as well as a binary so that tests can use [`self_check`]; start from [`run`].
//!
//! | module | holds |
//! |---|---|
//! | `command`, `completions` | the command line, and the runtime that a command runs on |
//! | `admin`, `app`, `user`, `backup` | commands for operators |
//! | `serve`, `dev` | commands that run a server |
//! | `connect`, `typed`, `event` | connecting a user from the terminal |
//! | [`self_check`] | the same scenarios over every transport |
//! | `context`, `dev_file`, `private_file`, `secret_input` | the data folder and its development app; reading secrets |
//! | `output`, `rows`, `colour`, `escape`, `failure`, `unix_time` | printing |
//! | `logs`, `activity` | logging |
//! | `core_dumps`, `invocation`, `open_files`, `signals` | the operating system |

mod activity;
mod admin;
mod app;
mod backup;
mod certificates;
mod colour;
mod command;
mod completions;
mod connect;
mod context;
mod core_dumps;
mod dev;
mod dev_file;
mod escape;
mod event;
mod failure;
mod invocation;
mod logs;
mod network;
mod open_files;
mod output;
mod private_file;
mod proxies;
mod rows;
mod secret_input;
pub mod self_check;
mod serve;
mod signals;
mod typed;
mod unix_time;
mod user;

use std::process::ExitCode;

/// Runs the command given by the arguments of this process, and returns its exit code.
#[must_use]
pub fn run() -> ExitCode {
    match command::CommandLine::from_process().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
