//! Pages: templates that are checked at compile time and escape their values. Text of users is never rendered as a link.

mod app;
mod apps;
mod components;
mod error;
mod layout;
mod live;
mod metadata;
mod overview;
mod paging;
mod profile;
mod settings;
mod signed_out;
mod snippets;
mod time;
mod user;
mod users;

pub(crate) use self::{
    error::signed_in_error,
    signed_out::{error, invalid_link, one_time_link, sign_in},
    user::{GRACE_PERIODS, LIFETIMES},
};
use crate::{error::PageError, paths, reply::Reply, request::PageRequest};

/// Shows a page to a signed-in browser.
pub(crate) async fn show(path: &str, request: &PageRequest<'_>) -> Result<Reply, PageError> {
    match path {
        paths::HOME => overview::show(request).await,
        "/dashboard/app" => app::show(request).await,
        "/dashboard/users" => users::show(request).await,
        "/dashboard/user" => user::show(request).await,
        "/dashboard/live" => live::show(request).await,
        paths::LIVE_ROWS => live::table_only(request).await,
        "/dashboard/settings" => settings::show(request).await,
        _ => Err(PageError::not_found()),
    }
}
