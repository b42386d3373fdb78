//! Users and their tokens.

use chatcamp_protocol::{AppId, Profile, UserId};
use chatcamp_server::NewUser;

use super::{Done, No, app_id, one_of, user_id, user_page};
use crate::{
    fields::{Fields, href},
    gate::Ask,
    note::Note,
    pages::{GRACES, LIFETIMES},
    shown::Shown,
};

pub(super) async fn create(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let (app, id) = (app_id(form)?, user_id(form, "id")?);
    let profile = Profile { display_name: form.text("display_name").trim().to_owned(), ..Profile::default() };
    let new = NewUser { profile, check_access_token: form.get("locked").is_some(), ..NewUser::default() };
    let token = ask.dashboard.accounts.create_user(&app, &id, new).await?;
    let note = Note::done("The user is there. Hand this token to the app of this user, by your backend.");
    Ok(on_page(&app, &id, note.with_secret("Access token", token.expose())))
}

pub(super) async fn suspend(ask: &Ask<'_>, form: &Fields, suspended: bool) -> Result<Done, No> {
    let (app, id) = (app_id(form)?, user_id(form, "id")?);
    ask.dashboard.accounts.set_suspended(&app, &id, suspended).await?;
    let text = match suspended {
        true => "Suspended: sessions are ended, and the user cannot connect.",
        false => "Restored: the user can connect again.",
    };
    Ok(on_page(&app, &id, Note::done(text)))
}

pub(super) async fn lock(ask: &Ask<'_>, form: &Fields, locked: bool) -> Result<Done, No> {
    let (app, id) = (app_id(form)?, user_id(form, "id")?);
    ask.dashboard.accounts.set_locked(&app, &id, locked).await?;
    let text = match locked {
        true => "Locked: the user must present the token, and sessions opened without one are ended.",
        false => "Unlocked: where the app is open, the user id alone suffices.",
    };
    Ok(on_page(&app, &id, Note::done(text)))
}

pub(super) async fn show_token(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let (app, id) = (app_id(form)?, user_id(form, "id")?);
    let user = ask.dashboard.accounts.user(&app, &id).await?;
    let note = match ask.dashboard.accounts.token_of(&user) {
        Some(token) => {
            Note::done("This is the token that is good now.").with_secret("Access token", token.expose())
        }
        None => Note::refused("There is no token that could be shown. Issue a new one."),
    };
    Ok(on_page(&app, &id, note))
}

pub(super) async fn issue_token(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let (app, id) = (app_id(form)?, user_id(form, "id")?);
    let lifetime = one_of(form, "lifetime", &LIFETIMES)?;
    let grace = one_of(form, "grace", &GRACES)?.unwrap_or(0);
    let token = ask.dashboard.accounts.issue_token(&app, &id, lifetime, grace).await?;
    let note = Note::done("The new token is made. Hand it to the app of this user, by your backend.");
    Ok(on_page(&app, &id, note.with_secret("Access token", token.expose())))
}

pub(super) async fn revoke_tokens(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let (app, id) = (app_id(form)?, user_id(form, "id")?);
    ask.dashboard.accounts.revoke_tokens(&app, &id).await?;
    Ok(on_page(&app, &id, Note::done("Every token is revoked, and the sessions they opened are ended.")))
}

pub(super) async fn delete(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let (app, id) = (app_id(form)?, user_id(form, "id")?);
    ask.dashboard.accounts.delete_user(&app, &id).await?;
    let note = Note::done(format!("{} is deleted.", Shown(id.as_str())));
    Ok(Done { to: href("/dashboard/users", &[("app", app.as_str())]), note })
}

fn on_page(app: &AppId, id: &UserId, note: Note) -> Done {
    Done { to: user_page(app.as_str(), id.as_str()), note }
}
