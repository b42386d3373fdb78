//! What the forms do. Each then leads to a page, which says what came of it.

mod app;
mod live;
mod user;

use std::time::Duration;

use chatcamp_protocol::{AppId, UserId};
use chatcamp_server::{AccountError, BusError};
use http::StatusCode;

use crate::{
    PATH,
    fault::{Fault, sentence},
    fields::{Fields, href},
    gate::Ask,
    note::Note,
    reply::Reply,
};

/// What came of a form, and the page that says so.
struct Done {
    to: String,
    note: Note,
}

/// Why nothing came of it.
enum No {
    /// What was filled in cannot be; the page of the form says so.
    Refused(String),
    Fault(Fault),
}

/// Does what a form asks for.
pub(crate) async fn act(path: &str, ask: &Ask<'_>, form: Fields) -> Result<Reply, Fault> {
    let outcome = match path {
        "/dashboard/app/create" => app::create(ask, &form).await,
        "/dashboard/app/update" => app::update(ask, &form).await,
        "/dashboard/key/create" => app::create_key(ask, &form).await,
        "/dashboard/key/revoke" => app::revoke_key(ask, &form).await,
        "/dashboard/user/create" => user::create(ask, &form).await,
        "/dashboard/user/suspend" => user::suspend(ask, &form, true).await,
        "/dashboard/user/restore" => user::suspend(ask, &form, false).await,
        "/dashboard/user/lock" => user::lock(ask, &form, true).await,
        "/dashboard/user/unlock" => user::lock(ask, &form, false).await,
        "/dashboard/user/show-token" => user::show_token(ask, &form).await,
        "/dashboard/user/issue-token" => user::issue_token(ask, &form).await,
        "/dashboard/user/revoke-tokens" => user::revoke_tokens(ask, &form).await,
        "/dashboard/user/delete" => user::delete(ask, &form).await,
        "/dashboard/session/end" => live::end(ask, &form).await,
        "/dashboard/session/end-all" => live::end_all(ask, &form).await,
        "/dashboard/event/publish" => live::publish(ask, &form).await,
        _ => return Err(Fault::not_found()),
    };
    let Done { to, note } = match outcome {
        Ok(done) => {
            tracing::info!(form = path, app = form.text("app"), "done from the dashboard");
            done
        }
        Err(No::Refused(why)) => {
            let to = page_of(path, &form);
            Done { to, note: Note::refused(why).keeping(form.without("form_token")) }
        }
        Err(No::Fault(fault)) => return Err(fault),
    };
    ask.dashboard.visits.leave_note(&ask.visit, &to, note);
    Ok(Reply::see(&to))
}

/// The page on which a form stands.
fn page_of(path: &str, form: &Fields) -> String {
    let (app, user) = (form.text("app"), form.text("on_user"));
    match path {
        "/dashboard/app/create" => PATH.to_owned(),
        "/dashboard/user/create" => href("/dashboard/users", &[("app", app)]),
        _ if path.starts_with("/dashboard/user/") => user_page(app, form.text("id")),
        _ if path.starts_with("/dashboard/session/") || path.starts_with("/dashboard/event/") => {
            live_page(app, user)
        }
        _ => href("/dashboard/settings", &[("app", app)]),
    }
}

fn user_page(app: &str, id: &str) -> String {
    href("/dashboard/user", &[("app", app), ("id", id)])
}

/// The page of a user's live sessions, or of all.
fn live_page(app: &str, user: &str) -> String {
    match user {
        "" => href("/dashboard/live", &[("app", app)]),
        user => user_page(app, user),
    }
}

fn app_id(form: &Fields) -> Result<AppId, No> {
    AppId::new(form.text("app")).map_err(|_| No::Fault(Fault::not_found()))
}

fn user_id(form: &Fields, field: &str) -> Result<UserId, No> {
    UserId::new(form.text(field)).map_err(|error| No::Refused(sentence(&error)))
}

/// One of the times that a form offers, in seconds; none where it offers that.
fn one_of(form: &Fields, field: &str, offered: &[(Option<Duration>, &str)]) -> Result<Option<u64>, No> {
    let said = form.text(field);
    let chosen = offered.iter().map(|(time, _)| time.map(|time| time.as_secs()));
    let mut chosen = chosen.filter(|seconds| seconds.map_or(String::new(), |s| s.to_string()) == said);
    chosen.next().ok_or_else(|| No::Fault(Fault::bad_request("The form offers no such time.")))
}

impl From<AccountError> for No {
    fn from(error: AccountError) -> Self {
        let fault = Fault::from(error);
        match fault.status {
            StatusCode::BAD_REQUEST => Self::Refused(fault.advice),
            _ => Self::Fault(fault),
        }
    }
}

impl From<BusError> for No {
    fn from(error: BusError) -> Self {
        Self::Fault(error.into())
    }
}
