//! `chatcamp app …`: apps and their API keys.

use std::fmt;

use chatcamp_protocol::AppId;
use chatcamp_server::{AuthPolicy, SessionPolicy};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use crate::{context::Context, escape::field, failure::Failure, moment::Moment};

/// What to do with apps.
#[derive(Subcommand)]
pub(crate) enum AppCommand {
    /// Creates an app with its first API key, which is shown once.
    Create {
        /// A name for people.
        name: String,
        /// What users must present: their id alone, or always an access token.
        #[arg(long)]
        auth: Auth,
        /// Keeps an app id from elsewhere; one is generated otherwise.
        #[arg(long, value_name = "APP_ID")]
        id: Option<AppId>,
    },
    /// Lists the apps.
    List,
    /// Switches what users must present.
    Policy {
        /// The app id.
        app: AppId,
        /// Switching to `token` ends the sessions opened by user id alone.
        #[arg(long)]
        auth: Auth,
    },
    /// Sets whether clients may list the app's users.
    Directory {
        /// The app id.
        app: AppId,
        /// With `off`, clients that ask for a list are refused.
        switch: Switch,
    },
    /// Sets how many users the app may have.
    Limit {
        /// The app id.
        app: AppId,
        /// So many; a lower limit removes nobody.
        max_users: u64,
    },
    /// Sets how many sessions a user of the app may have.
    Sessions {
        /// The app id.
        app: AppId,
        /// `reject_new:N`, `evict_oldest:N`, or `unlimited` for no limit but the server's own, which is 100.
        policy: SessionPolicy,
    },
    /// Makes, lists and revokes API keys, with which backends speak for an app.
    #[command(subcommand)]
    Key(KeyCommand),
}

/// What to do with API keys.
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Creates an API key, which is shown once.
    Create {
        /// The app id.
        app: AppId,
        /// A name for people.
        #[arg(long, default_value = "default")]
        name: String,
    },
    /// Lists the API keys; they themselves are not kept.
    List {
        /// The app id.
        app: AppId,
    },
    /// Revokes an API key.
    Revoke {
        /// The app id.
        app: AppId,
        /// The key's id, from the list.
        key_id: String,
    },
}

/// What users must present.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    /// The user id; an access token where the user has one. Unknown users are created.
    Open,
    /// Always an access token. Unknown users are refused.
    Token,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

impl AppCommand {
    /// Runs the command.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let out = context.out;
        match self {
            Self::Create { name, auth, id } => {
                let accounts = context.open().await?.accounts();
                let app = accounts.create_app(&name, auth.into(), id).await?;
                let name = name.trim().to_owned();
                out.print(&CreatedApp { app_id: app.id, api_key: app.api_key.key, name, auth })
            }
            Self::List => {
                let data = context.open_to_read().await?;
                for app in data.accounts().apps().await? {
                    out.print(&ListedApp {
                        app_id: &app.id,
                        name: &app.name,
                        auth: app.auth.into(),
                        directory: if app.directory { Switch::On } else { Switch::Off },
                        users: data.store().user_count(&app.id).await?,
                        max_users: app.max_users,
                        sessions: app.sessions.to_string(),
                        created_at: Moment(app.created_at),
                    })?;
                }
                Ok(())
            }
            Self::Policy { app, auth } => {
                context.open_existing().await?.accounts().set_policy(&app, auth.into()).await?;
                out.print(&Policy { app_id: app, auth })
            }
            Self::Directory { app, switch } => {
                let accounts = context.open_existing().await?.accounts();
                accounts.set_directory(&app, switch == Switch::On).await?;
                out.print(&Directory { app_id: app, directory: switch })
            }
            Self::Limit { app, max_users } => {
                context.open_existing().await?.accounts().set_max_users(&app, max_users).await?;
                out.print(&Limit { app_id: app, max_users })
            }
            Self::Sessions { app, policy } => {
                context.open_existing().await?.accounts().set_sessions(&app, policy).await?;
                out.print(&Sessions { app_id: app, sessions: policy.to_string() })
            }
            Self::Key(command) => command.run(context).await,
        }
    }
}

impl KeyCommand {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let out = context.out;
        let data = match self {
            Self::List { .. } => context.open_to_read().await?,
            Self::Create { .. } | Self::Revoke { .. } => context.open_existing().await?,
        };
        let accounts = data.accounts();
        match self {
            Self::Create { app, name } => {
                let key = accounts.create_api_key(&app, &name).await?;
                let name = name.trim().to_owned();
                out.print(&CreatedKey { app_id: app, id: key.id, api_key: key.key, name })
            }
            Self::List { app } => {
                for key in accounts.api_keys(&app).await? {
                    out.print(&ListedKey {
                        id: &key.id,
                        name: &key.name,
                        created_at: Moment(key.created_at),
                    })?;
                }
                Ok(())
            }
            Self::Revoke { app, key_id } => {
                accounts.revoke_api_key(&app, &key_id).await?;
                out.print(&RevokedKey { app_id: app, id: key_id, revoked: true })
            }
        }
    }
}

impl From<Auth> for AuthPolicy {
    fn from(auth: Auth) -> Self {
        match auth {
            Auth::Open => Self::Open,
            Auth::Token => Self::Token,
        }
    }
}

impl From<AuthPolicy> for Auth {
    fn from(policy: AuthPolicy) -> Self {
        match policy {
            AuthPolicy::Open => Self::Open,
            AuthPolicy::Token => Self::Token,
        }
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Token => "token",
        })
    }
}

#[derive(Serialize)]
struct CreatedApp {
    app_id: AppId,
    api_key: String,
    name: String,
    auth: Auth,
}

impl fmt::Display for CreatedApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "app id   {}", self.app_id)?;
        writeln!(f, "API key  {}    (shown this once)", self.api_key)?;
        write!(f, "name     {}\nauth     {}", field(&self.name), self.auth)
    }
}

#[derive(Serialize)]
struct ListedApp<'a> {
    app_id: &'a AppId,
    name: &'a str,
    auth: Auth,
    directory: Switch,
    users: u64,
    max_users: u64,
    sessions: String,
    created_at: Moment,
}

impl fmt::Display for ListedApp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app_id, name, auth, users, created_at, .. } = self;
        let name = field(name);
        write!(f, "{app_id:<20}  {auth:<5}  {users:>8} users  {created_at}  {name}", app_id = app_id.as_str())
    }
}

#[derive(Serialize)]
struct Policy {
    app_id: AppId,
    auth: Auth,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "auth of {} is now {}", self.app_id, self.auth)
    }
}

#[derive(Serialize)]
struct Directory {
    app_id: AppId,
    directory: Switch,
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let can = if self.directory == Switch::On { "can" } else { "cannot" };
        write!(f, "clients {can} list the users of {}", self.app_id)
    }
}

#[derive(Serialize)]
struct Limit {
    app_id: AppId,
    max_users: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} may now have {} users", self.app_id, self.max_users)
    }
}

#[derive(Serialize)]
struct Sessions {
    app_id: AppId,
    sessions: String,
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sessions of a user of {}: {}", self.app_id, self.sessions)
    }
}

#[derive(Serialize)]
struct CreatedKey {
    app_id: AppId,
    id: String,
    api_key: String,
    name: String,
}

impl fmt::Display for CreatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "id       {}\nAPI key  {}    (shown this once)\nname     {}",
            self.id,
            self.api_key,
            field(&self.name)
        )
    }
}

#[derive(Serialize)]
struct ListedKey<'a> {
    id: &'a str,
    name: &'a str,
    created_at: Moment,
}

impl fmt::Display for ListedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  {}", self.id, self.created_at, field(self.name))
    }
}

#[derive(Serialize)]
struct RevokedKey {
    app_id: AppId,
    id: String,
    revoked: bool,
}

impl fmt::Display for RevokedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "API key {} of {} is revoked", self.id, self.app_id)
    }
}
