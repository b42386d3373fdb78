//! One user: token, access, sessions, profile.

use std::time::Duration;

use chatcamp_protocol::{Profile, UserId};
use chatcamp_store::{App, TokenRecord, User};
use maud::{Markup, html};

use super::{
    frame::{self, Part},
    live, parts,
    users::{access, seen, token},
};
use crate::{
    fault::Fault,
    fields::href,
    gate::Ask,
    moment::{Utc, until},
    reply::Reply,
    shown::{Lines, Shown},
};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a new token may be good.
pub(crate) const LIFETIMES: [(Option<Duration>, &str); 5] = [
    (None, "never"),
    (Some(HOUR), "in an hour"),
    (Some(DAY), "in a day"),
    (Some(DAY.saturating_mul(30)), "in 30 days"),
    (Some(DAY.saturating_mul(365)), "in a year"),
];

/// How long the token before may stay good.
pub(crate) const GRACES: [(Option<Duration>, &str); 4] = [
    (None, "not at all"),
    (Some(Duration::from_secs(5 * 60)), "5 minutes"),
    (Some(HOUR), "an hour"),
    (Some(DAY), "a day"),
];

pub(super) async fn show(ask: &Ask<'_>) -> Result<Reply, Fault> {
    let app = ask.app().await?;
    let id = UserId::new(ask.query.text("id")).map_err(|_| Fault::not_found())?;
    let user = ask.dashboard.accounts.user(&app.id, &id).await?;
    let sessions = live::newest(ask, &app, Some(&user.id)).await?;
    let is_online = sessions.total > 0;
    let title = format!("{} of {}", Shown(id.as_str()), Shown(&app.name));
    Ok(frame::page(ask, &title, Some((&app, Part::Users)), |kept| {
        html! {
            p.trail { a href=(href("/dashboard/users", &[("app", app.id.as_str())])) { "← All users" } }
            div.app.person {
                h2 { bdi { (Shown(name(&user))) } }
                (access(&user)) (presence(ask, &user, is_online))
            }
            (parts::copyable("User id", id.as_str()))
            div.columns {
                div {
                    (token_card(ask, &user))
                    (access_card(ask, &app, &user))
                }
                div {
                    section.card {
                        h3 { "Live sessions" }
                        (live::region(ask, &app, Some(&user.id), user.check_access_token, &sessions))
                    }
                    section.card {
                        h3 { "Send an event" }
                        (live::publish_form(ask, &app, Some(&user.id), kept))
                    }
                    (profile_card(ask, &user, is_online))
                }
            }
        }
    }))
}

fn name(user: &User) -> &str {
    match user.profile.display_name.as_str() {
        "" => user.id.as_str(),
        name => name,
    }
}

/// Whether the user is there, in words.
fn presence(ask: &Ask<'_>, user: &User, is_online: bool) -> Markup {
    html! {
        @if is_online { (seen(ask, user, is_online)) } @else if user.last_seen == 0 { span.dim { "never seen" } } @else { span.dim { "last seen " (seen(ask, user, is_online)) } }
    }
}

fn token_card(ask: &Ask<'_>, user: &User) -> Markup {
    let (now, hidden) = (ask.now(), [("app", user.app.as_str()), ("id", user.id.as_str())]);
    let has_token = user.token != TokenRecord::None;
    html! {
        section.card {
            h3 { "Access token" }
            dl.facts {
                dt { "Token" } dd { (token(user, now)) }
                @if let Some(previous) = user.previous.as_ref().filter(|previous| previous.grace_until > now) {
                    dt { "The one before" } dd { "ends " (until(previous.grace_until, now)) }
                }
            }
            @if let TokenRecord::Derived { .. } = user.token {
                (parts::form(ask, "/dashboard/user/show-token", &hidden, html! { button { "Show token" } }))
            }
            (parts::form(ask, "/dashboard/user/issue-token", &hidden, html! {
                div.row {
                    label { "New one expires" (select("lifetime", &LIFETIMES)) }
                    @if has_token { label { "Old one stays good" (select("grace", &GRACES)) } }
                    @else { input type="hidden" name="grace" value=""; }
                }
                button.main[!has_token] { @if has_token { "Issue a new token" } @else { "Issue a token" } }
            }))
            @if has_token {
                (parts::hesitate(
                    "Revoke tokens",
                    "Every token of this user is void at once, and the sessions they opened end.",
                    parts::form(ask, "/dashboard/user/revoke-tokens", &hidden, html! { button.danger { "Revoke every token" } }),
                ))
            }
        }
    }
}

fn access_card(ask: &Ask<'_>, app: &App, user: &User) -> Markup {
    let hidden = [("app", user.app.as_str()), ("id", user.id.as_str())];
    let one = |action: &str, content: Markup| parts::form(ask, action, &hidden, content);
    html! {
        section.card {
            h3 { "Access" }
            div.setting {
                @if user.check_access_token {
                    p { strong { "Locked." } " The user must present the token." }
                    (one("/dashboard/user/unlock", html! { button { "Unlock" } }))
                } @else {
                    p {
                        strong { "Not locked." }
                        @if super::snippets::needs_token(app.auth) { " This app asks for the token all the same." }
                        @else { " The user id alone suffices." }
                    }
                    (one("/dashboard/user/lock", html! { button { "Lock" } }))
                }
            }
            div.setting {
                @if user.is_suspended {
                    p { strong { "Suspended." } " The user cannot connect." }
                    (one("/dashboard/user/restore", html! { button { "Restore" } }))
                } @else {
                    p { strong { "Not suspended." } " To suspend ends every session and shuts the user out." }
                    (one("/dashboard/user/suspend", html! { button.danger { "Suspend" } }))
                }
            }
            (parts::hesitate(
                "Delete user",
                "Profile, blocks and tokens are gone for good, and every session ends. Where the app is open, whoever \
                 connects by this id later is a new user.",
                one("/dashboard/user/delete", html! { button.danger { "Delete for good" } }),
            ))
        }
    }
}

fn profile_card(ask: &Ask<'_>, user: &User, is_online: bool) -> Markup {
    let Profile {
        display_name,
        first_name,
        last_name,
        email,
        phone_number,
        profile_url,
        avatar_url,
        data,
        metadata,
    } = &user.profile;
    let metadata = if metadata.is_empty() {
        String::new()
    } else {
        serde_json::Value::Object(metadata.clone()).to_string()
    };
    html! {
        section.card {
            h3 { "Profile" }
            dl.facts {
                @for (label, text) in [
                    ("Display name", display_name),
                    ("First name", first_name),
                    ("Last name", last_name),
                    ("E-mail", email),
                    ("Phone", phone_number),
                    ("Profile URL", profile_url),
                    ("Avatar URL", avatar_url),
                    ("Data", data),
                    ("Metadata", &metadata),
                ] {
                    @if !text.is_empty() { dt { (label) } dd { bdi.said { (Lines(text)) } } }
                }
                dt { "Created" } dd { (Utc(user.created_at)) }
                dt { "Last seen" } dd { (seen(ask, user, is_online)) }
            }
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
