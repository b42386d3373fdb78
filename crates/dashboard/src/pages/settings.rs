//! An app's settings: its name, its policies and its API keys.

use chatcamp_store::{ApiKey, App, MAX_SESSIONS, SessionPolicy};
use maud::{Markup, html};

use super::{
    components,
    layout::{self, Tab},
    time::ago,
};
use crate::{error::PageError, reply::Reply, request::PageRequest, visible_text::VisibleText};

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let app = request.app().await?;
    let keys = request.services.accounts.api_keys(&app.id).await?;
    let title = format!("Settings of {}", VisibleText(&app.name));
    Ok(layout::page(request, &title, Some((&app, Tab::Settings)), |_| {
        html! {
            div.columns {
                section.card { h2 { "App" } (app_form(request, &app)) }
                section.card { h2 { "API keys" } (api_keys(request, &app, &keys)) }
            }
        }
    }))
}

fn app_form(request: &PageRequest<'_>, app: &App) -> Markup {
    let content = html! {
        label { "Name" input name="name" required maxlength="255" value=(app.name); }
        (components::auth_policy_choice(Some(app.auth)))
        p.hint { "Requiring a token ends every session that was opened with a user id only." }
        label.check {
            input type="checkbox" name="directory" value="yes" checked[app.directory];
            span { strong { "User directory." } " Clients may list and search the users of this app." }
        }
        (session_limit(app.sessions))
        button.main { "Save" }
    };
    components::form(request, "/dashboard/app/update", &[("app", app.id.as_str())], content)
}

/// The maximum number of sessions of a user.
fn session_limit(policy: SessionPolicy) -> Markup {
    let (chosen, max) = match policy {
        SessionPolicy::Unlimited => ("unlimited", MAX_SESSIONS),
        SessionPolicy::RejectNew(max) => ("reject_new", max),
        SessionPolicy::EvictOldest(max) => ("evict_oldest", max),
    };
    let choices = [
        ("unlimited", "Unlimited"),
        ("reject_new", "Limited: refuse new sessions"),
        ("evict_oldest", "Limited: end the oldest session"),
    ];
    html! {
        label {
            "Sessions per user"
            select name="sessions" {
                @for (value, text) in choices {
                    option value=(value) selected[value == chosen] { (text) }
                }
            }
        }
        label { "Maximum, if limited" input name="most" type="number" min="1" max=(MAX_SESSIONS) value=(max); }
    }
}

fn api_keys(request: &PageRequest<'_>, app: &App, keys: &[ApiKey]) -> Markup {
    html! {
        p.lead {
            "With an API key, your backend creates users and publishes events. A key is shown only once, when it is created."
        }
        @if keys.is_empty() {
            (components::empty_state("No API keys", html! {
                p { "Your backend needs a key to manage this app. Create one below." }
            }))
        } @else {
            ul.keys {
                @for key in keys {
                    li {
                        div {
                            bdi.name { (VisibleText(&key.name)) }
                            span.dim { code { (key.id) } " · created " (ago(key.created_at, request.now())) }
                        }
                        (components::with_confirmation(
                            "Revoke",
                            "Calls with this key will be refused from now on.",
                            components::form(request, "/dashboard/key/revoke", &[("app", app.id.as_str()), ("key", &key.id)],
                                html! { button.danger { "Revoke this key" } }),
                        ))
                    }
                }
            }
        }
        (components::form(request, "/dashboard/key/create", &[("app", app.id.as_str())], html! {
            label {
                "Name of a new key"
                input name="name" required maxlength="255" placeholder="backend, production" autocomplete="off";
            }
            button { "Create API key" }
        }))
    }
}
