//! `app.*`: the app that the key speaks for, with its settings.

use std::future::{Ready, ready};

use chatcamp_store::{App, AuthPolicy, SessionPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Call, Nothing,
    answer::Refusal,
    kinds::{Flag, Name, Sessions},
};
use crate::AppFields;

/// What is to change of the app; what is absent stays as it is.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AppUpdate")]
pub(super) struct Update {
    /// A name for people, 1 to 255 bytes, with something to see and no control characters; spaces around it are dropped.
    #[schemars(with = "Option<Name<255>>")]
    name: Option<String>,
    /// What users must present; `token` ends every session opened by user id alone.
    policy: Option<Policy>,
    /// Whether clients may list the users.
    #[schemars(with = "Option<Flag>")]
    directory: Option<bool>,
    /// How many sessions a user may have, and which gives way: `reject_new:3`, `evict_oldest:1`, or `unlimited` for no
    /// limit but the server's own, which is 100.
    #[schemars(with = "Option<Sessions>")]
    sessions: Option<String>,
}

/// `open`: the user id alone suffices, and unknown users are created. `token`: always an access token.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Policy {
    Open,
    Token,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct AppBody {
    app: Shown,
}

/// The app.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "App")]
struct Shown {
    /// For `new ChatCamp({appId})`.
    id: String,
    name: String,
    policy: Policy,
    /// Whether clients may list the users.
    directory: bool,
    /// Most users it may have.
    max_users: u64,
    /// How many sessions a user may have.
    #[schemars(with = "Sessions")]
    sessions: String,
    /// Unix seconds.
    created_at: u64,
}

/// `app.get`: the app with its settings.
pub(super) fn get(call: &Call, Nothing {}: Nothing) -> Ready<Result<AppBody, Refusal>> {
    ready(Ok(AppBody::new(&call.app)))
}

/// `app.update`: any of the settings.
pub(super) async fn update(call: &Call, update: Update) -> Result<AppBody, Refusal> {
    let auth = update.policy.map(|policy| match policy {
        Policy::Open => AuthPolicy::Open,
        Policy::Token => AuthPolicy::Token,
    });
    let sessions = update.sessions.map(|text| text.parse::<SessionPolicy>()).transpose();
    let sessions = sessions.map_err(|why| Refusal::invalid("sessions", why))?;
    let fields = AppFields { name: update.name, auth, directory: update.directory, sessions };
    Ok(AppBody::new(&*call.accounts().update_app(&call.app.id, fields).await?))
}

impl AppBody {
    fn new(app: &App) -> Self {
        Self {
            app: Shown {
                id: app.id.to_string(),
                name: app.name.clone(),
                policy: match app.auth {
                    AuthPolicy::Open => Policy::Open,
                    AuthPolicy::Token => Policy::Token,
                },
                directory: app.directory,
                max_users: app.max_users,
                sessions: app.sessions.to_string(),
                created_at: app.created_at,
            },
        }
    }
}
