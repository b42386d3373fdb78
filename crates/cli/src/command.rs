//! The command line, and the runtime that a command runs on.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tokio::runtime;

use crate::{
    admin::AdminCommand,
    app::AppCommand,
    backup::{Backup, Restore},
    connect::Connect,
    context::Context,
    core_dumps, dev,
    failure::{Failure, chain},
    logs, open_files,
    output::Output,
    serve::{self, Listen, Serve},
    user::UserCommand,
};

/// ChatCamp: chat connections for the users of your apps, on your own server.
#[derive(Parser)]
#[command(
    name = "chatcamp",
    version,
    after_help = "Environment:\n  \
    CHATCAMP_KEYS_FILE  the file of the master keys, instead of DIR/keys\n  \
    CHATCAMP_TOKEN      the access token for `connect`\n  \
    CHATCAMP_CORE_DUMPS 1 allows core dumps and debuggers, which can read the master keys\n  \
    CHATCAMP_LISTEN     the address to listen on, unless --listen is given\n  \
    CHATCAMP_LOG        what to log to stderr, such as `debug` or `warn,chatcamp_server=debug`"
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// The data folder.
    #[arg(long, global = true, value_name = "DIR", default_value = "./chatcamp-data")]
    data: PathBuf,
    /// Prints results as one JSON object per line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a development server with an open app that is ready to use.
    Dev(Listen),
    /// Runs a server.
    Serve(Serve),
    /// Creates and changes apps and their API keys.
    #[command(subcommand)]
    App(AppCommand),
    /// Creates and changes users.
    #[command(subcommand)]
    User(UserCommand),
    /// Sets the admin password of the dashboard.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Copies the database to a file; works while a server runs.
    Backup(Backup),
    /// Restores a backup into a data folder that no server uses.
    Restore(Restore),
    /// Connects a user and prints events.
    Connect(Connect),
}

impl CommandLine {
    /// Runs the command and closes the data folder.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut context = Context::new(Output::new(self.json), self.data);
        let serves = matches!(self.command, Command::Dev(_) | Command::Serve(_));
        logs::start(if serves { "info" } else { "warn" })?;
        core_dumps::forbid();
        let runtime = if serves {
            open_files::raise_limit();
            runtime::Builder::new_multi_thread().enable_all().build()
        } else {
            runtime::Builder::new_current_thread().enable_all().build()
        };
        let runtime = runtime.map_err(|e| Failure::because("cannot start the runtime", e))?;
        let done = runtime.block_on(async {
            let context = &context;
            match self.command {
                Command::Dev(options) => dev::run(options, context).await,
                Command::Serve(options) => serve::run(options, context).await,
                Command::App(command) => command.run(context).await,
                Command::User(command) => command.run(context).await,
                Command::Admin(command) => command.run(context).await,
                Command::Backup(command) => command.run(context),
                Command::Restore(command) => command.run(context),
                Command::Connect(command) => command.run(context).await,
            }
        });
        let closed = context.close();
        // The first failure decides the exit code; a failure to close is logged as well.
        if let (Err(_), Err(Failure::Failed(cause))) = (&done, &closed) {
            tracing::error!("{}", chain(&**cause));
        }
        done.and(closed)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        CommandLine::command().debug_assert();
    }
}
