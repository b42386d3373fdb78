//! Changes to users and their tokens.

use chatcamp_protocol::{AppId, Profile, UserId};
use chatcamp_server::NewUser;

use super::{ActionError, Completed, app_id, offered_duration, user_id, user_page};
use crate::{
    fields::{Fields, href},
    flash::FlashMessage,
    pages::{GRACE_PERIODS, LIFETIMES},
    request::PageRequest,
    visible_text::VisibleText,
};

pub(super) async fn create(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let (app, id) = app_and_user(form)?;
    let profile = Profile { display_name: form.text("display_name").trim().to_owned(), ..Profile::default() };
    let new =
        NewUser { profile, check_access_token: form.get("token_required").is_some(), ..NewUser::default() };
    let token = request.services.accounts.create_user(&app, &id, new).await?;
    let flash =
        FlashMessage::success("The user was created. Your backend passes this token to the user's app.");
    Ok(on_user_page(&app, &id, flash.with_secret("Access token", token.expose())))
}

pub(super) async fn set_suspended(
    request: &PageRequest<'_>,
    form: &Fields,
    suspended: bool,
) -> Result<Completed, ActionError> {
    let (app, id) = app_and_user(form)?;
    request.services.accounts.set_suspended(&app, &id, suspended).await?;
    let text = if suspended {
        "The user was suspended. The sessions were ended, and new ones are refused."
    } else {
        "The user was restored and can connect again."
    };
    Ok(on_user_page(&app, &id, FlashMessage::success(text)))
}

pub(super) async fn set_token_required(
    request: &PageRequest<'_>,
    form: &Fields,
    required: bool,
) -> Result<Completed, ActionError> {
    let (app, id) = app_and_user(form)?;
    request.services.accounts.set_locked(&app, &id, required).await?;
    let text = if required {
        "The user must now present its access token. Sessions that were opened without a token were ended."
    } else {
        "The user no longer needs an access token if the app is open."
    };
    Ok(on_user_page(&app, &id, FlashMessage::success(text)))
}

pub(super) async fn show_token(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let (app, id) = app_and_user(form)?;
    let user = request.services.accounts.user(&app, &id).await?;
    let flash = match request.services.accounts.token_of(&user) {
        Some(token) => {
            FlashMessage::success("This is the valid token.").with_secret("Access token", token.expose())
        }
        None => FlashMessage::rejected("The user has no token that can be shown. Issue a new one."),
    };
    Ok(on_user_page(&app, &id, flash))
}

pub(super) async fn issue_token(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let (app, id) = app_and_user(form)?;
    let lifetime = offered_duration(form, "lifetime", &LIFETIMES)?;
    let grace = offered_duration(form, "grace", &GRACE_PERIODS)?.unwrap_or(0);
    let token = request.services.accounts.issue_token(&app, &id, lifetime, grace).await?;
    let flash = FlashMessage::success("The token was issued. Your backend passes it to the user's app.");
    Ok(on_user_page(&app, &id, flash.with_secret("Access token", token.expose())))
}

pub(super) async fn revoke_tokens(
    request: &PageRequest<'_>,
    form: &Fields,
) -> Result<Completed, ActionError> {
    let (app, id) = app_and_user(form)?;
    request.services.accounts.revoke_tokens(&app, &id).await?;
    let text = "All tokens were revoked. Sessions that were opened with a token were ended.";
    Ok(on_user_page(&app, &id, FlashMessage::success(text)))
}

pub(super) async fn delete(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let (app, id) = app_and_user(form)?;
    request.services.accounts.delete_user(&app, &id).await?;
    let flash = FlashMessage::success(format!("The user {} was deleted.", VisibleText(id.as_str())));
    Ok(Completed { next_page: href("/dashboard/users", &[("app", app.as_str())]), flash })
}

fn app_and_user(form: &Fields) -> Result<(AppId, UserId), ActionError> {
    Ok((app_id(form)?, user_id(form, "id")?))
}

fn on_user_page(app: &AppId, id: &UserId, flash: FlashMessage) -> Completed {
    Completed { next_page: user_page(app.as_str(), id.as_str()), flash }
}
