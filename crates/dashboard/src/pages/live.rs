//! Live sessions, in a table that the script reloads, and a form to send events.

use chatcamp_protocol::{UserId, limits};
use chatcamp_server::{SessionInfo, SessionList};
use chatcamp_store::App;
use http::StatusCode;
use maud::{Markup, html};

use super::{
    components,
    layout::{self, Tab},
    paging::Paging,
    snippets::needs_token,
    time::ago,
};
use crate::{
    error::PageError, flash::Kept, paths, reply::Reply, request::PageRequest, visible_text::VisibleText,
};

/// Number of sessions on a page, newest first.
const PAGE_SIZE: usize = 100;

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let app = request.app().await?;
    let list = newest(request, &app, None).await?;
    let paging = Paging::of(request, PAGE_SIZE);
    let online = request.href("/dashboard/users", &[("app", app.id.as_str()), ("show", "online")]);
    let title = format!("Live sessions of {}", VisibleText(&app.name));
    Ok(layout::page(request, &title, Some((&app, Tab::Live)), |kept| {
        html! {
            div.columns.uneven {
                section.card {
                    h2 { "Live sessions" }
                    p.hint { "Sessions with a connection. Detached sessions are not listed. " a href=(online) { "Search the online users" } }
                    (updating_table(request, &app, None, false, &list))
                    (paging.links(request, "/dashboard/live", &[("app", app.id.as_str())], list.total))
                }
                section.card {
                    h2 { "Send an event" }
                    (publish_form(request, &app, None, kept))
                }
            }
        }
    }))
}

/// The table alone, which the script inserts into the page.
pub(super) async fn table_only(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let app = request.app().await?;
    let user = match request.query.get("user") {
        Some(user) => Some(UserId::new(user).map_err(|_| PageError::not_found())?),
        None => None,
    };
    let requires_token = match &user {
        Some(id) => {
            request.services.store.user(&app.id, id).await?.is_some_and(|user| user.check_access_token)
        }
        None => false,
    };
    let list = newest(request, &app, user.as_ref()).await?;
    Ok(Reply::page(StatusCode::OK, sessions(request, &app, user.as_ref(), requires_token, &list)))
}

/// The sessions of an app or of one user, which the script keeps up to date.
pub(super) fn updating_table(
    request: &PageRequest<'_>,
    app: &App,
    user: Option<&UserId>,
    requires_token: bool,
    list: &SessionList,
) -> Markup {
    let page = Paging::of(request, PAGE_SIZE).value();
    let query =
        [("app", Some(app.id.as_str())), ("user", user.map(UserId::as_str)), ("page", page.as_deref())];
    let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    html! {
        div data-live=(request.href(paths::LIVE_ROWS, &query)) { (sessions(request, app, user, requires_token, list)) }
        p.refresh-status role="status" hidden { "Updates automatically." }
        noscript { p.hint { "Reload the page to update the list." } }
    }
}

/// The number of live sessions of an app, with its noun.
pub(super) async fn count(request: &PageRequest<'_>, app: &App) -> Result<String, PageError> {
    let total = request.services.server.newest_sessions(&app.id, None, 0).await?.total;
    Ok(components::count(total as u64, "live session", "live sessions"))
}

/// Returns the sessions of an app or a user that are on the requested page.
pub(super) async fn newest(
    request: &PageRequest<'_>,
    app: &App,
    user: Option<&UserId>,
) -> Result<SessionList, PageError> {
    let paging = Paging::of(request, PAGE_SIZE);
    let mut list = request.services.server.newest_sessions(&app.id, user, paging.end()).await?;
    list.newest.drain(..paging.skip().min(list.newest.len()));
    Ok(list)
}

fn sessions(
    request: &PageRequest<'_>,
    app: &App,
    user: Option<&UserId>,
    requires_token: bool,
    list: &SessionList,
) -> Markup {
    let total = list.total;
    let now = request.now();
    html! {
        @if total == 0 {
            (no_sessions(request, app, user, requires_token))
        } @else {
            p.hint {
                (components::count(total as u64, "session", "sessions"))
                @if list.newest.len() < total { ", newest first" }
            }
            table.list.sessions {
                caption.visually-hidden { "Live sessions" }
                thead {
                    tr {
                        @if user.is_none() { th scope="col" { "User" } }
                        th scope="col" { "Transport" } th scope="col" { "Address" } th scope="col" { "Since" }
                        th scope="col" { span.visually-hidden { "End" } }
                    }
                }
                tbody { @for session in &list.newest { (row(request, app, session, user, now)) } }
            }
            @if let Some(user) = user.filter(|_| total > 1) {
                (components::form(request, "/dashboard/session/end-all", &[("app", app.id.as_str()), ("on_user", user.as_str())],
                    html! { button.danger #end-all { "End all sessions" } }))
            }
        }
    }
}

fn row(request: &PageRequest<'_>, app: &App, session: &SessionInfo, of: Option<&UserId>, now: u64) -> Markup {
    let app = app.id.as_str();
    let user = session.user.as_str();
    let hidden = [("app", app), ("session", session.id.as_str()), ("on_user", of.map_or("", UserId::as_str))];
    let visible_user = VisibleText(user).to_string();
    let end = html! {
        button.danger.small #{ "end-" (session.id) } aria-label={ "End the session of " (visible_user) } { "End" }
    };
    let address = session.address.map_or_else(|| "–".to_owned(), |address| address.to_string());
    html! {
        tr {
            @if of.is_none() {
                th.main scope="row" {
                    a #{ "user-" (session.id) } href=(request.href("/dashboard/user", &[("app", app), ("id", user)])) {
                        bdi title=(visible_user) { (VisibleText(user)) }
                    }
                }
            }
            td data-label="Transport" { (session.transport) }
            td data-label="Address" { (address) }
            td data-label="Since" { (ago(session.since, now)) }
            td.act { (components::form(request, "/dashboard/session/end", &hidden, end)) }
        }
    }
}

fn no_sessions(request: &PageRequest<'_>, app: &App, user: Option<&UserId>, requires_token: bool) -> Markup {
    let id = user.map_or("alice", UserId::as_str);
    let needs_no_quotes =
        id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b)) && !id.starts_with('-');
    let token = if requires_token || needs_token(app.auth) { " --token ACCESS_TOKEN" } else { "" };
    let command = format!("chatcamp connect {id} --app {} --url {}{token}", app.id, request.chat_url());
    components::empty_state(
        "No live sessions",
        html! {
            p { "Connect with your app: the session appears here." }
            @if needs_no_quotes {
                p { "Or from a terminal:" }
                div.code data-guessed-url=[request.guessed_url()] {
                    (components::copy_button("Copy the command", &command))
                    pre tabindex="0" aria-label="Command" { code { (command) } }
                }
            }
        },
    )
}

/// The form for a test event, to `user` or to recipients that the form names.
pub(super) fn publish_form(
    request: &PageRequest<'_>,
    app: &App,
    user: Option<&UserId>,
    kept: &Kept,
) -> Markup {
    let event_type = kept.get("type").unwrap_or("test");
    let data = kept.get("data").unwrap_or(r#"{"hello": "world"}"#);
    let mut hidden = vec![("app", app.id.as_str())];
    if let Some(user) = user {
        hidden.extend([("on_user", user.as_str()), ("to", user.as_str())]);
    }
    let content = html! {
        @if user.is_none() {
            label {
                "To " span.optional { "a user id; empty for all users with a session" }
                input name="to" maxlength="255" spellcheck="false" autocomplete="off" autocapitalize="none" placeholder="all users"
                    value=(kept.text("to"));
            }
        }
        label {
            "Type"
            input name="type" required maxlength=(limits::EVENT_TYPE) pattern="[a-z0-9._\\-]+" spellcheck="false" autocomplete="off"
                autocapitalize="none" value=(event_type) title="a-z 0-9 . _ -";
        }
        label { "Data (JSON) " textarea name="data" rows="3" spellcheck="false" { (data) } }
        button.main { "Publish" }
    };
    components::form(request, "/dashboard/event/publish", &hidden, content)
}
