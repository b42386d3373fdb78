//! Changes to apps and their API keys.

use chatcamp_protocol::{AppId, OriginPattern};
use chatcamp_server::{AppFields, AuthPolicy, SessionPolicy};
use chatcamp_store::MAX_SESSIONS;

use super::{ActionError, Completed, app_id};
use crate::{
    error::{PageError, sentence},
    fields::{Fields, href},
    flash::FlashMessage,
    request::PageRequest,
};

pub(super) async fn create(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let id = match form.text("id").trim() {
        "" => None,
        id => Some(AppId::new(id).map_err(|error| ActionError::Rejected(sentence(&error)))?),
    };
    let name = form.text("name").trim();
    let created = request.services.accounts.create_app(name, auth_policy(form)?, id).await?;
    let text = "The app was created. This is its first API key. Store it where only your backend can read it: it is not \
                shown again.";
    Ok(Completed {
        next_page: href("/dashboard/app", &[("app", created.id.as_str())]),
        flash: FlashMessage::success(text).with_secret("API key", created.api_key.key),
    })
}

pub(super) async fn update(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let app = app_id(form)?;
    let fields = AppFields {
        name: Some(form.text("name").trim().to_owned()),
        auth: Some(auth_policy(form)?),
        directory: Some(form.get("directory").is_some()),
        sessions: session_policy(form)?,
        origins: origins(form)?,
        require_origin: form.get("origins").map(|_| form.get("require_origin").is_some()),
    };
    request.services.accounts.update_app(&app, fields).await?;
    Ok(on_settings_page(&app, FlashMessage::success("Saved.")))
}

pub(super) async fn create_key(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let app = app_id(form)?;
    let created = request.services.accounts.create_api_key(&app, form.text("name").trim()).await?;
    let text =
        "The API key was created. Store it where only your backend can read it: it is not shown again.";
    Ok(on_settings_page(&app, FlashMessage::success(text).with_secret("API key", created.key)))
}

pub(super) async fn revoke_key(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let app = app_id(form)?;
    request.services.accounts.revoke_api_key(&app, form.text("key")).await?;
    Ok(on_settings_page(&app, FlashMessage::success("The API key was revoked. Calls with it are refused.")))
}

/// Returns the maximum number of sessions of a user, or `None` if the form does not contain it.
fn session_policy(form: &Fields) -> Result<Option<SessionPolicy>, ActionError> {
    let policy = match form.text("sessions") {
        "" => return Ok(None),
        "unlimited" => "unlimited".parse(),
        limited => format!("{limited}:{}", form.text("most").trim()).parse(),
    };
    policy.map(Some).map_err(|_| {
        ActionError::Rejected(format!("The limit of sessions per user must be between 1 and {MAX_SESSIONS}."))
    })
}

/// Returns the origins, or `None` if the form does not contain the field.
fn origins(form: &Fields) -> Result<Option<Vec<OriginPattern>>, ActionError> {
    let Some(text) = form.get("origins") else { return Ok(None) };
    let invalid = |text, why| ActionError::Rejected(format!("The origin {text} is invalid: {why}."));
    let origins = text.split_whitespace().map(|text| text.parse().map_err(|why| invalid(text, why)));
    origins.collect::<Result<_, _>>().map(Some)
}

fn auth_policy(form: &Fields) -> Result<AuthPolicy, ActionError> {
    match form.text("auth") {
        "open" => Ok(AuthPolicy::Open),
        "token" => Ok(AuthPolicy::Token),
        "" => Err(ActionError::Rejected("Choose what users must present.".into())),
        _ => Err(ActionError::Page(PageError::bad_request("The field auth must be open or token."))),
    }
}

fn on_settings_page(app: &AppId, flash: FlashMessage) -> Completed {
    Completed { next_page: href("/dashboard/settings", &[("app", app.as_str())]), flash }
}
