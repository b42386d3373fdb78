//! An app's name, policy and API keys.

use chatcamp_store::{ApiKey, App, MAX_SESSIONS, SessionPolicy};
use maud::{Markup, html};

use super::{
    frame::{self, Part},
    parts,
};
use crate::{fault::Fault, gate::Ask, moment::ago, reply::Reply, shown::Shown};

pub(super) async fn show(ask: &Ask<'_>) -> Result<Reply, Fault> {
    let app = ask.app().await?;
    let keys = ask.dashboard.accounts.api_keys(&app.id).await?;
    let title = format!("Settings of {}", Shown(&app.name));
    Ok(frame::page(ask, &title, Some((&app, Part::Settings)), |_| {
        html! {
            div.columns {
                section.card { h2 { "App" } (fields(ask, &app)) }
                section.card { h2 { "API keys" } (api_keys(ask, &app, &keys)) }
            }
        }
    }))
}

fn fields(ask: &Ask<'_>, app: &App) -> Markup {
    let content = html! {
        label { "Name" input name="name" required maxlength="255" value=(app.name); }
        (parts::policy_choice(Some(app.auth)))
        p.hint { "Switching to Token ends every session that was opened by user id alone, at once." }
        label.check {
            input type="checkbox" name="directory" value="yes" checked[app.directory];
            span { strong { "Directory." } " Clients may list and search the users of this app." }
        }
        (sessions(app.sessions))
        button.main { "Save" }
    };
    parts::form(ask, "/dashboard/app/update", &[("app", app.id.as_str())], content)
}

/// How many sessions a user may have.
fn sessions(policy: SessionPolicy) -> Markup {
    let (chosen, most) = match policy {
        SessionPolicy::Unlimited => ("unlimited", MAX_SESSIONS),
        SessionPolicy::RejectNew(most) => ("reject_new", most),
        SessionPolicy::EvictOldest(most) => ("evict_oldest", most),
    };
    let choices = [
        ("unlimited", "as many as there may be"),
        ("reject_new", "so many; one more is refused"),
        ("evict_oldest", "so many; the oldest ends for one more"),
    ];
    html! {
        label {
            "Sessions of a user"
            select name="sessions" {
                @for (value, text) in choices {
                    option value=(value) selected[value == chosen] { (text) }
                }
            }
        }
        label { "So many" input name="most" type="number" min="1" max=(MAX_SESSIONS) value=(most); }
    }
}

fn api_keys(ask: &Ask<'_>, app: &App, keys: &[ApiKey]) -> Markup {
    html! {
        p.lead { "With a key, your backend creates users and publishes events. A key is shown once, when it is made." }
        @if keys.is_empty() {
            (parts::empty("There is no key", html! { p { "Without one no backend speaks for this app. Make one below." } }))
        } @else {
            ul.keys {
                @for key in keys {
                    li {
                        div { bdi.name { (Shown(&key.name)) } span.dim { code { (key.id) } " · made " (ago(key.created_at, ask.now())) } }
                        (parts::hesitate(
                            "Revoke",
                            "Whoever calls with this key is refused from then on.",
                            parts::form(ask, "/dashboard/key/revoke", &[("app", app.id.as_str()), ("key", &key.id)],
                                html! { button.danger { "Revoke this key" } }),
                        ))
                    }
                }
            }
        }
        (parts::form(ask, "/dashboard/key/create", &[("app", app.id.as_str())], html! {
            label { "Name of a new key" input name="name" required maxlength="255" placeholder="backend, production" autocomplete="off"; }
            button { "Create API key" }
        }))
    }
}
