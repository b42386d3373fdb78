//! The document around every page.

use chatcamp_store::App;
use http::StatusCode;
use maud::{DOCTYPE, Markup, html};

use super::components;
use crate::{
    assets,
    flash::{FlashKind, FlashMessage, Kept},
    paths::{self, Root},
    reply::Reply,
    request::PageRequest,
    visible_text::VisibleText,
};

/// The tabs of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Connect,
    Users,
    Live,
    Settings,
}

/// A page of a signed-in browser. `content` receives what is kept of a form that was rejected before.
pub(super) fn page(
    request: &PageRequest<'_>,
    title: &str,
    app: Option<(&App, Tab)>,
    content: impl FnOnce(&Kept) -> Markup,
) -> Reply {
    page_with_status(StatusCode::OK, request, title, app, content)
}

/// A page of a signed-in browser, with this status.
pub(super) fn page_with_status(
    status: StatusCode,
    request: &PageRequest<'_>,
    title: &str,
    app: Option<(&App, Tab)>,
    content: impl FnOnce(&Kept) -> Markup,
) -> Reply {
    let mut flash = request.take_flash();
    let kept = flash.as_mut().map(|flash| std::mem::take(&mut flash.kept)).unwrap_or_default();
    let page = document(
        request.root,
        title,
        html! {
            header.top {
                div.wide {
                    a.brand href=(request.href(paths::HOME, &[])) { img src=(request.href(assets::icon(), &[])) alt="" width="28" height="28"; "ChatCamp" }
                    (components::form(request, paths::SIGN_OUT, &[], html! { button.quiet { "Sign out" } }))
                }
            }
            main #main.wide tabindex="-1" {
                @if let Some((app, tab)) = app { (app_heading(request, app, tab)) }
                @if let Some(flash) = &flash { (flash_message(flash)) }
                (content(&kept))
            }
        },
    );
    Reply::page(status, page)
}

/// An HTML document with this body, for a page from which `root` leads to the root of the server.
pub(super) fn document(root: Root, title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · ChatCamp" }
                link rel="icon" type="image/svg+xml" href=(root.to(assets::icon()));
                link rel="stylesheet" href=(root.to(assets::style()));
                script src=(root.to(assets::script())) defer {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                (body)
            }
        }
    }
}

/// The app's name, and links to its tabs.
fn app_heading(request: &PageRequest<'_>, app: &App, current: Tab) -> Markup {
    let id = app.id.as_str();
    html! {
        nav.trail aria-label="Breadcrumb" { a href=(request.href(paths::HOME, &[])) { "Overview" } " / " bdi { (VisibleText(&app.name)) } }
        div.app {
            h1 { bdi { (VisibleText(&app.name)) } }
            (components::auth_policy(app.auth))
        }
        nav.tabs aria-label="App" {
            @for (tab, path, name) in [
                (Tab::Connect, "/dashboard/app", "Connect"),
                (Tab::Users, "/dashboard/users", "Users"),
                (Tab::Live, "/dashboard/live", "Sessions"),
                (Tab::Settings, "/dashboard/settings", "Settings"),
            ] {
                a href=(request.href(path, &[("app", id)])) aria-current=[(tab == current).then_some("page")] { (name) }
            }
        }
    }
}

fn flash_message(flash: &FlashMessage) -> Markup {
    let (class, role) = match flash.kind {
        FlashKind::Success => ("flash success", "status"),
        FlashKind::Rejected => ("flash rejected", "alert"),
    };
    html! {
        section class=(class) role=(role) {
            p { (VisibleText(&flash.text)) }
            @if let Some((name, secret)) = &flash.secret {
                (components::copyable(name, secret))
            }
        }
    }
}
