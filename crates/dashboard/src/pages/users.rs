//! The users of an app: list, search and creation.

use std::sync::Arc;

use chatcamp_store::{App, FoundUsers, TokenRecord, User, UserQuery};
use maud::{Markup, html};

use super::{
    components::{self, count, with_thousands},
    layout::{self, Tab},
    paging::Paging,
    snippets::needs_token,
    time::{ago, until},
};
use crate::{error::PageError, flash::Kept, reply::Reply, request::PageRequest, visible_text::VisibleText};

/// Number of users on a page.
const PAGE_SIZE: usize = 50;

/// The path of the page.
const PATH: &str = "/dashboard/users";

/// A search of users, as the query of the page describes it.
struct Search<'a> {
    text: &'a str,
    filter: Filter,
}

/// Which users are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    All,
    TokenRequired,
    Open,
    Suspended,
    Online,
}

/// The filters, with their values in the query and their labels.
const FILTERS: [(Filter, &str, &str); 5] = [
    (Filter::All, "", "All"),
    (Filter::TokenRequired, "token-required", "Token required"),
    (Filter::Open, "open", "User id only"),
    (Filter::Suspended, "suspended", "Suspended"),
    (Filter::Online, "online", "Online"),
];

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let app = request.app().await?;
    let search = Search::of(request);
    let paging = Paging::of(request, PAGE_SIZE);
    let all = request.services.store.user_count(&app.id).await?;
    let found = find(request, &app, &search, paging).await?;
    let ids: Vec<_> = found.users.iter().map(|user| &user.id).collect();
    let online = request.services.server.are_online(&app.id, &ids).await?;
    let title = format!("Users of {}", VisibleText(&app.name));
    Ok(layout::page(request, &title, Some((&app, Tab::Users)), |kept| {
        html! {
            details.card.more open[all == 0 || kept.get("id").is_some()] {
                summary { "New user with access token" }
                (new_user(request, &app, kept))
            }
            @if all == 0 {
                (no_users(request, &app))
            } @else {
                (search_form(request, &app, &search))
                (filters(request, &app, &search))
                (result(request, &app, &search, &found, all))
                @if found.total > 0 {
                    (table(request, &app, &found.users, &online))
                    (paging.links(request, PATH, &search.query(&app), usize::try_from(found.total).unwrap_or(usize::MAX)))
                }
            }
        }
    }))
}

/// Finds the users of a page.
async fn find(
    request: &PageRequest<'_>,
    app: &App,
    search: &Search<'_>,
    paging: Paging,
) -> Result<FoundUsers, PageError> {
    let mut query = UserQuery { text: search.text.to_owned(), ..UserQuery::default() };
    match search.filter {
        Filter::All => {}
        Filter::TokenRequired => query.check_access_token = Some(true),
        Filter::Open => query.check_access_token = Some(false),
        Filter::Suspended => query.is_suspended = Some(true),
        Filter::Online => query.ids = Some(request.services.server.online_users(&app.id).await?),
    }
    Ok(request.services.store.find_users(&app.id, &query, paging.skip(), PAGE_SIZE).await?)
}

impl<'a> Search<'a> {
    fn of(request: &'a PageRequest<'_>) -> Self {
        let chosen = FILTERS.iter().find(|(_, value, _)| *value == request.query.text("show"));
        let filter = chosen.map_or(Filter::All, |(filter, ..)| *filter);
        Self { text: request.query.text("q").trim(), filter }
    }

    /// Returns the query of the page, without the number of the page.
    fn query<'q>(&'q self, app: &'q App) -> Vec<(&'static str, &'q str)> {
        let show =
            FILTERS.iter().find(|(filter, ..)| *filter == self.filter).map_or("", |(_, value, _)| value);
        let mut query = vec![("app", app.id.as_str())];
        query.extend(Some(("q", self.text)).filter(|(_, text)| !text.is_empty()));
        query.extend(Some(("show", show)).filter(|(_, show)| !show.is_empty()));
        query
    }
}

fn no_users(request: &PageRequest<'_>, app: &App) -> Markup {
    components::empty_state(
        "No users yet",
        html! {
            p {
                @if needs_token(app.auth) {
                    "Create a user here or from your backend. The code to connect is on the tab "
                } @else {
                    "Create a user here or from your backend, or connect: the code is on the tab "
                }
                a href=(request.href("/dashboard/app", &[("app", app.id.as_str())])) { "Connect" } "."
            }
        },
    )
}

fn search_form(request: &PageRequest<'_>, app: &App, search: &Search<'_>) -> Markup {
    html! {
        form.search role="search" action=(request.href(PATH, &[])) {
            @for (name, value) in search.query(app) {
                @if name != "q" { input type="hidden" name=(name) value=(value); }
            }
            label.visually-hidden for="q" { "Search inside ids and display names" }
            input #q type="search" name="q" value=(search.text) maxlength="255" placeholder="Part of an id or name"
                autocomplete="off" spellcheck="false";
            button { "Search" }
        }
    }
}

fn filters(request: &PageRequest<'_>, app: &App, search: &Search<'_>) -> Markup {
    html! {
        nav.filters aria-label="Filter" {
            @for (filter, _, label) in FILTERS {
                // All users of this app need a token.
                @if !(needs_token(app.auth) && matches!(filter, Filter::TokenRequired | Filter::Open)) {
                    @let other = Search { filter, ..*search };
                    a href=(request.href(PATH, &other.query(app))) aria-current=[(filter == search.filter).then_some("true")] { (label) }
                }
            }
        }
    }
}

/// The number of users that were found.
fn result(request: &PageRequest<'_>, app: &App, search: &Search<'_>, found: &FoundUsers, all: u64) -> Markup {
    let is_all = search.text.is_empty() && search.filter == Filter::All;
    let everyone = [("app", app.id.as_str())];
    html! {
        p.hint role="status" {
            @if is_all { (count(all, "user", "users")) }
            @else {
                (with_thousands(found.total)) " of " (count(all, "user", "users"))
                @if !search.text.is_empty() { " with “" (VisibleText(search.text)) "” in the id or display name" }
                ". " a href=(request.href(PATH, &everyone)) { "Show all users" }
            }
        }
    }
}

fn table(request: &PageRequest<'_>, app: &App, users: &[Arc<User>], online: &[bool]) -> Markup {
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
                            th.main scope="row" { a.user-link href=(to) { (name_and_id(user)) } }
                            td data-label="Access" { (access(app, user)) }
                            td data-label="Token" { span { (token(user, now)) } }
                            td data-label="Last seen" { span { (last_seen(request, user, is_online)) } }
                        }
                    }
                }
            }
        }
    }
}

fn new_user(request: &PageRequest<'_>, app: &App, kept: &Kept) -> Markup {
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
            input type="checkbox" name="token_required" value="yes"
                checked[kept.get("id").is_none() || kept.get("token_required").is_some()];
            span { strong { "Token required." } " The user must present its access token, even if the app is open." }
        }
        button.main { "Create user" }
    };
    components::form(request, "/dashboard/user/create", &[("app", app.id.as_str())], content)
}

/// The display name and the id. The tooltip has both in full.
fn name_and_id(user: &User) -> Markup {
    let name = &user.profile.display_name;
    let id = VisibleText(user.id.as_str());
    html! {
        @if name.is_empty() {
            bdi.name title=(id.to_string()) { (id) }
        } @else {
            bdi.name title=(VisibleText(name).to_string()) { (VisibleText(name)) }
            " " bdi.id title=(id.to_string()) { (id) }
        }
    }
}

/// Badges for what restricts the user's access.
pub(super) fn access(app: &App, user: &User) -> Markup {
    let requires_token = needs_token(app.auth) || user.check_access_token;
    html! {
        span.badges {
            @if user.is_suspended { span.badge.bad { "suspended" } }
            @if requires_token { span.badge.good title="The user must present its access token" { "token required" } }
            @else { span.badge title="The app is open: the user id is enough" { "user id only" } }
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
