//! `chatcamp app key …`: the API keys of an app.

use std::fmt;

use chatcamp_protocol::AppId;
use clap::Subcommand;
use serde::Serialize;

use crate::{
    context::{Context, InApp},
    escape::field,
    failure::Failure,
    rows::Column,
    unix_time::UnixTime,
};

/// The columns of `chatcamp app key list`.
const COLUMNS: &[Column] = &[("KEY ID", 16), ("CREATED", 20), ("NAME", 24)];

/// Subcommands of `chatcamp app key`.
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Creates an API key, which is shown only once.
    Create {
        #[command(flatten)]
        of: InApp,
        /// A display name.
        #[arg(long, default_value = "default")]
        name: String,
    },
    /// Lists the API keys, without the keys themselves, which are not stored.
    List {
        #[command(flatten)]
        of: InApp,
    },
    /// Revokes an API key.
    Revoke {
        #[command(flatten)]
        of: InApp,
        /// The key's id, from the list.
        key_id: String,
    },
}

impl KeyCommand {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let out = context.out;
        match self {
            Self::Create { of, name } => {
                let (app, accounts) = context.open_app(of).await?;
                let key = accounts.create_api_key(&app, &name).await?;
                let name = name.trim().to_owned();
                out.print_fields(&CreatedKey { app_id: app, id: key.id, api_key: key.key, name })
            }
            Self::List { of } => {
                let (app, accounts) = context.open_app_to_read(of).await?;
                let table = out.table(COLUMNS)?;
                for key in accounts.api_keys(&app).await? {
                    let created_at = UnixTime(key.created_at);
                    let cells = [key.id.clone(), created_at.to_string(), key.name.clone()];
                    table.print(&ListedKey { id: &key.id, name: &key.name, created_at }, cells)?;
                }
                Ok(())
            }
            Self::Revoke { of, key_id } => {
                let (app, accounts) = context.open_app(of).await?;
                accounts.revoke_api_key(&app, &key_id).await?;
                out.print(&RevokedKey { app_id: app, id: key_id, revoked: true })
            }
        }
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
            "id       {}\nAPI key  {}    (shown only once)\nname     {}",
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
    created_at: UnixTime,
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
