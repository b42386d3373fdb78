//! Results of `chatcamp app`, except those about API keys.

use std::fmt;

use chatcamp_protocol::{AppId, OriginPattern};
use chatcamp_store::App;
use serde::Serialize;

use super::{Auth, Switch};
use crate::{escape::field, rows::Column, unix_time::UnixTime};

/// The columns of `chatcamp app list`.
pub(super) const COLUMNS: &[Column] =
    &[("APP ID", 20), ("AUTH", 5), ("USERS", 8), ("CREATED", 20), ("NAME", 24)];

#[derive(Serialize)]
pub(super) struct CreatedApp {
    pub(super) app_id: AppId,
    pub(super) api_key: String,
    pub(super) name: String,
    pub(super) auth: Auth,
}

/// An app in one line.
#[derive(Serialize)]
pub(super) struct ListedApp<'a> {
    app_id: &'a AppId,
    name: &'a str,
    auth: Auth,
    directory: Switch,
    users: u64,
    max_users: u64,
    sessions: String,
    origins: Vec<&'a str>,
    require_origin: Switch,
    created_at: UnixTime,
}

#[derive(Serialize)]
pub(super) struct Policy {
    pub(super) app_id: AppId,
    pub(super) auth: Auth,
}

#[derive(Serialize)]
pub(super) struct Directory {
    pub(super) app_id: AppId,
    pub(super) directory: Switch,
}

#[derive(Serialize)]
pub(super) struct Limit {
    pub(super) app_id: AppId,
    pub(super) max_users: u64,
}

#[derive(Serialize)]
pub(super) struct Sessions {
    pub(super) app_id: AppId,
    pub(super) sessions: String,
}

#[derive(Serialize)]
pub(super) struct Origins<'a> {
    app_id: &'a AppId,
    origins: Vec<&'a str>,
    require_origin: Switch,
}

impl<'a> ListedApp<'a> {
    pub(super) fn new(app: &'a App, users: u64) -> Self {
        Self {
            app_id: &app.id,
            name: &app.name,
            auth: app.auth.into(),
            directory: app.directory.into(),
            users,
            max_users: app.max_users,
            sessions: app.sessions.to_string(),
            origins: app.origins.patterns().iter().map(OriginPattern::as_str).collect(),
            require_origin: app.origins.is_required().into(),
            created_at: UnixTime(app.created_at),
        }
    }

    /// Returns the values of [`COLUMNS`].
    pub(super) fn cells(&self) -> [String; COLUMNS.len()] {
        [
            self.app_id.to_string(),
            self.auth.to_string(),
            self.users.to_string(),
            self.created_at.to_string(),
            self.name.to_owned(),
        ]
    }
}

impl<'a> From<&'a App> for Origins<'a> {
    fn from(app: &'a App) -> Self {
        Self {
            app_id: &app.id,
            origins: app.origins.patterns().iter().map(OriginPattern::as_str).collect(),
            require_origin: app.origins.is_required().into(),
        }
    }
}

impl fmt::Display for CreatedApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "app id   {}", self.app_id)?;
        writeln!(f, "API key  {}    (shown only once)", self.api_key)?;
        write!(f, "name     {}\nauth     {}", field(&self.name), self.auth)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "auth of {} is now {}", self.app_id, self.auth)
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let can = if self.directory == Switch::On { "can" } else { "cannot" };
        write!(f, "clients {can} list the users of {}", self.app_id)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} may now have {} users", self.app_id, self.max_users)
    }
}

impl fmt::Display for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the limit on sessions per user of {} is now {}", self.app_id, self.sessions)
    }
}

impl fmt::Display for Origins<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.origins {
            [] => write!(f, "pages of every origin may connect to {}", self.app_id)?,
            origins => {
                write!(f, "pages of these origins may connect to {}:\n{}", self.app_id, origins.join("\n"))?
            }
        }
        let may = if self.require_origin == Switch::On { "may not" } else { "may" };
        write!(f, "\nclients without an origin, which are not browsers, {may} connect")
    }
}
