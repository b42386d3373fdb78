//! The page of a user: token, access, sessions and profile.

use std::time::Duration;

use chatcamp_protocol::UserId;
use chatcamp_store::{App, TokenRecord, User};
use maud::{Markup, html};

use super::{
    components,
    layout::{self, Tab},
    live, profile,
    time::until,
    users::{access, last_seen, token},
};
use crate::{error::PageError, reply::Reply, request::PageRequest, visible_text::VisibleText};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The offered lifetimes of a new token.
pub(crate) const LIFETIMES: [(Option<Duration>, &str); 5] = [
    (None, "never"),
    (Some(HOUR), "in 1 hour"),
    (Some(DAY), "in 1 day"),
    (Some(DAY.saturating_mul(30)), "in 30 days"),
    (Some(DAY.saturating_mul(365)), "in 1 year"),
];

/// The offered times until the previous token expires.
pub(crate) const GRACE_PERIODS: [(Option<Duration>, &str); 4] = [
    (None, "now"),
    (Some(Duration::from_secs(5 * 60)), "in 5 minutes"),
    (Some(HOUR), "in 1 hour"),
    (Some(DAY), "in 1 day"),
];

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let app = request.app().await?;
    let id = UserId::new(request.query.text("id")).map_err(|_| PageError::not_found())?;
    let user = request.services.accounts.user(&app.id, &id).await?;
    let sessions = live::newest(request, &app, Some(&user.id)).await?;
    let is_online = sessions.total > 0;
    let title = format!("{} of {}", VisibleText(id.as_str()), VisibleText(&app.name));
    Ok(layout::page(request, &title, Some((&app, Tab::Users)), |kept| {
        html! {
            p.trail { a href=(request.href("/dashboard/users", &[("app", app.id.as_str())])) { "← Users" } }
            div.app.person {
                h2 { bdi { (VisibleText(display_name(&user))) } }
                (access(&app, &user)) (presence(request, &user, is_online))
            }
            (components::copyable("User id", id.as_str()))
            div.columns {
                div {
                    (token_card(request, &user))
                    (access_card(request, &app, &user))
                }
                div {
                    section.card {
                        h3 { "Live sessions" }
                        (live::updating_table(request, &app, Some(&user.id), user.check_access_token, &sessions))
                    }
                    section.card {
                        h3 { "Send an event" }
                        (live::publish_form(request, &app, Some(&user.id), kept))
                    }
                    (profile::card(request, &user, is_online, kept))
                }
            }
        }
    }))
}

/// Returns the display name, or the id if there is no display name.
fn display_name(user: &User) -> &str {
    match user.profile.display_name.as_str() {
        "" => user.id.as_str(),
        name => name,
    }
}

/// Whether the user is online, or was last seen.
fn presence(request: &PageRequest<'_>, user: &User, is_online: bool) -> Markup {
    html! {
        @if is_online {
            (last_seen(request, user, is_online))
        } @else if user.last_seen == 0 {
            span.dim { "never seen" }
        } @else {
            span.dim { "last seen " (last_seen(request, user, is_online)) }
        }
    }
}

fn token_card(request: &PageRequest<'_>, user: &User) -> Markup {
    let now = request.now();
    let hidden = [("app", user.app.as_str()), ("id", user.id.as_str())];
    let has_token = user.token != TokenRecord::None;
    html! {
        section.card {
            h3 { "Access token" }
            dl.facts {
                dt { "Token" } dd { (token(user, now)) }
                @if let Some(previous) = user.previous.as_ref().filter(|previous| previous.grace_until > now) {
                    dt { "Previous token" } dd { "expires " (until(previous.grace_until, now)) }
                }
            }
            @if let TokenRecord::Derived { .. } = user.token {
                (components::form(request, "/dashboard/user/show-token", &hidden, html! { button { "Show token" } }))
            }
            (components::form(request, "/dashboard/user/issue-token", &hidden, html! {
                div.row {
                    label { "New token expires" (select("lifetime", &LIFETIMES)) }
                    @if has_token { label { "Previous token expires" (select("grace", &GRACE_PERIODS)) } }
                    @else { input type="hidden" name="grace" value=""; }
                }
                button.main[!has_token] { @if has_token { "Issue a new token" } @else { "Issue a token" } }
            }))
            @if has_token {
                (components::with_confirmation(
                    "Revoke tokens",
                    "All tokens of this user become invalid, and sessions that were opened with a token end.",
                    components::form(request, "/dashboard/user/revoke-tokens", &hidden, html! { button.danger { "Revoke all tokens" } }),
                ))
            }
        }
    }
}

fn access_card(request: &PageRequest<'_>, app: &App, user: &User) -> Markup {
    let hidden = [("app", user.app.as_str()), ("id", user.id.as_str())];
    let form = |action: &str, content: Markup| components::form(request, action, &hidden, content);
    html! {
        section.card {
            h3 { "Access" }
            div.setting {
                @if user.check_access_token {
                    p { strong { "Token required." } " The user must present its access token, even if the app is open." }
                    (form("/dashboard/user/allow-id-only", html! { button { "Allow the user id only" } }))
                } @else {
                    p {
                        @if super::snippets::needs_token(app.auth) {
                            strong { "Token required by the app." } " If the app becomes open, the user id will be enough."
                        } @else {
                            strong { "User id only." } " The app is open, and anyone can connect as this user."
                        }
                    }
                    (form("/dashboard/user/require-token", html! { button { "Require token" } }))
                }
            }
            div.setting {
                @if user.is_suspended {
                    p { strong { "Suspended." } " The user cannot connect." }
                    (form("/dashboard/user/restore", html! { button { "Restore" } }))
                } @else {
                    p { strong { "Not suspended." } " Suspending ends all sessions and refuses new ones." }
                    (form("/dashboard/user/suspend", html! { button.danger { "Suspend" } }))
                }
            }
            (components::with_confirmation(
                "Delete user",
                "Deletes the profile, the block list and the tokens permanently, and ends all sessions. If the app is open, \
                 connecting with this id later creates a new user.",
                form("/dashboard/user/delete", html! { button.danger { "Delete permanently" } }),
            ))
        }
    }
}

fn select(name: &str, offered: &[(Option<Duration>, &str)]) -> Markup {
    html! {
        select name=(name) {
            @for (time, text) in offered {
                option value=(time.map_or(String::new(), |time| time.as_secs().to_string())) { (text) }
            }
        }
    }
}
