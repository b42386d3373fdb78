//! The list of apps.

use maud::{Markup, html};

use super::{
    components::{self, count},
    layout, live,
};
use crate::{
    error::PageError, fields::Fields, reply::Reply, request::PageRequest, visible_text::VisibleText,
};

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let mut cards = Vec::new();
    for app in request.services.accounts.apps().await? {
        let users = request.services.store.user_count(&app.id).await?;
        let live_sessions = live::count(request, &app).await?;
        let id = app.id.as_str();
        cards.push(html! {
            li.card {
                div.app {
                    h2 { a href=(request.href("/dashboard/app", &[("app", id)])) { bdi { (VisibleText(&app.name)) } } }
                    (components::auth_policy(app.auth))
                }
                (components::copyable("APP_ID", id))
                p.facts {
                    a href=(request.href("/dashboard/users", &[("app", id)])) { (count(users, "user", "users")) }
                    " · "
                    a href=(request.href("/dashboard/live", &[("app", id)])) { (live_sessions) }
                }
            }
        });
    }
    Ok(layout::page(request, "Apps", None, |kept| {
        html! {
            div.title { h1 { "Apps" } }
            @if cards.is_empty() {
                (components::empty_state("Create your first app", html! {
                    p { "An app has its own users. Your code connects with its APP_ID." }
                }))
                section.card { h2 { "New app" } (new_app(request, kept)) }
            } @else {
                ul.cards { @for card in &cards { (card) } }
                details.card.more open[kept.get("name").is_some()] {
                    summary { "New app" }
                    (new_app(request, kept))
                }
            }
        }
    }))
}

fn new_app(request: &PageRequest<'_>, kept: &Fields) -> Markup {
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
