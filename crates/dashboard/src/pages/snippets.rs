//! Code to copy, with an app's APP_ID and URL. It never contains a real key or token: copied code is shared.

use chatcamp_protocol::AppId;
use chatcamp_server::AuthPolicy;
use chatcamp_store::App;
use maud::{Markup, html};

use super::components;

/// Code in one language.
struct Snippet {
    id: &'static str,
    name: &'static str,
    hint: Markup,
    code: String,
}

pub(super) fn needs_token(auth: AuthPolicy) -> bool {
    auth == AuthPolicy::Token
}

/// The snippets, one of them visible.
pub(super) fn show(url: &str, app: &App) -> Markup {
    let snippets = all(url, app);
    html! {
        fieldset.snippets {
            legend.visually-hidden { "Language" }
            @for (index, snippet) in snippets.iter().enumerate() {
                input.visually-hidden type="radio" name="snippet" id=(snippet.id) checked[index == 0];
                label for=(snippet.id) { (snippet.name) }
            }
            @for snippet in &snippets {
                div.snippet {
                    div.above-code {
                        p.hint { (snippet.hint) }
                        (components::copy_button(&format!("Copy the code: {}", snippet.name), &snippet.code))
                    }
                    div.code {
                        pre tabindex="0" aria-label={ "Code: " (snippet.name) } { code { (snippet.code) } }
                    }
                }
            }
        }
    }
}

fn all(url: &str, app: &App) -> [Snippet; 5] {
    let has_token = needs_token(app.auth);
    [
        web_page(url, &app.id, has_token),
        published_sdk(url, &app.id, has_token),
        rust(url, &app.id, has_token),
        backend(url),
        terminal(url, &app.id, has_token),
    ]
}

fn web_page(url: &str, id: &AppId, has_token: bool) -> Snippet {
    let token = if has_token { ", \"ACCESS_TOKEN\"" } else { "" };
    Snippet {
        id: "snippet-module",
        name: "Web page",
        hint: html! { "The client is one module, served by this server. There is nothing to install or build." },
        code: format!(
            "<script type=\"module\">\n  \
               import {{ ChatCamp }} from \"{url}/chatcamp.js\";\n\n  \
               const chat = new ChatCamp({{ appId: \"{id}\" }});\n  \
               chat.on(\"event\", ({{ type, data }}) => console.log(type, data));\n  \
               const user = await chat.connect(\"alice\"{token});\n  \
               console.log(\"connected as \" + user.id);\n\
             </script>"
        ),
    }
}

fn published_sdk(url: &str, id: &AppId, has_token: bool) -> Snippet {
    let token = if has_token { "\"ACCESS_TOKEN\", " } else { "" };
    Snippet {
        id: "snippet-sdk",
        name: "Published SDK",
        hint: html! {
            "The published SDK, unmodified. The first line makes it connect to this server. "
            code { "ChatCamp.min.js" } " is in the npm package " code { "chatcamp" } "."
        },
        code: format!(
            "<script src=\"{url}/compat.js\"></script>\n\
             <script src=\"ChatCamp.min.js\"></script>\n\
             <script>\n  \
               const chatcamp = new ChatCamp({{ appId: \"{id}\" }});\n  \
               chatcamp.connect(\"alice\", {token}function (error, user) {{\n    \
                 if (error == null) console.log(\"connected as \" + user.id);\n  \
               }});\n\
             </script>"
        ),
    }
}

fn rust(url: &str, id: &AppId, has_token: bool) -> Snippet {
    let credentials = if has_token { "(\"alice\", \"ACCESS_TOKEN\")" } else { "\"alice\"" };
    Snippet {
        id: "snippet-rust",
        name: "Rust",
        hint: html! { "Uses the crate " code { "chatcamp-client" } "." },
        code: format!(
            "let chat = ChatCamp::builder(\"{id}\").url(\"{url}\").build()?;\n\
             let user = chat.connect({credentials}).await?;\n\
             println!(\"connected as {{}}\", user.id);"
        ),
    }
}

fn backend(url: &str) -> Snippet {
    Snippet {
        id: "snippet-curl",
        name: "Backend",
        hint: html! {
            "Creates a user and returns the access token. " code { "API_KEY" }
            " is a key from the settings; use it only in a backend, never in an app."
        },
        code: format!(
            "curl {url}/api/2.0/users.create \\\n  \
               -H \"x-api-key: $API_KEY\" \\\n  \
               -H \"content-type: application/json\" \\\n  \
               -d '{{\"id\": \"alice\", \"display_name\": \"Alice\"}}'"
        ),
    }
}

fn terminal(url: &str, id: &AppId, has_token: bool) -> Snippet {
    let token = if has_token { " --token ACCESS_TOKEN" } else { "" };
    Snippet {
        id: "snippet-terminal",
        name: "Terminal",
        hint: html! { "Connects and prints events until Ctrl-C." },
        code: format!("chatcamp connect alice --app {id} --url {url}{token}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_snippet_has_the_apps_values_and_asks_for_a_token_where_one_is_needed() {
        let url = "http://127.0.0.1:9080";
        for auth in [AuthPolicy::Open, AuthPolicy::Token] {
            let app = App::new(AppId::new("6399747348821438464").unwrap(), "shop", auth, 0);
            for Snippet { id, code, .. } in all(url, &app) {
                assert!(code.contains(url), "{id}: {code}");
                let by_key = id == "snippet-curl";
                assert_eq!(code.contains(app.id.as_str()), !by_key, "{id}: {code}");
                assert_eq!(code.contains("ACCESS_TOKEN"), needs_token(auth) && !by_key, "{id}: {code}");
            }
        }
    }
}
