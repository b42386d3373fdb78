//! Pages for browsers that are not signed in: sign-in, one-time links and errors.

use http::StatusCode;
use maud::{Markup, html};

use super::layout::document;
use crate::{
    access::MAX_PASSWORD_BYTES,
    assets,
    error::PageError,
    paths::{self, Root},
    reply::Reply,
    visible_text::VisibleText,
};

/// The sign-in page, which leads on to `to`. `error` says why the previous attempt failed.
pub(crate) fn sign_in(root: Root, to: &str, error: Option<&str>) -> Markup {
    let form = html! {
        form method="post" action=(root.to(paths::SIGN_IN)) {
            input type="hidden" name="to" value=(to);
            // Password managers need a user name.
            input.visually-hidden name="name" value="admin" autocomplete="username" tabindex="-1" aria-hidden="true" readonly;
            label for="password" { "Admin password" }
            input #password type="password" name="password" maxlength=(MAX_PASSWORD_BYTES) required autofocus
                autocomplete="current-password" aria-describedby="hint";
            button.main { "Sign in" }
        }
        p #hint.hint {
            "If " code { "chatcamp dev" } " started the server, open the link that it printed, or look up the password in "
            code { "dev.json" } " in its data folder. " code { "chatcamp serve" } " wrote the password to "
            code { "admin-password" } " there. " code { "chatcamp admin password" } " sets a new password."
        }
    };
    small_page(root, "Sign in", error, form)
}

/// The page of a one-time link. Opening it does not use the link.
pub(crate) fn one_time_link(root: Root, secret: &str) -> Markup {
    let form = html! {
        p { "This link signs this browser in to the dashboard, once." }
        form method="post" action=(root.to(paths::USE_LINK)) {
            input type="hidden" name="secret" value=(secret);
            button.main autofocus { "Sign in" }
        }
    };
    small_page(root, "Open the dashboard", None, form)
}

/// The page of a one-time link that was used or has expired.
pub(crate) fn invalid_link(root: Root) -> Markup {
    let advice = html! {
        p {
            "A link works once, within an hour. To get a new one, restart " code { "chatcamp dev" }
            ", or sign in with the password."
        }
        p { a.button.main href=(root.to(paths::SIGN_IN)) { "Sign in with the password" } }
    };
    small_page(root, "This link was already used or has expired", None, advice)
}

/// The page of an error.
pub(crate) fn error(root: Root, error: &PageError) -> Reply {
    let advice = html! {
        p { (VisibleText(&error.advice)) }
        p { a.button href=(root.to(paths::HOME)) { "Open the dashboard" } }
    };
    let reply = Reply::page(error.status, small_page(root, error.title, None, advice));
    if error.status == StatusCode::METHOD_NOT_ALLOWED { reply.with_allow("GET, HEAD, POST") } else { reply }
}

fn small_page(root: Root, title: &str, error: Option<&str>, content: Markup) -> Markup {
    document(
        root,
        title,
        html! {
            main #main.signed-out tabindex="-1" {
                p.brand { img src=(root.to(assets::icon())) alt="" width="36" height="36"; "ChatCamp" }
                h1 { (title) }
                @if let Some(error) = error { p.flash.rejected role="alert" { (error) } }
                (content)
            }
        },
    )
}
