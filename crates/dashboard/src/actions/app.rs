//! Apps and their API keys.

use chatcamp_protocol::AppId;
use chatcamp_server::{AppFields, AuthPolicy, SessionPolicy};
use chatcamp_store::MAX_SESSIONS;

use super::{Done, No, app_id};
use crate::{
    fault::{Fault, sentence},
    fields::{Fields, href},
    gate::Ask,
    note::Note,
};

pub(super) async fn create(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let id = match form.text("id").trim() {
        "" => None,
        id => Some(AppId::new(id).map_err(|error| No::Refused(sentence(&error)))?),
    };
    let created = ask.dashboard.accounts.create_app(form.text("name").trim(), policy(form)?, id).await?;
    let text = "Your app is there. This is its first API key: keep it where only your backend can read it. It is not shown \
                again.";
    Ok(Done {
        to: href("/dashboard/app", &[("app", created.id.as_str())]),
        note: Note::done(text).with_secret("API key", created.api_key.key),
    })
}

pub(super) async fn update(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let app = app_id(form)?;
    let fields = AppFields {
        name: Some(form.text("name").trim().to_owned()),
        auth: Some(policy(form)?),
        directory: Some(form.get("directory").is_some()),
        sessions: sessions(form)?,
    };
    ask.dashboard.accounts.update_app(&app, fields).await?;
    Ok(settings(&app, Note::done("Saved.")))
}

pub(super) async fn create_key(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let app = app_id(form)?;
    let created = ask.dashboard.accounts.create_api_key(&app, form.text("name").trim()).await?;
    let text = "The API key is made. Keep it where only your backend can read it. It is not shown again.";
    Ok(settings(&app, Note::done(text).with_secret("API key", created.key)))
}

pub(super) async fn revoke_key(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let app = app_id(form)?;
    ask.dashboard.accounts.revoke_api_key(&app, form.text("key")).await?;
    Ok(settings(&app, Note::done("The API key is revoked. Calls with it are refused from now on.")))
}

/// How many sessions a user may have; what it is, where the form does not say.
fn sessions(form: &Fields) -> Result<Option<SessionPolicy>, No> {
    let policy = match form.text("sessions") {
        "" => return Ok(None),
        "unlimited" => "unlimited".parse(),
        limited => format!("{limited}:{}", form.text("most").trim()).parse(),
    };
    policy.map(Some).map_err(|_| No::Refused(format!("A user may have 1 to {MAX_SESSIONS} sessions.")))
}

fn policy(form: &Fields) -> Result<AuthPolicy, No> {
    match form.text("auth") {
        "open" => Ok(AuthPolicy::Open),
        "token" => Ok(AuthPolicy::Token),
        "" => Err(No::Refused("Choose what users must present.".into())),
        _ => Err(No::Fault(Fault::bad_request("An app is open or token."))),
    }
}

fn settings(app: &AppId, note: Note) -> Done {
    Done { to: href("/dashboard/settings", &[("app", app.as_str())]), note }
}
