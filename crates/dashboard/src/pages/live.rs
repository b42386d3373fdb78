//! Live sessions: a region that the script keeps up to date, and events to try.

use chatcamp_protocol::{UserId, limits};
use chatcamp_server::{SessionInfo, SessionList};
use chatcamp_store::App;
use http::StatusCode;
use maud::{Markup, html};

use super::{
    frame::{self, Part},
    parts,
    snippets::needs_token,
};
use crate::{
    fault::Fault,
    fields::{Fields, href},
    gate::Ask,
    moment::ago,
    reply::Reply,
    shown::Shown,
};

/// Where the region comes from.
pub(crate) const ROWS: &str = "/dashboard/live/sessions";
/// Sessions in the region, at most; the newest.
const SHOWN: usize = 100;

pub(super) async fn show(ask: &Ask<'_>) -> Result<Reply, Fault> {
    let app = ask.app().await?;
    let sessions = newest(ask, &app, None).await?;
    let title = format!("Live sessions of {}", Shown(&app.name));
    Ok(frame::page(ask, &title, Some((&app, Part::Live)), |kept| {
        html! {
            div.columns.uneven {
                section.card {
                    h2 { "Live sessions" }
                    (region(ask, &app, None, false, &sessions))
                }
                section.card {
                    h2 { "Send an event" }
                    (publish_form(ask, &app, None, kept))
                }
            }
        }
    }))
}

/// The region alone, for a page that has the rest.
pub(super) async fn rows(ask: &Ask<'_>) -> Result<Reply, Fault> {
    let app = ask.app().await?;
    let user = match ask.query.get("user") {
        Some(user) => Some(UserId::new(user).map_err(|_| Fault::not_found())?),
        None => None,
    };
    let is_locked = match &user {
        Some(id) => ask.dashboard.store.user(&app.id, id).await?.is_some_and(|user| user.check_access_token),
        None => false,
    };
    let list = newest(ask, &app, user.as_ref()).await?;
    Ok(Reply::page(StatusCode::OK, sessions(ask, &app, user.as_ref(), is_locked, &list)))
}

/// The sessions of an app, or of one user, who may be locked; they stay up to date.
pub(super) fn region(
    ask: &Ask<'_>,
    app: &App,
    user: Option<&UserId>,
    is_locked: bool,
    list: &SessionList,
) -> Markup {
    let query = [("app", Some(app.id.as_str())), ("user", user.map(UserId::as_str))];
    let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    html! {
        div data-live=(href(ROWS, &query)) { (sessions(ask, app, user, is_locked, list)) }
        p.pulse role="status" hidden { "Updates by itself." }
        noscript { p.hint { "Reload the page to see what has changed." } }
    }
}

/// How many there are, in words.
pub(super) async fn count(ask: &Ask<'_>, app: &App) -> Result<String, Fault> {
    let total = ask.dashboard.server.newest_sessions(&app.id, None, 0).await?.total;
    Ok(parts::count(total as u64, "live session", "live sessions"))
}

/// The newest sessions of an app or a user, as many as the region shows.
pub(super) async fn newest(ask: &Ask<'_>, app: &App, user: Option<&UserId>) -> Result<SessionList, Fault> {
    Ok(ask.dashboard.server.newest_sessions(&app.id, user, SHOWN).await?)
}

fn sessions(ask: &Ask<'_>, app: &App, user: Option<&UserId>, is_locked: bool, list: &SessionList) -> Markup {
    let (all, sessions) = (list.total, &list.newest);
    let now = ask.now();
    html! {
        @if sessions.is_empty() {
            (nobody(ask, app, user, is_locked))
        } @else {
            p.hint {
                (parts::count(all as u64, "session", "sessions"))
                @if all > SHOWN { "; the newest " (SHOWN) " are shown. Those of one user are on the user’s page." }
            }
            table.list.sessions {
                caption.unseen { "Live sessions" }
                thead {
                    tr {
                        @if user.is_none() { th scope="col" { "User" } }
                        th scope="col" { "Transport" } th scope="col" { "Address" } th scope="col" { "Since" }
                        th scope="col" { span.unseen { "End" } }
                    }
                }
                tbody { @for session in sessions { (row(ask, app, session, user, now)) } }
            }
            @if let Some(user) = user.filter(|_| all > 1) {
                (parts::form(ask, "/dashboard/session/end-all", &[("app", app.id.as_str()), ("on_user", user.as_str())],
                    html! { button.danger #end-all { "End all" } }))
            }
        }
    }
}

fn row(ask: &Ask<'_>, app: &App, session: &SessionInfo, of: Option<&UserId>, now: u64) -> Markup {
    let (app, user) = (app.id.as_str(), session.user.as_str());
    let hidden = [("app", app), ("session", session.id.as_str()), ("on_user", of.map_or("", UserId::as_str))];
    let end = html! { button.danger.small #{ "end-" (session.id) } aria-label={ "End the session of " (Shown(user).to_string()) } { "End" } };
    let address = session.address.map_or_else(|| "–".to_owned(), |address| address.to_string());
    html! {
        tr {
            @if of.is_none() {
                th scope="row" {
                    a #{ "user-" (session.id) } href=(href("/dashboard/user", &[("app", app), ("id", user)])) { bdi title=(Shown(user).to_string()) { (Shown(user)) } }
                }
            }
            td data-label="Transport" { (session.transport) }
            td.address data-label="Address" { (address) }
            td data-label="Since" { (ago(session.since, now)) }
            td.act { (parts::form(ask, "/dashboard/session/end", &hidden, end)) }
        }
    }
}

fn nobody(ask: &Ask<'_>, app: &App, user: Option<&UserId>, is_locked: bool) -> Markup {
    let who = user.map_or("alice", UserId::as_str);
    let is_plain =
        who.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b)) && !who.starts_with('-');
    let token = if is_locked || needs_token(app.auth) { " --token ACCESS_TOKEN" } else { "" };
    let command = format!("chatcamp connect {who} --app {} --url {}{token}", app.id, ask.chat_url());
    parts::empty(
        "Nobody is connected",
        html! {
            p { "Connect with your app, and the session appears here." }
            @if is_plain {
                p { "Or from a terminal:" }
                div.code {
                    (parts::copy("Copy the command", &command))
                    pre tabindex="0" aria-label="Command" { code { (command) } }
                }
            }
        },
    )
}

/// The form of a test event: to one user, or to whom it says.
pub(super) fn publish_form(ask: &Ask<'_>, app: &App, user: Option<&UserId>, kept: &Fields) -> Markup {
    let (kind, data) =
        (kept.get("type").unwrap_or("test"), kept.get("data").unwrap_or(r#"{"hello": "world"}"#));
    let mut hidden = vec![("app", app.id.as_str())];
    if let Some(user) = user {
        hidden.extend([("on_user", user.as_str()), ("to", user.as_str())]);
    }
    let content = html! {
        @if user.is_none() {
            label {
                "To " span.optional { "a user id; empty for everybody who is connected" }
                input name="to" maxlength="255" spellcheck="false" autocomplete="off" autocapitalize="none" placeholder="everybody"
                    value=(kept.text("to"));
            }
        }
        label {
            "Type"
            input name="type" required maxlength=(limits::EVENT_TYPE) pattern="[a-z0-9._\\-]+" spellcheck="false" autocomplete="off"
                autocapitalize="none" value=(kind) title="a-z 0-9 . _ -";
        }
        label { "Data, as JSON" textarea name="data" rows="3" spellcheck="false" { (data) } }
        button.main { "Publish" }
    };
    parts::form(ask, "/dashboard/event/publish", &hidden, content)
}
