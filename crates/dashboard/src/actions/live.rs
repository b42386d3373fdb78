//! Live sessions, and events to them.

use chatcamp_server::Recipients;
use serde_json::Value;

use super::{Done, No, app_id, live_page, user_id};
use crate::{fault::sentence, fields::Fields, gate::Ask, note::Note};

pub(super) async fn end(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let app = app_id(form)?;
    let note = match ask.dashboard.server.end_session(&app, form.text("session"), false).await? {
        true => Note::done("The session is ended. Its client was told not to come back by itself."),
        false => Note::done("The session was over already."),
    };
    Ok(Done { to: live_page(app.as_str(), form.text("on_user")), note })
}

pub(super) async fn end_all(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let (app, user) = (app_id(form)?, user_id(form, "on_user")?);
    let note = match ask.dashboard.server.end_sessions(&app, &user, false).await? {
        0 => Note::done("There was no session to end."),
        ended => Note::done(format!("Ended: {}.", sessions(ended))),
    };
    Ok(Done { to: live_page(app.as_str(), user.as_str()), note })
}

pub(super) async fn publish(ask: &Ask<'_>, form: &Fields) -> Result<Done, No> {
    let app = ask.dashboard.accounts.app(&app_id(form)?).await?.id.clone();
    let to = match form.text("to") {
        "" => Recipients::All,
        _ => Recipients::Users(vec![user_id(form, "to")?]),
    };
    let data: Value = match form.text("data").trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).map_err(|error| {
            No::Refused(format!("The data is not JSON: {error}. Text needs double quotes."))
        })?,
    };
    let delivered = ask.dashboard.server.publish(&app, &to, form.text("type"), &data).await;
    let text = match delivered.map_err(|error| No::Refused(sentence(&error)))? {
        0 => "Published, but nobody it is for is connected.".to_owned(),
        delivered => format!("Delivered to {}.", sessions(delivered)),
    };
    // For the next event.
    let kept = form.only(&["to", "type", "data"]);
    Ok(Done { to: live_page(app.as_str(), form.text("on_user")), note: Note::done(text).keeping(kept) })
}

fn sessions(count: usize) -> String {
    if count == 1 { "1 session".into() } else { format!("{count} sessions") }
}
