//! `chatcamp admin`, and the dashboard of `dev` and `serve`.

use std::{fmt, net::SocketAddr, path::PathBuf};

use chatcamp_dashboard::{AdminPassword, Dashboard, HostName, PasswordError};
use chatcamp_server::{DataDir, PublicUrl, Server};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{context::Context, dev_file::DevFile, failure::Failure, secret_input};

/// Subcommands of `chatcamp admin`.
#[derive(Subcommand)]
pub(crate) enum AdminCommand {
    /// Sets a new admin password, and signs all browsers out of the dashboard within a second.
    Password(Password),
}

#[derive(Args)]
pub(crate) struct Password {
    /// A file with the new password, at least 12 characters; `-` is stdin. Without this option a password is generated and printed.
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
            None if secret_input::is_stdin_redirected() => {
                let why = "stdin is not a terminal; use --password-file - to read the password from stdin, or </dev/null to \
                           generate one";
                return Err(Failure::usage(why));
            }
            None => Some(password.generate()?.to_string()),
        };
        let set = PasswordSet { password: made };
        match &set.password {
            Some(password) => context.out.print_value(&set, password),
            None => context.out.print(&set),
        }
    }
}

/// Generates the dashboard password of a development server unless one is set.
///
/// A generated password is kept in `dev.json`; it is removed from there once another password has been set.
pub(crate) fn make_dev_password(data: &DataDir, dev: &mut DevFile) -> Result<(), Failure> {
    let password = AdminPassword::at(data.path());
    if !password.is_set()? {
        dev.dashboard_password = Some(password.generate()?.to_string());
        // Written at once, so that the password is not lost if a later step fails.
        dev.write(data.path())?;
    } else if let Some(kept) = &dev.dashboard_password
        && !password.is(kept)?
    {
        tracing::info!("the admin password was changed; removing the old one from dev.json");
        dev.dashboard_password = None;
    }
    Ok(())
}

/// Creates the dashboard of a server, reached at `listen`; `chat_url` is given if the chat listens at another address. `is_encrypted`
/// says that `listen` accepts TLS only.
pub(crate) fn dashboard(
    server: &Server,
    data: &DataDir,
    listen: SocketAddr,
    names: Vec<HostName>,
    chat_url: Option<String>,
    is_encrypted: bool,
) -> Dashboard {
    if !is_encrypted && !listen.ip().is_loopback() {
        let is_public_https = server.public_url().is_some_and(PublicUrl::is_https);
        if is_public_https || names.iter().any(HostName::is_https) {
            tracing::warn!(
                "the dashboard also answers at {listen} without TLS, where its password can be read on the network; make sure \
                 that only the TLS proxy can reach this address"
            );
        } else {
            tracing::warn!(
                "the dashboard at {listen} is without TLS: its password can be read on the network; use --tls-cert-file, or put a \
                 TLS proxy in front of it and name the proxy with --public-url https://NAME"
            );
        }
    }
    let password = AdminPassword::at(data.path());
    let dashboard = Dashboard::new(server.clone(), data.store(), data.keyring(), password, listen);
    let dashboard = dashboard.with_hosts(names);
    let dashboard = if is_encrypted { dashboard.with_tls() } else { dashboard };
    chat_url.into_iter().fold(dashboard, Dashboard::with_chat_url)
}

/// The result of setting a password; contains the password only if it was generated.
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
