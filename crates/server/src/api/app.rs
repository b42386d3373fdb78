//! `app.*`: the app that the key speaks for.

use chatcamp_store::{App, AuthPolicy};
use serde::Serialize;

use super::{Call, answer::Refusal, body::Fields};
use crate::AppFields;

#[derive(Serialize)]
pub(super) struct AppBody {
    app: Shown,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    name: String,
    policy: &'static str,
    directory: bool,
    max_users: u64,
    created_at: u64,
}

/// `app.get`: the app with its settings.
pub(super) fn get(call: &Call<'_>) -> AppBody {
    AppBody::new(&call.app)
}

/// `app.update`: any of name, policy and directory.
pub(super) async fn update(call: &Call<'_>, mut fields: Fields) -> Result<AppBody, Refusal> {
    let auth = match fields.text("policy")?.as_deref() {
        None => None,
        Some("open") => Some(AuthPolicy::Open),
        Some("token") => Some(AuthPolicy::Token),
        Some(_) => return Err(Refusal::invalid("policy", "this is neither open nor token")),
    };
    let fields = AppFields { name: fields.text("name")?, auth, directory: fields.flag("directory")? };
    Ok(AppBody::new(&*call.shared.accounts.update_app(&call.app.id, fields).await?))
}

impl AppBody {
    fn new(app: &App) -> Self {
        Self {
            app: Shown {
                id: app.id.to_string(),
                name: app.name.clone(),
                policy: match app.auth {
                    AuthPolicy::Open => "open",
                    AuthPolicy::Token => "token",
                },
                directory: app.directory,
                max_users: app.max_users,
                created_at: app.created_at,
            },
        }
    }
}
