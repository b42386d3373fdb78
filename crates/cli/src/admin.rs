//! `chatcamp admin`, and what `dev` and `serve` need of the dashboard.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use chatcamp_dashboard::{AdminPassword, Dashboard, HostName, PasswordError};
use chatcamp_server::{DataDir, Server};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{context::Context, dev_file::DevFile, failure::Failure, secret_input};

/// What can be done about the dashboard.
#[derive(Subcommand)]
pub(crate) enum AdminCommand {
    /// Sets a new admin password, and signs all browsers out of the dashboard within a second.
    Password(Password),
}

#[derive(Args)]
pub(crate) struct Password {
    /// The file that holds the password, 12 characters or more; `-` is stdin. Without it, one is made and printed.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl AdminCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Password(Password { password_file }) = self;
        let data = context.open_existing().await?;
        let password = AdminPassword::at(data.path());
        let made = match password_file {
            Some(path) => {
                password.set(&secret_input::read_password(&path)?)?;
                None
            }
            None if secret_input::is_given_on_stdin() => {
                let why = "a password on stdin is read with --password-file - only; without it, one is made, and stdin is to be a \
                           terminal or /dev/null";
                return Err(Failure::usage(why));
            }
            None => Some(password.generate()?.to_string()),
        };
        context.out.print(&PasswordSet { password: made })
    }
}

/// Makes the dashboard's password of a development server, which is kept in `dev.json` unless somebody has set another.
pub(crate) fn make_dev_password(data: &DataDir, dev: &mut DevFile) -> Result<(), Failure> {
    let password = AdminPassword::at(data.path());
    if !password.is_set()? {
        dev.dashboard_password = Some(password.generate()?.to_string());
        // At once: whatever happens next, it is found again.
        dev.write(data.path())?;
    } else if let Some(kept) = &dev.dashboard_password
        && !password.is(kept)?
    {
        tracing::info!("the admin password is not the one of dev.json any more");
        dev.dashboard_password = None;
    }
    Ok(())
}

/// Makes the dashboard of a server, reached at `listen`; `chat_url` where the chat is at another address.
pub(crate) fn dashboard(
    server: &Server,
    data: &DataDir,
    listen: SocketAddr,
    names: Vec<HostName>,
    chat_url: Option<String>,
) -> Arc<Dashboard> {
    if !listen.ip().is_loopback() {
        match names.iter().any(HostName::is_https) {
            true => tracing::warn!(
                "the dashboard answers at {listen} without TLS too: let the proxy with TLS reach that address, and nobody \
                 else; whoever is on the way reads its password"
            ),
            false => tracing::warn!(
                "the dashboard at {listen} is without TLS: whoever is on the way reads its password; put a proxy with TLS \
                 before it, and name that with --dashboard-host https://NAME"
            ),
        }
    }
    let password = AdminPassword::at(data.path());
    let dashboard = Dashboard::new(server.clone(), data.store(), data.keyring(), password, listen);
    let dashboard = dashboard.with_hosts(names);
    Arc::new(chat_url.into_iter().fold(dashboard, Dashboard::with_chat_url))
}

/// A new password; shown if nobody else knows it.
#[derive(Serialize)]
struct PasswordSet {
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

impl fmt::Display for PasswordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.password {
            Some(password) => write!(f, "The admin password is now {password}\nIt is not shown again."),
            None => write!(f, "The admin password is set"),
        }
    }
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Length => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}
