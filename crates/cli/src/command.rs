//! The command line, and the runtime that a command runs on.

use std::{env, path::PathBuf};

use clap::{
    ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, builder::BoolishValueParser,
};
use tokio::runtime;

use crate::{
    admin::AdminCommand,
    app::AppCommand,
    backup::{Backup, Restore},
    completions::Completions,
    connect::Connect,
    context::Context,
    core_dumps, dev,
    failure::{Failure, chain},
    logs::{self, Detail},
    open_files,
    output::Output,
    serve::{self, Listen, Serve},
    user::UserCommand,
};

/// ChatCamp: chat connections for the users of your apps, on your own server.
#[derive(Parser)]
#[command(
    name = "chatcamp",
    version,
    max_term_width = 100,
    after_help = "If stdout is not a terminal, results are bare: one value is a line; an entry of a list is a line of values with \
    tabs between them, without titles; other results with several values are lines of a name, a tab and a value.\n\n\
    Environment, besides the variables of the options:\n  \
    CHATCAMP_KEYS_FILE   the file of the master keys, instead of DIR/keys\n  \
    CHATCAMP_TOKEN       the access token for `connect`\n  \
    CHATCAMP_API_KEY     the API key for `user publish`, `user sessions` and `user disconnect`\n  \
    CHATCAMP_CORE_DUMPS  1 allows core dumps and debuggers, which can read the master keys\n  \
    CHATCAMP_LOG         what to log to stderr, such as `debug` or `warn,chatcamp_server=debug`\n\
    A variable that is empty counts as unset. An option on the command line overrides its variable."
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// The data folder.
    #[arg(long, global = true, value_name = "DIR", env = "CHATCAMP_DATA", default_value = "./chatcamp-data")]
    data: PathBuf,
    /// Prints results as one JSON object per line.
    #[arg(long, global = true, env = "CHATCAMP_JSON", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
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
    /// Prints a script that completes commands and options in a shell.
    Completions(Completions),
}

/// Returns the command line as clap knows it, without environment variables that are empty: they count as unset.
fn command() -> clap::Command {
    without_empty_variables(CommandLine::command())
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty =
        |arg: &clap::Arg| arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg })
        .mut_subcommands(without_empty_variables)
}

impl CommandLine {
    /// Parses the arguments of this process. Exits if they are invalid or ask for help.
    pub(crate) fn from_process() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Runs the command and closes the data folder.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut context = Context::new(Output::new(self.json), self.data);
        let serves = matches!(self.command, Command::Dev(_) | Command::Serve(_));
        let detail = match self.command {
            Command::Dev(_) => Detail::Activity,
            Command::Serve(_) => Detail::Info,
            _ => Detail::Warnings,
        };
        logs::start(&detail, &context.folder)?;
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
                Command::Completions(completions) => completions.run(&mut command(), context.out),
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
    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        command().debug_assert();
    }
}
