//! The page of an app: its APP_ID, and code to copy.

use maud::html;

use super::{
    components::{self, count},
    layout::{self, Tab},
    live, snippets,
};
use crate::{error::PageError, reply::Reply, request::PageRequest, visible_text::VisibleText};

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let app = request.app().await?;
    let users = request.services.store.user_count(&app.id).await?;
    let live_sessions = live::count(request, &app).await?;
    let refused = request.services.server.refused_origins(&app.id).len();
    let id = app.id.as_str();
    let url = request.chat_url();
    let title = VisibleText(&app.name).to_string();
    Ok(layout::page(request, &title, Some((&app, Tab::Connect)), |_| {
        html! {
            section.card.first {
                h2.quiet { "Values for your code" }
                (components::copyable("APP_ID", id))
                div data-guessed-url=[request.guessed_url()] { (components::copyable("Chat URL", &url)) }
                p.facts {
                    a href=(request.href("/dashboard/users", &[("app", id)])) { (count(users, "user", "users")) }
                    " · "
                    a href=(request.href("/dashboard/live", &[("app", id)])) { (live_sessions) }
                    @if refused > 0 {
                        " · "
                        a href=(format!("{}#refused-origins", request.href("/dashboard/settings", &[("app", id)]))) {
                            (count(refused as u64, "refused origin", "refused origins"))
                        }
                    }
                }
            }
            section.card {
                h2 { "Code to copy" }
                p.lead {
                    @if snippets::needs_token(app.auth) {
                        "Every user of this app needs an access token: your backend creates the user and receives the token. "
                        "To try it, " a href=(request.href("/dashboard/users", &[("app", id)])) { "create a user here" } "."
                    } @else {
                        "This app is open: users connect with a user id alone. Require access tokens in the "
                        a href=(request.href("/dashboard/settings", &[("app", id)])) { "settings" } " before others can reach the app."
                    }
                }
                div data-guessed-url=[request.guessed_url()] { (snippets::show(&url, &app)) }
            }
        }
    }))
}
