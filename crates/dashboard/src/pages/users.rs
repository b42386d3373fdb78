//! The users of an app: found, and made.

use std::sync::Arc;

use chatcamp_protocol::UserId;
use chatcamp_store::{App, TokenRecord, User};
use maud::{Markup, html};

use super::{
    frame::{self, Part},
    parts,
};
use crate::{
    fault::Fault,
    fields::{Fields, href},
    gate::Ask,
    moment::{ago, until},
    reply::Reply,
    shown::Shown,
};

/// Users on a page.
const PAGE: usize = 50;

/// Users to show, and where the next page begins.
struct Found {
    users: Vec<Arc<User>>,
    more: bool,
}

pub(super) async fn show(ask: &Ask<'_>) -> Result<Reply, Fault> {
    let app = ask.app().await?;
    let id = app.id.as_str();
    let (q, after) = (ask.query.text("q").trim(), UserId::new(ask.query.text("after")).ok());
    let found = find(ask, &app, q, after.as_ref()).await?;
    let ids: Vec<_> = found.users.iter().map(|user| &user.id).collect();
    let online = ask.dashboard.server.are_online(&app.id, &ids).await?;
    let is_first = after.is_none() && q.is_empty();
    let title = format!("Users of {}", Shown(&app.name));
    Ok(frame::page(ask, &title, Some((&app, Part::Users)), |kept| {
        let nobody = found.users.is_empty() && is_first;
        html! {
            details.card.more open[nobody || kept.get("id").is_some()] {
                summary { "New user with access token" }
                (new_user(ask, &app, kept))
            }
            @if nobody {
                (parts::empty("Nobody has connected yet", html! {
                    p {
                        "Create a user here, let your backend do it, or connect one: the code is on "
                        a href=(href("/dashboard/app", &[("app", id)])) { "Connect" } "."
                    }
                }))
            } @else {
                form.search role="search" action="/dashboard/users" {
                    input type="hidden" name="app" value=(id);
                    label.unseen for="q" { "Find users by the beginning of an id or a name" }
                    input #q type="search" name="q" value=(q) maxlength="255" placeholder="Id or name"
                        autocomplete="off" spellcheck="false";
                    button { "Search" }
                }
                @if found.users.is_empty() {
                    (parts::empty("Nobody of that name", html! {
                        p {
                            "No id and no display name begins with “" (Shown(q)) "”. "
                            a href=(href("/dashboard/users", &[("app", id)])) { "All users" }
                        }
                    }))
                } @else {
                    (table(ask, &found.users, &online))
                    (next(id, q, &found))
                }
            }
        }
    }))
}

/// A page of all, or those whose id or display name begins so.
async fn find(ask: &Ask<'_>, app: &App, q: &str, after: Option<&UserId>) -> Result<Found, Fault> {
    let (accounts, store) = (&ask.dashboard.accounts, &ask.dashboard.store);
    if q.is_empty() {
        let mut users = accounts.users(&app.id, after, PAGE + 1).await?;
        let more = users.len() > PAGE;
        users.truncate(PAGE);
        return Ok(Found { users, more });
    }
    let mut users = Vec::new();
    if let Ok(id) = UserId::new(q) {
        users.extend(store.user(&app.id, &id).await?);
        let behind = store.users(&app.id, Some(&id), PAGE + 1).await?;
        users.extend(behind.into_iter().take_while(|user| user.id.as_str().starts_with(q)));
    }
    let by_name = store.users_by_name(&app.id, q, None, PAGE + 1).await?;
    for user in by_name {
        if !users.iter().any(|found| found.id == user.id) {
            users.push(user);
        }
    }
    let more = users.len() > PAGE;
    users.truncate(PAGE);
    Ok(Found { users, more })
}

fn table(ask: &Ask<'_>, users: &[Arc<User>], online: &[bool]) -> Markup {
    let now = ask.now();
    html! {
        div.card.flush {
            table.list.users {
                caption.unseen { "Users" }
                thead { tr { th scope="col" { "User" } th scope="col" { "Access" } th scope="col" { "Token" } th scope="col" { "Last seen" } } }
                tbody {
                    @for (user, &is_online) in users.iter().zip(online) {
                        @let to = href("/dashboard/user", &[("app", user.app.as_str()), ("id", user.id.as_str())]);
                        tr {
                            th scope="row" { a.who href=(to) { (who(user)) } }
                            td data-label="Access" { (access(user)) }
                            td.short data-label="Token" { span { (token(user, now)) } }
                            td.short data-label="Last seen" { span { (seen(ask, user, is_online)) } }
                        }
                    }
                }
            }
        }
    }
}

fn next(app: &str, q: &str, found: &Found) -> Markup {
    html! {
        @if let Some(last) = found.users.last().filter(|_| found.more) {
            p.pager {
                @if q.is_empty() {
                    a.button href=(href("/dashboard/users", &[("app", app), ("after", last.id.as_str())])) { "Next page" }
                } @else {
                    "There are more: type more of the name."
                }
            }
        }
    }
}

fn new_user(ask: &Ask<'_>, app: &App, kept: &Fields) -> Markup {
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
            input type="checkbox" name="locked" value="yes" checked[kept.get("id").is_none() || kept.get("locked").is_some()];
            span { "Locked: the token must be presented, even where the app is open." }
        }
        button.main { "Create user" }
    };
    parts::form(ask, "/dashboard/user/create", &[("app", app.id.as_str())], content)
}

/// The name, and the id beneath it.
pub(super) fn who(user: &User) -> Markup {
    let name = &user.profile.display_name;
    html! {
        @if name.is_empty() { bdi.name { (Shown(user.id.as_str())) } } @else { bdi.name { (Shown(name)) } bdi.id { (Shown(user.id.as_str())) } }
    }
}

/// What stands between the user and a session.
pub(super) fn access(user: &User) -> Markup {
    html! {
        span.badges {
            @if user.is_suspended { span.badge.bad { "suspended" } }
            @if user.check_access_token { span.badge.good { "locked" } } @else { span.badge { "not locked" } }
            @if user.auto_created { span.badge title="By connecting; no backend has created or claimed this user" { "came by" } }
        }
    }
}

/// What kind of token is good.
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

pub(super) fn seen(ask: &Ask<'_>, user: &User, is_online: bool) -> Markup {
    html! {
        @if is_online { span.badge.live { "online" } } @else { (ago(user.last_seen, ask.now())) }
    }
}
