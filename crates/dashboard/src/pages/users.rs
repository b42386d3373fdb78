//! The users of an app: list, search and creation.

use std::sync::Arc;

use chatcamp_protocol::UserId;
use chatcamp_store::{App, TokenRecord, User};
use maud::{Markup, html};

use super::{
    components,
    layout::{self, Tab},
    time::{ago, until},
};
use crate::{
    error::PageError, fields::Fields, reply::Reply, request::PageRequest, visible_text::VisibleText,
};

/// Number of users on a page.
const PAGE_SIZE: usize = 50;

/// The users of a page.
struct UserPage {
    users: Vec<Arc<User>>,
    has_more: bool,
}

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let app = request.app().await?;
    let id = app.id.as_str();
    let search = request.query.text("q").trim();
    let after = UserId::new(request.query.text("after")).ok();
    let found = find(request, &app, search, after.as_ref()).await?;
    let ids: Vec<_> = found.users.iter().map(|user| &user.id).collect();
    let online = request.services.server.are_online(&app.id, &ids).await?;
    let app_has_no_users = found.users.is_empty() && after.is_none() && search.is_empty();
    let title = format!("Users of {}", VisibleText(&app.name));
    Ok(layout::page(request, &title, Some((&app, Tab::Users)), |kept| {
        html! {
            details.card.more open[app_has_no_users || kept.get("id").is_some()] {
                summary { "New user with access token" }
                (new_user(request, &app, kept))
            }
            @if app_has_no_users {
                (components::empty_state("No users yet", html! {
                    p {
                        "Create a user here or from your backend, or connect: the code is on the tab "
                        a href=(request.href("/dashboard/app", &[("app", id)])) { "Connect" } "."
                    }
                }))
            } @else {
                form.search role="search" action=(request.href("/dashboard/users", &[])) {
                    input type="hidden" name="app" value=(id);
                    label.visually-hidden for="q" { "Search users by the start of their id or name" }
                    input #q type="search" name="q" value=(search) maxlength="255" placeholder="Id or name"
                        autocomplete="off" spellcheck="false";
                    button { "Search" }
                }
                @if found.users.is_empty() {
                    (components::empty_state("No matching users", html! {
                        p {
                            "No user id or display name starts with “" (VisibleText(search)) "”. "
                            a href=(request.href("/dashboard/users", &[("app", id)])) { "Show all users" }
                        }
                    }))
                } @else {
                    (table(request, &found.users, &online))
                    (next_page(request, id, search, &found))
                }
            }
        }
    }))
}

/// Finds a page of all users, or the users whose id or display name starts with `search`.
async fn find(
    request: &PageRequest<'_>,
    app: &App,
    search: &str,
    after: Option<&UserId>,
) -> Result<UserPage, PageError> {
    let store = &request.services.store;
    if search.is_empty() {
        let mut users = request.services.accounts.users(&app.id, after, PAGE_SIZE + 1).await?;
        let has_more = users.len() > PAGE_SIZE;
        users.truncate(PAGE_SIZE);
        return Ok(UserPage { users, has_more });
    }
    let mut users = Vec::new();
    if let Ok(id) = UserId::new(search) {
        users.extend(store.user(&app.id, &id).await?);
        let following = store.users(&app.id, Some(&id), PAGE_SIZE + 1).await?;
        users.extend(following.into_iter().take_while(|user| user.id.as_str().starts_with(search)));
    }
    let by_name = store.users_by_name(&app.id, search, None, PAGE_SIZE + 1).await?;
    for user in by_name {
        if !users.iter().any(|found| found.id == user.id) {
            users.push(user);
        }
    }
    let has_more = users.len() > PAGE_SIZE;
    users.truncate(PAGE_SIZE);
    Ok(UserPage { users, has_more })
}

fn table(request: &PageRequest<'_>, users: &[Arc<User>], online: &[bool]) -> Markup {
    let now = request.now();
    html! {
        div.card.flush {
            table.list.users {
                caption.visually-hidden { "Users" }
                thead {
                    tr {
                        th scope="col" { "User" } th scope="col" { "Access" }
                        th scope="col" { "Token" } th scope="col" { "Last seen" }
                    }
                }
                tbody {
                    @for (user, &is_online) in users.iter().zip(online) {
                        @let to = request.href("/dashboard/user", &[("app", user.app.as_str()), ("id", user.id.as_str())]);
                        tr {
                            th scope="row" { a.user-link href=(to) { (name_and_id(user)) } }
                            td data-label="Access" { (access(user)) }
                            td.short data-label="Token" { span { (token(user, now)) } }
                            td.short data-label="Last seen" { span { (last_seen(request, user, is_online)) } }
                        }
                    }
                }
            }
        }
    }
}

fn next_page(request: &PageRequest<'_>, app: &str, search: &str, found: &UserPage) -> Markup {
    html! {
        @if let Some(last) = found.users.last().filter(|_| found.has_more) {
            p.pager {
                @if search.is_empty() {
                    a.button href=(request.href("/dashboard/users", &[("app", app), ("after", last.id.as_str())])) { "Next page" }
                } @else {
                    "There are more matches. Enter more characters to narrow the search."
                }
            }
        }
    }
}

fn new_user(request: &PageRequest<'_>, app: &App, kept: &Fields) -> Markup {
    let content = html! {
        div.row {
            label { "User id" input name="id" required maxlength="255" spellcheck="false" autocomplete="off" autocapitalize="none"
                placeholder="alice" value=(kept.text("id")); }
            label {
                "Display name " span.optional { "optional" }
                input name="display_name" maxlength="255" placeholder="Alice" autocomplete="off" value=(kept.text("display_name"));
            }
        }
        label.check {
            input type="checkbox" name="locked" value="yes"
                checked[kept.get("id").is_none() || kept.get("locked").is_some()];
            span { "Locked: the access token is required, even if the app is open." }
        }
        button.main { "Create user" }
    };
    components::form(request, "/dashboard/user/create", &[("app", app.id.as_str())], content)
}

/// The display name, with the id below it.
fn name_and_id(user: &User) -> Markup {
    let name = &user.profile.display_name;
    html! {
        @if name.is_empty() {
            bdi.name { (VisibleText(user.id.as_str())) }
        } @else {
            bdi.name { (VisibleText(name)) } bdi.id { (VisibleText(user.id.as_str())) }
        }
    }
}

/// Badges for what restricts the user's access.
pub(super) fn access(user: &User) -> Markup {
    html! {
        span.badges {
            @if user.is_suspended { span.badge.bad { "suspended" } }
            @if user.check_access_token {
                span.badge.good title="The access token is required" { "locked" }
            } @else {
                span.badge { "not locked" }
            }
            @if user.auto_created { span.badge title="Created by connecting, not by a backend" { "auto-created" } }
        }
    }
}

/// The state of the user's token.
pub(super) fn token(user: &User, now: u64) -> Markup {
    html! {
        @match user.token {
            TokenRecord::None => span.dim { "none" },
            TokenRecord::Derived { expires_at: None } => "set, never expires",
            TokenRecord::Derived { expires_at: Some(end) } if end <= now => { span.badge.bad { "expired" } },
            TokenRecord::Derived { expires_at: Some(end) } => { "set, expires " (until(end, now)) },
            TokenRecord::Custom { .. } => "set by the backend",
        }
    }
}

pub(super) fn last_seen(request: &PageRequest<'_>, user: &User, is_online: bool) -> Markup {
    html! {
        @if is_online { span.badge.live { "online" } } @else { (ago(user.last_seen, request.now())) }
    }
}
