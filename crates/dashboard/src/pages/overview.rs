//! The first page: figures of the server, its apps, and links.

use maud::{Markup, html};

use super::{
    apps::{self, AppRow},
    components::with_thousands,
    layout,
    time::{Utc, duration},
};
use crate::{error::PageError, reply::Reply, request::PageRequest};

/// The page where two users of the development server connect.
const TRY: &str = "/try";
/// The OpenAPI document of the Platform API.
const OPENAPI: &str = "/api/openapi.json";
/// The types of the client for web pages.
const TYPES: &str = "/chatcamp.d.ts";

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let rows = AppRow::all(request).await?;
    Ok(layout::page(request, "Overview", None, |kept| {
        html! {
            div.title { h1 { "Overview" } }
            (figures(request, &rows))
            (apps::section(request, &rows, kept))
            (links(request))
        }
    }))
}

fn figures(request: &PageRequest<'_>, apps: &[AppRow]) -> Markup {
    let load = request.services.server.load();
    let users = apps.iter().map(|app| app.users).sum();
    let refused = apps.iter().map(|app| app.refused_origins).sum();
    let figures: [(&str, u64); 5] = [
        ("Apps", apps.len() as u64),
        ("Users", users),
        ("Live sessions", load.sessions as u64),
        ("Detached sessions", load.detached as u64),
        ("Origins refused, last hour", refused),
    ];
    html! {
        dl.figures {
            div { dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) } }
            div { dt { "Running for" } dd { (uptime(request)) } }
            @for (label, figure) in figures {
                div { dt { (label) } dd { (with_thousands(figure)) } }
            }
        }
    }
}

fn uptime(request: &PageRequest<'_>) -> Markup {
    let since = request.services.started_at;
    html! {
        time datetime=(Utc(since).iso()) title={ "Since " (Utc(since)) } { (duration(request.now().saturating_sub(since))) }
    }
}

fn links(request: &PageRequest<'_>) -> Markup {
    html! {
        section.card {
            h2 { "Links" }
            ul.links {
                @if request.services.has_try_page {
                    li { a href=(request.href(TRY, &[])) { "Try page" } ": connect two users side by side" }
                }
                li { a href=(request.server_href(OPENAPI)) { "OpenAPI document" } " of the Platform API, which backends call" }
                li { a href=(request.server_href(TYPES)) { "TypeScript types" } " of the client for web pages" }
                li {
                    "Documentation, in the folder " code { "docs" } " of the source: " code { "BACKENDS.md" } " for backends, "
                    code { "PROTOCOL.md" } " for the API and the protocol"
                }
            }
        }
    }
}
