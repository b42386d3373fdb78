//! Errors that are shown to a signed-in browser: within the layout, with links that lead on.

use maud::html;

use super::layout;
use crate::{error::PageError, paths, reply::Reply, request::PageRequest, visible_text::VisibleText};

/// The page of an error. If the query names an app that exists, the page leads to it.
pub(crate) async fn signed_in_error(request: &PageRequest<'_>, error: &PageError) -> Reply {
    let app = request.app().await.ok();
    layout::page_with_status(error.status, request, error.title, None, |_| {
        html! {
            h1 { (error.title) }
            p.lead { (VisibleText(&error.advice)) }
            p.ways {
                @if let Some(app) = &app {
                    @let query = [("app", app.id.as_str())];
                    a.button href=(request.href("/dashboard/users", &query)) { "Users of " (VisibleText(&app.name)) }
                    a.button href=(request.href("/dashboard/app", &query)) { "App " (VisibleText(&app.name)) }
                }
                a.button.main href=(request.href(paths::HOME, &[])) { "Overview" }
            }
        }
    })
}
