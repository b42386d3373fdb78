//! Pages of whoever is not signed in.

use maud::{Markup, html};

use super::frame::bare;
use crate::{
    PATH, assets,
    fault::Fault,
    gate::{ENTER, SIGN_IN},
    password,
};

/// The sign-in page, leading on to `to`; with why the attempt before failed.
pub(crate) fn sign_in(to: &str, why: Option<&str>) -> Markup {
    let form = html! {
        form method="post" action=(SIGN_IN) {
            input type="hidden" name="to" value=(to);
            // For password managers, which want a name.
            input.unseen name="name" value="admin" autocomplete="username" tabindex="-1" aria-hidden="true" readonly;
            label for="password" { "Admin password" }
            input #password type="password" name="password" maxlength=(password::LONGEST) required autofocus
                autocomplete="current-password" aria-describedby="where";
            button.main { "Sign in" }
        }
        p #where.hint {
            "Started by " code { "chatcamp dev" } "? Open the link that it printed, or look into " code { "dev.json" } " in its \
             data folder. " code { "chatcamp serve" } " wrote the password to " code { "admin-password" } " there; "
            code { "chatcamp admin password" } " sets another."
        }
    };
    door("Sign in", why, form)
}

/// The page of a one-time link: looking at it uses nothing up.
pub(crate) fn enter(secret: &str) -> Markup {
    let form = html! {
        p { "This link signs this browser in to the dashboard, once." }
        form method="post" action=(ENTER) {
            input type="hidden" name="secret" value=(secret);
            button.main autofocus { "Sign in" }
        }
    };
    door("Open the dashboard", None, form)
}

/// The page of a one-time link that is good no more.
pub(crate) fn link_is_used() -> Markup {
    let what = html! {
        p {
            "It works once, and for an hour. Start " code { "chatcamp dev" }
            " again for another one, or sign in with the password."
        }
        p { a.button.main href=(SIGN_IN) { "Sign in with the password" } }
    };
    door("This link was used, or is too old", None, what)
}

/// What went wrong, and what to do.
pub(crate) fn fault(fault: &Fault) -> Markup {
    door(fault.title, None, html! { p { (fault.advice) } p { a.button href=(PATH) { "To the dashboard" } } })
}

fn door(title: &str, why: Option<&str>, content: Markup) -> Markup {
    bare(
        title,
        html! {
            main #main.door tabindex="-1" {
                p.brand { img src=(assets::icon()) alt="" width="36" height="36"; "ChatCamp" }
                h1 { (title) }
                @if let Some(why) = why { p.note.refused role="alert" { (why) } }
                (content)
            }
        },
    )
}
