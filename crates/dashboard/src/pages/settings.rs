//! An app's settings: its name, its policies, its origins and its API keys.

use chatcamp_protocol::OriginPattern;
use chatcamp_server::{AuthPolicy, ClientOrigin, RefusedOrigin};
use chatcamp_store::{ApiKey, App, MAX_SESSIONS, SessionPolicy};
use maud::{Markup, html};

use super::{
    components::{self, count},
    layout::{self, Tab},
    time::ago,
};
use crate::{error::PageError, flash::Kept, reply::Reply, request::PageRequest, visible_text::VisibleText};

pub(super) async fn show(request: &PageRequest<'_>) -> Result<Reply, PageError> {
    let app = request.app().await?;
    let keys = request.services.accounts.api_keys(&app.id).await?;
    let refused = request.services.server.refused_origins(&app.id);
    let title = format!("Settings of {}", VisibleText(&app.name));
    Ok(layout::page(request, &title, Some((&app, Tab::Settings)), |kept| {
        html! {
            div.columns {
                section.card { h2 { "App" } (app_form(request, &app, kept)) }
                div {
                    section.card { h2 { "API keys" } (api_keys(request, &app, &keys)) }
                    @if !refused.is_empty() {
                        section.card #refused-origins {
                            h2 { "Refused origins" }
                            (refused_origins(request, &app, &refused))
                        }
                    }
                }
            }
        }
    }))
}

/// The form of the app's settings. If this form was rejected before, it has what was submitted.
fn app_form(request: &PageRequest<'_>, app: &App, kept: &Kept) -> Markup {
    let kept = kept.get("origins").map(|_| kept);
    let auth = kept.map_or(Some(app.auth), |kept| match kept.text("auth") {
        "open" => Some(AuthPolicy::Open),
        "token" => Some(AuthPolicy::Token),
        _ => None,
    });
    let content = html! {
        label { "Name" input name="name" required maxlength="255" value=(kept.map_or(&*app.name, |kept| kept.text("name"))); }
        (components::auth_policy_choice(auth))
        p.hint { "Requiring a token ends every session that was opened with a user id only." }
        label.check {
            input type="checkbox" name="directory" value="yes" checked[kept.map_or(app.directory, |kept| kept.get("directory").is_some())];
            span { strong { "User directory." } " Clients may list and search the users of this app." }
        }
        (session_limit(request, app.sessions, kept))
        (origins(app, kept))
        button.main { "Save" }
    };
    components::form(request, "/dashboard/app/update", &[("app", app.id.as_str())], content)
}

/// The maximum number of sessions of a user. The server has a limit too, which holds without one of the app.
fn session_limit(request: &PageRequest<'_>, policy: SessionPolicy, kept: Option<&Kept>) -> Markup {
    let (chosen, max) = match policy {
        SessionPolicy::Unlimited => ("unlimited", None),
        SessionPolicy::RejectNew(max) => ("reject_new", Some(max)),
        SessionPolicy::EvictOldest(max) => ("evict_oldest", Some(max)),
    };
    let max = max.map_or(String::new(), |max| max.to_string());
    let (chosen, max) = kept.map_or((chosen, &*max), |kept| (kept.text("sessions"), kept.text("most")));
    let of_server = request.services.server.limits().sessions_per_user;
    let choices = [
        ("unlimited", "Unlimited in this app"),
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
        label {
            "Limit " span.optional { "1 to " (MAX_SESSIONS) "; leave empty if unlimited" }
            input name="most" type="number" min="1" max=(MAX_SESSIONS) value=(max) aria-describedby="session-limit";
        }
        p.hint #session-limit {
            @if policy == SessionPolicy::Unlimited { "The server refuses more than " }
            @else { "In addition, the server refuses more than " }
            (count(of_server as u64, "session", "sessions")) " of one user."
        }
    }
}

/// The web pages that may connect.
fn origins(app: &App, kept: Option<&Kept>) -> Markup {
    let named = app.origins.patterns().iter().map(OriginPattern::as_str).collect::<Vec<_>>().join("\n");
    let text = kept.map_or(&*named, |kept| kept.text("origins"));
    let is_required =
        kept.map_or_else(|| app.origins.is_required(), |kept| kept.get("require_origin").is_some());
    html! {
        label {
            "Origins of web pages " span.optional { "one per line; empty for pages of every origin" }
            textarea name="origins" rows="3" spellcheck="false" autocapitalize="none" placeholder="https://shop.example" { (text) }
        }
        p.hint { code { "https://*.shop.example" } " stands for all subdomains. Sessions that are connected continue." }
        label.check {
            input type="checkbox" name="require_origin" value="yes" checked[is_required];
            span { strong { "Browsers only." } " Clients that send no origin are refused, such as apps and command lines." }
        }
    }
}

fn refused_origins(request: &PageRequest<'_>, app: &App, refused: &[RefusedOrigin]) -> Markup {
    html! {
        p.lead { "Clients that this app refused in the last hour because of their origin. To accept one, add it to the list of origins, or run:" }
        div.code {
            pre tabindex="0" aria-label="Command" { code { "chatcamp app origins --app " (app.id) " --add ORIGIN" } }
        }
        ul.keys {
            @for RefusedOrigin { origin, count: times, last, .. } in refused {
                li {
                    div {
                        bdi.name {
                            @match origin {
                                ClientOrigin::Page(origin) => (VisibleText(origin.as_str())),
                                ClientOrigin::Missing => "Origin missing: not a browser",
                                ClientOrigin::Invalid => "Origin invalid: not a browser",
                            }
                        }
                        span.dim { (count(*times, "time", "times")) " · last " (ago(*last, request.now())) }
                    }
                    @if let ClientOrigin::Page(origin) = origin {
                        (components::copy_button(&format!("Copy {origin}"), origin.as_str()))
                    }
                }
            }
        }
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
