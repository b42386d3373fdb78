//! What is around every page.

use chatcamp_store::App;
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use super::parts;
use crate::{
    PATH, assets,
    fields::{Fields, href},
    gate::Ask,
    note::{Kind, Note},
    reply::Reply,
    shown::Shown,
};

/// The parts of an app's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Connect,
    Users,
    Live,
    Settings,
}

/// A page of somebody who is signed in; `body` is given what was filled into the form before, if it was refused.
pub(super) fn page(
    ask: &Ask<'_>,
    title: &str,
    app: Option<(&App, Part)>,
    body: impl FnOnce(&Fields) -> Markup,
) -> Reply {
    let taken = (!ask.is_unseen).then(|| ask.dashboard.visits.take_note(&ask.visit, &ask.here));
    let mut note = taken.flatten();
    let kept = note.as_mut().and_then(|note| note.kept.take()).unwrap_or_default();
    let page = bare(
        title,
        html! {
            header.top {
                div.wide {
                    a.brand href=(PATH) { img src=(assets::icon()) alt="" width="28" height="28"; "ChatCamp" }
                    (parts::form(ask, "/dashboard/sign-out", &[], html! { button.quiet { "Sign out" } }))
                }
            }
            main #main.wide tabindex="-1" {
                @if let Some((app, part)) = app { (heading(app, part)) }
                @if let Some(note) = &note { (said(note)) }
                (body(&kept))
            }
        },
    );
    Reply::page(StatusCode::OK, page)
}

/// A page of nobody in particular.
pub(super) fn bare(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · ChatCamp" }
                link rel="icon" type="image/svg+xml" href=(assets::icon());
                link rel="stylesheet" href=(assets::style());
                script src=(assets::script()) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (body)
            }
        }
    }
}

/// The app, and the way to its other pages.
fn heading(app: &App, part: Part) -> Markup {
    let id = app.id.as_str();
    html! {
        nav.trail aria-label="Where you are" { a href=(PATH) { "Apps" } " / " bdi { (Shown(&app.name)) } }
        div.app {
            h1 { bdi { (Shown(&app.name)) } }
            (parts::policy(app.auth))
        }
        nav.tabs aria-label="This app" {
            @for (to, path, name) in [
                (Part::Connect, "/dashboard/app", "Connect"),
                (Part::Users, "/dashboard/users", "Users"),
                (Part::Live, "/dashboard/live", "Live"),
                (Part::Settings, "/dashboard/settings", "Settings"),
            ] {
                a href=(href(path, &[("app", id)])) aria-current=[(to == part).then_some("page")] { (name) }
            }
        }
    }
}

fn said(note: &Note) -> Markup {
    let (class, role) = match note.kind {
        Kind::Done => ("note done", "status"),
        Kind::Refused => ("note refused", "alert"),
    };
    html! {
        section class=(class) role=(role) {
            p { (Shown(&note.text)) }
            @if let Some((name, secret)) = &note.secret {
                (parts::copyable(name, secret))
            }
        }
    }
}
