//! The list of apps, and the form that creates one.

use std::sync::Arc;

use chatcamp_store::App;
use maud::{Markup, html};

use super::components::{self, count, with_thousands};
use crate::{error::PageError, flash::Kept, request::PageRequest, visible_text::VisibleText};

/// An app, with its figures.
pub(super) struct AppRow {
    app: Arc<App>,
    pub(super) users: u64,
    live_sessions: u64,
    /// The number of different origins that were refused in the last hour.
    pub(super) refused_origins: u64,
}

impl AppRow {
    /// Returns all apps, oldest first.
    pub(super) async fn all(request: &PageRequest<'_>) -> Result<Vec<Self>, PageError> {
        let mut rows = Vec::new();
        for app in request.services.accounts.apps().await? {
            let users = request.services.store.user_count(&app.id).await?;
            let live_sessions = request.services.server.newest_sessions(&app.id, None, 0).await?.total as u64;
            let refused_origins = request.services.server.refused_origins(&app.id).len() as u64;
            rows.push(Self { app, users, live_sessions, refused_origins });
        }
        Ok(rows)
    }
}

/// The apps of the overview.
pub(super) fn section(request: &PageRequest<'_>, rows: &[AppRow], kept: &Kept) -> Markup {
    html! {
        @if rows.is_empty() {
            (components::empty_state("Create your first app", html! {
                p { "An app has its own users. Your code connects with its APP_ID." }
            }))
            section.card { h2 { "New app" } (new_app(request, kept)) }
        } @else {
            div.title { h2 { "Apps" } span.dim { (count(rows.len() as u64, "app", "apps")) } }
            (table(request, rows))
            details.card.more open[kept.get("name").is_some()] {
                summary { "New app" }
                (new_app(request, kept))
            }
        }
    }
}

fn table(request: &PageRequest<'_>, rows: &[AppRow]) -> Markup {
    html! {
        div.card.flush {
            table.list.apps {
                caption.visually-hidden { "Apps" }
                thead {
                    tr {
                        th scope="col" { "App" } th scope="col" { "APP_ID" } th scope="col" { "Access" }
                        th.number scope="col" { "Users" } th.number scope="col" { "Live sessions" }
                        th.number scope="col" { "Refused origins" }
                    }
                }
                tbody { @for row in rows { (table_row(request, row)) } }
            }
        }
    }
}

fn table_row(request: &PageRequest<'_>, row: &AppRow) -> Markup {
    let AppRow { app, users, live_sessions, refused_origins } = row;
    let id = app.id.as_str();
    let link = |path: &str, figure: u64| html! { a href=(request.href(path, &[("app", id)])) { (with_thousands(figure)) } };
    let name = VisibleText(&app.name);
    html! {
        tr {
            th.main scope="row" {
                a href=(request.href("/dashboard/app", &[("app", id)])) { bdi title=(name.to_string()) { (name) } }
            }
            td data-label="APP_ID" { code { (id) } }
            td data-label="Access" { (components::auth_policy(app.auth)) }
            td.number data-label="Users" { (link("/dashboard/users", *users)) }
            td.number data-label="Live sessions" { (link("/dashboard/live", *live_sessions)) }
            td.number data-label="Refused origins" { (link("/dashboard/settings", *refused_origins)) }
        }
    }
}

fn new_app(request: &PageRequest<'_>, kept: &Kept) -> Markup {
    let content = html! {
        label { "Name" input name="name" required maxlength="255" placeholder="My shop" value=(kept.text("name")); }
        (components::auth_policy_choice(None))
        label {
            "APP_ID " span.optional { "to keep an existing one; generated if empty" }
            input name="id" maxlength="64" pattern="[A-Za-z0-9._~\\-]+" spellcheck="false" value=(kept.text("id"));
        }
        button.main { "Create app" }
    };
    components::form(request, "/dashboard/app/create", &[], content)
}
