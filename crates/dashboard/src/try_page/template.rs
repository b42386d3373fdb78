//! The page's HTML. `page.js` makes it work. Links are relative to `/try`: a proxy may serve the server under a path.

use chatcamp_protocol::AppId;
use data_encoding::HEXLOWER;
use maud::{DOCTYPE, Markup, html};

/// Renders the page with two new user ids: the ids of users that a backend has created would need tokens.
///
/// # Panics
/// If the operating system's random number generator fails.
pub(super) fn render(app: &AppId) -> Markup {
    let mut random = [0; 2];
    getrandom::fill(&mut random).expect("the operating system provides random bytes");
    let suffix = HEXLOWER.encode(&random);
    let users = ["alice", "bob"].map(|name| format!("{name}-{suffix}"));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Try ChatCamp" }
                link rel="icon" type="image/svg+xml" href="try/icon.svg";
                link rel="stylesheet" href="try/page.css";
                script type="module" src="try/page.js" {}
            }
            body {
                header.top {
                    div.title {
                        h1 { "Try ChatCamp" }
                        p { "Connect both users, send a message, cut one connection and watch it resume." }
                    }
                    div.app {
                        label for="app-id" { "App id" }
                        input id="app-id" value=(app.as_str()) spellcheck="false" autocomplete="off" autocapitalize="off";
                        button.primary id="connect-both" type="button" { "Connect both" }
                    }
                }
                noscript { p.note { "This page needs JavaScript." } }
                main {
                    @for (index, user) in users.iter().enumerate() { (panel(index, user)) }
                }
                footer {
                    p {
                        "Each load of this page makes new user ids. To connect as a user of your own, change an id and give the "
                        "user's access token, if it has one."
                    }
                    p {
                        "A client receives events. To send one, the page of an app asks its backend, which publishes it with the "
                        "API key (" code { "users.publish" } "). Here, the server of this page replaces the backend, for the "
                        "development app only. The client is " a href="chatcamp.js" { "chatcamp.js" } "; its types are in "
                        a href="chatcamp.d.ts" { "chatcamp.d.ts" } "."
                    }
                }
            }
        }
    }
}

fn panel(index: usize, user: &str) -> Markup {
    let id = |name: &str| format!("{name}-{index}");
    html! {
        section.user data-user=(index) aria-labelledby=(id("name")) {
            div.head {
                h2.name id=(id("name")) { (user) }
                p.status data-state="disconnected" role="status" { "Not connected" }
            }
            form.login {
                div.field {
                    label for=(id("user")) { "User id" }
                    input.user-id id=(id("user")) value=(user) required spellcheck="false" autocomplete="off"
                        autocapitalize="off";
                }
                div.field {
                    label for=(id("transport")) { "Transport" }
                    select.transport id=(id("transport")) {
                        option value="auto" { "Automatic" }
                        option value="websocket" { "WebSocket" }
                        option value="long-poll" { "Long-poll" }
                    }
                }
                div.field.wide {
                    label for=(id("token")) { "Access token " span.dim { "(if the user has one)" } }
                    input.token id=(id("token")) type="password" autocomplete="off" spellcheck="false";
                }
                div.buttons {
                    button.connect.primary type="submit" { "Connect" }
                    button.disconnect type="button" disabled { "Disconnect" }
                    button.cut type="button" disabled { "Cut connection" }
                }
            }
            div.messages role="log" aria-label="Messages" {
                p.empty { "No messages yet." }
            }
            form.message {
                label.hidden for=(id("text")) { "Message to the other user" }
                input.text id=(id("text")) placeholder="Message" required maxlength="2000" autocomplete="off"
                    disabled;
                button.send type="submit" disabled { "Send" }
            }
            details.wire open {
                summary { "Wire log" }
                p.legend { span.sent { "→ sent" } " " span.received { "← received" } " " span { "secrets are replaced by …" } }
                ol tabindex="0" aria-label="Messages on the wire" {}
            }
        }
    }
}
