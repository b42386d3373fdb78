//! Ending live sessions, and publishing events.

use chatcamp_server::{PublishOutcome, Recipients};
use serde_json::Value;

use super::{ActionError, Completed, app_id, live_page, user_id};
use crate::{error::sentence, fields::Fields, flash::FlashMessage, request::PageRequest};

pub(super) async fn end_session(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let app = app_id(form)?;
    let text = if request.services.server.end_session(&app, form.text("session"), false).await? {
        "The session was ended. Its client will not reconnect automatically."
    } else {
        "The session had already ended."
    };
    let next_page = live_page(app.as_str(), form.text("on_user"));
    Ok(Completed { next_page, flash: FlashMessage::success(text) })
}

pub(super) async fn end_all_sessions(
    request: &PageRequest<'_>,
    form: &Fields,
) -> Result<Completed, ActionError> {
    let app = app_id(form)?;
    let user = user_id(form, "on_user")?;
    let text = match request.services.server.end_sessions(&app, &user, false).await? {
        0 => "The user had no session.".to_owned(),
        ended => format!("Ended {}.", count(ended)),
    };
    let next_page = live_page(app.as_str(), user.as_str());
    Ok(Completed { next_page, flash: FlashMessage::success(text) })
}

pub(super) async fn publish(request: &PageRequest<'_>, form: &Fields) -> Result<Completed, ActionError> {
    let app = request.services.accounts.app(&app_id(form)?).await?.id.clone();
    let to = match form.text("to") {
        "" => Recipients::All,
        _ => Recipients::Users(vec![user_id(form, "to")?]),
    };
    let data: Value = match form.text("data").trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).map_err(|error| {
            ActionError::Rejected(format!(
                "The data is not valid JSON: {error}. Text must be in double quotes."
            ))
        })?,
    };
    let published = request.services.server.publish(&app, &to, form.text("type"), &data).await;
    let published = published.map_err(|error| ActionError::Rejected(sentence(&error)))?;
    let flash = FlashMessage::success(outcome(published)).keeping(form.only(&["to", "type", "data"]));
    Ok(Completed { next_page: live_page(app.as_str(), form.text("on_user")), flash })
}

fn outcome(published: PublishOutcome) -> String {
    match (published.delivered, published.queued) {
        (0, 0) => "Lost: no recipient has a session.".to_owned(),
        (0, 1) => "Queued for 1 session that is detached and may come back.".to_owned(),
        (0, queued) => format!("Queued for {queued} sessions that are detached and may come back."),
        (delivered, 0) => format!("Delivered to {}.", count(delivered)),
        (delivered, queued) => format!("Delivered to {}, queued for {queued}.", count(delivered)),
    }
}

fn count(sessions: usize) -> String {
    if sessions == 1 { "1 session".into() } else { format!("{sessions} sessions") }
}
