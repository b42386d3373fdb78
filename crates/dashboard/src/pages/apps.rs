//! The list of apps, where everything begins.

use maud::{Markup, html};

use super::{
    frame, live,
    parts::{self, count},
};
use crate::{
    fault::Fault,
    fields::{Fields, href},
    gate::Ask,
    reply::Reply,
    shown::Shown,
};

pub(super) async fn show(ask: &Ask<'_>) -> Result<Reply, Fault> {
    let mut cards = Vec::new();
    for app in ask.dashboard.accounts.apps().await? {
        let users = ask.dashboard.store.user_count(&app.id).await?;
        let live = live::count(ask, &app).await?;
        let id = app.id.as_str();
        cards.push(html! {
            li.card {
                div.app {
                    h2 { a href=(href("/dashboard/app", &[("app", id)])) { bdi { (Shown(&app.name)) } } }
                    (parts::policy(app.auth))
                }
                (parts::copyable("APP_ID", id))
                p.facts {
                    a href=(href("/dashboard/users", &[("app", id)])) { (count(users, "user", "users")) }
                    " · "
                    a href=(href("/dashboard/live", &[("app", id)])) { (live) }
                }
            }
        });
    }
    Ok(frame::page(ask, "Apps", None, |kept| {
        html! {
            div.title { h1 { "Apps" } }
            @if cards.is_empty() {
                (parts::empty("Make your first app", html! {
                    p { "An app is a set of users of its own. Its APP_ID is what your code connects with." }
                }))
                section.card { h2 { "New app" } (new_app(ask, kept)) }
            } @else {
                ul.cards { @for card in &cards { (card) } }
                details.card.more open[kept.get("name").is_some()] {
                    summary { "New app" }
                    (new_app(ask, kept))
                }
            }
        }
    }))
}

fn new_app(ask: &Ask<'_>, kept: &Fields) -> Markup {
    let content = html! {
        label { "Name" input name="name" required maxlength="255" placeholder="My shop" value=(kept.text("name")); }
        (parts::policy_choice(None))
        label {
            "APP_ID " span.optional { "to keep one you have; else one is made" }
            input name="id" maxlength="64" pattern="[A-Za-z0-9._~\\-]+" spellcheck="false" value=(kept.text("id"));
        }
        button.main { "Create app" }
    };
    parts::form(ask, "/dashboard/app/create", &[], content)
}
