//! `app.*`: the app of the API key, with its settings.

use std::future::{Ready, ready};

use chatcamp_protocol::{OriginPattern, origin::MAX_ORIGINS};
use chatcamp_store::{App, AuthPolicy, SessionPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Call, Nothing,
    answer::Refusal,
    values::{Name, Origin, Sessions},
};
use crate::AppFields;

/// The settings of the app to change. A field that is absent stays unchanged.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "AppUpdate")]
pub(super) struct Update {
    /// A name for people: 1 to 255 bytes, with a visible character and without control characters. Spaces around it are removed.
    #[schemars(with = "Option<Name<255>>")]
    name: Option<String>,
    /// How users authenticate; `token` ends every session opened by user id alone.
    policy: Option<Policy>,
    /// Whether clients may list the users.
    directory: Option<bool>,
    /// How many sessions a user may have, and what happens to one more: `reject_new:3`, `evict_oldest:1`, or `unlimited`, which
    /// means the server's limit of 100.
    #[schemars(with = "Option<Sessions>")]
    sessions: Option<String>,
    /// The origins of the web pages that may connect, such as `https://shop.example`, or `https://*.shop.example` for all
    /// subdomains; an empty list accepts pages of every origin. Sessions that are connected continue.
    #[schemars(with = "Option<Vec<Origin>>", length(max = MAX_ORIGINS))]
    origins: Option<Vec<String>>,
    /// Whether clients that send no header `Origin` are refused: all but browsers.
    require_origin: Option<bool>,
}

/// `open`: a user id suffices, and unknown users are created. `token`: an access token is always required.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Policy {
    Open,
    Token,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct AppBody {
    app: AppView,
}

/// The app.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "App")]
struct AppView {
    /// For `new ChatCamp({appId})`.
    id: String,
    name: String,
    policy: Policy,
    /// Whether clients may list the users.
    directory: bool,
    /// The most users that the app may have.
    max_users: u64,
    /// How many sessions a user may have.
    #[schemars(with = "Sessions")]
    sessions: String,
    /// The origins of the web pages that may connect; empty for pages of every origin.
    #[schemars(with = "Vec<Origin>")]
    origins: Vec<String>,
    /// Whether clients that send no header `Origin` are refused.
    require_origin: bool,
    /// Unix seconds.
    created_at: u64,
}

/// `app.get`: returns the app with its settings.
pub(super) fn get(call: &Call, Nothing {}: Nothing) -> Ready<Result<AppBody, Refusal>> {
    ready(Ok(AppBody::new(&call.app)))
}

/// `app.update`: changes the given settings.
pub(super) async fn update(call: &Call, update: Update) -> Result<AppBody, Refusal> {
    let auth = update.policy.map(|policy| match policy {
        Policy::Open => AuthPolicy::Open,
        Policy::Token => AuthPolicy::Token,
    });
    let sessions = update.sessions.map(|text| text.parse::<SessionPolicy>()).transpose();
    let sessions = sessions.map_err(|why| Refusal::invalid("sessions", why))?;
    let fields = AppFields {
        name: update.name,
        auth,
        directory: update.directory,
        sessions,
        origins: update.origins.map(|origins| parsed(&origins)).transpose()?,
        require_origin: update.require_origin,
    };
    Ok(AppBody::new(&*call.accounts().update_app(&call.app.id, fields).await?))
}

fn parsed(origins: &[String]) -> Result<Vec<OriginPattern>, Refusal> {
    let invalid = |at, why| Refusal::invalid("origins", format_args!("item {}: {why}", at + 1));
    origins.iter().enumerate().map(|(at, text)| text.parse().map_err(|why| invalid(at, why))).collect()
}

impl AppBody {
    fn new(app: &App) -> Self {
        Self {
            app: AppView {
                id: app.id.to_string(),
                name: app.name.clone(),
                policy: match app.auth {
                    AuthPolicy::Open => Policy::Open,
                    AuthPolicy::Token => Policy::Token,
                },
                directory: app.directory,
                max_users: app.max_users,
                sessions: app.sessions.to_string(),
                origins: app.origins.patterns().iter().map(ToString::to_string).collect(),
                require_origin: app.origins.is_required(),
                created_at: app.created_at,
            },
        }
    }
}
