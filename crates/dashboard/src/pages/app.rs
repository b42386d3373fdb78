//! An app: its APP_ID, and code to paste.

use maud::html;

use super::{
    frame::{self, Part},
    live,
    parts::{self, count},
    snippets,
};
use crate::{fault::Fault, fields::href, gate::Ask, reply::Reply, shown::Shown};

pub(super) async fn show(ask: &Ask<'_>) -> Result<Reply, Fault> {
    let app = ask.app().await?;
    let users = ask.dashboard.store.user_count(&app.id).await?;
    let live = live::count(ask, &app).await?;
    let (id, url) = (app.id.as_str(), ask.chat_url());
    Ok(frame::page(ask, &Shown(&app.name).to_string(), Some((&app, Part::Connect)), |_| {
        html! {
            section.card.first {
                h2.quiet { "What your code needs" }
                (parts::copyable("APP_ID", id))
                (parts::copyable("Chat URL", &url))
                p.facts {
                    a href=(href("/dashboard/users", &[("app", id)])) { (count(users, "user", "users")) }
                    " · "
                    a href=(href("/dashboard/live", &[("app", id)])) { (live) }
                }
            }
            section.card {
                h2 { "Paste it" }
                p.lead {
                    @if snippets::needs_token(app.auth) {
                        "This app asks everybody for an access token: your backend creates the user and gets it. "
                        a href=(href("/dashboard/users", &[("app", id)])) { "Create a user by hand" } " to try."
                    } @else {
                        "This app is open: a user id alone connects. Switch it to tokens in "
                        a href=(href("/dashboard/settings", &[("app", id)])) { "Settings" } " before strangers can reach it."
                    }
                }
                (snippets::show(&url, &app))
            }
        }
    }))
}
