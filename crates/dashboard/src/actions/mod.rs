//! What forms change. Each action then redirects to a page, which shows the outcome.

mod app;
mod live;
mod profile;
mod user;

use std::time::Duration;

use chatcamp_protocol::{AppId, UserId};
use chatcamp_server::{AccountError, BusError};
use http::StatusCode;

use crate::{
    error::{PageError, sentence},
    fields::{Fields, href},
    flash::FlashMessage,
    paths,
    reply::Reply,
    request::PageRequest,
};

/// A completed action: the next page and its message.
struct Completed {
    next_page: String,
    flash: FlashMessage,
}

/// Why an action was not carried out.
enum ActionError {
    /// A field is invalid; the page of the form says which.
    Rejected(String),
    /// A field is invalid; the page of the form says so beside the field too.
    InvalidField {
        field: &'static str,
        reason: String,
    },
    Page(PageError),
}

/// Carries out the action of a form.
pub(crate) async fn act(path: &str, request: &PageRequest<'_>, form: Fields) -> Result<Reply, PageError> {
    let outcome = match path {
        "/dashboard/app/create" => app::create(request, &form).await,
        "/dashboard/app/update" => app::update(request, &form).await,
        "/dashboard/key/create" => app::create_key(request, &form).await,
        "/dashboard/key/revoke" => app::revoke_key(request, &form).await,
        "/dashboard/user/create" => user::create(request, &form).await,
        "/dashboard/user/profile" => profile::update(request, &form).await,
        "/dashboard/user/suspend" => user::set_suspended(request, &form, true).await,
        "/dashboard/user/restore" => user::set_suspended(request, &form, false).await,
        "/dashboard/user/require-token" => user::set_token_required(request, &form, true).await,
        "/dashboard/user/allow-id-only" => user::set_token_required(request, &form, false).await,
        "/dashboard/user/show-token" => user::show_token(request, &form).await,
        "/dashboard/user/issue-token" => user::issue_token(request, &form).await,
        "/dashboard/user/revoke-tokens" => user::revoke_tokens(request, &form).await,
        "/dashboard/user/delete" => user::delete(request, &form).await,
        "/dashboard/session/end" => live::end_session(request, &form).await,
        "/dashboard/session/end-all" => live::end_all_sessions(request, &form).await,
        "/dashboard/event/publish" => live::publish(request, &form).await,
        _ => return Err(PageError::not_found()),
    };
    let Completed { next_page, flash } = match outcome {
        Ok(completed) => {
            tracing::info!(form = path, app = form.text("app"), "changed from the dashboard");
            completed
        }
        Err(ActionError::Rejected(reason)) => {
            let next_page = page_of_form(path, &form);
            let flash = FlashMessage::rejected(reason).keeping(form.without("form_token"));
            Completed { next_page, flash }
        }
        Err(ActionError::InvalidField { field, reason }) => {
            let next_page = page_of_form(path, &form);
            let flash = FlashMessage::rejected(reason).keeping(form.without("form_token")).about(field);
            Completed { next_page, flash }
        }
        Err(ActionError::Page(error)) => return Err(error),
    };
    request.set_flash(&next_page, flash);
    Ok(Reply::see_other(&request.root.to(&next_page)))
}

/// Returns the page that contains a form.
fn page_of_form(path: &str, form: &Fields) -> String {
    let app = form.text("app");
    match path {
        "/dashboard/app/create" => paths::HOME.to_owned(),
        "/dashboard/user/create" => href("/dashboard/users", &[("app", app)]),
        _ if path.starts_with("/dashboard/user/") => user_page(app, form.text("id")),
        _ if path.starts_with("/dashboard/session/") || path.starts_with("/dashboard/event/") => {
            live_page(app, form.text("on_user"))
        }
        _ => href("/dashboard/settings", &[("app", app)]),
    }
}

fn user_page(app: &str, id: &str) -> String {
    href("/dashboard/user", &[("app", app), ("id", id)])
}

/// Returns the page with the live sessions of a user, or of all users if `user` is empty.
fn live_page(app: &str, user: &str) -> String {
    match user {
        "" => href("/dashboard/live", &[("app", app)]),
        user => user_page(app, user),
    }
}

fn app_id(form: &Fields) -> Result<AppId, ActionError> {
    AppId::new(form.text("app")).map_err(|_| ActionError::Page(PageError::not_found()))
}

fn user_id(form: &Fields, field: &str) -> Result<UserId, ActionError> {
    UserId::new(form.text(field)).map_err(|error| ActionError::Rejected(sentence(&error)))
}

/// Returns the chosen duration in seconds, which must be one that the form offers.
fn offered_duration(
    form: &Fields,
    field: &str,
    offered: &[(Option<Duration>, &str)],
) -> Result<Option<u64>, ActionError> {
    let submitted = form.text(field);
    let mut seconds = offered.iter().map(|(duration, _)| duration.map(|duration| duration.as_secs()));
    seconds
        .find(|seconds| seconds.map_or(String::new(), |seconds| seconds.to_string()) == submitted)
        .ok_or_else(|| {
            ActionError::Page(PageError::bad_request(format!("The form does not offer this {field}.")))
        })
}

impl From<AccountError> for ActionError {
    fn from(error: AccountError) -> Self {
        let error = PageError::from(error);
        match error.status {
            StatusCode::BAD_REQUEST => Self::Rejected(error.advice),
            _ => Self::Page(error),
        }
    }
}

impl From<BusError> for ActionError {
    fn from(error: BusError) -> Self {
        Self::Page(error.into())
    }
}
