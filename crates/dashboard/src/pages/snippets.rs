//! Code to paste, with an app's real values. Never with a real key or token: what is pasted gets around.

use chatcamp_server::AuthPolicy;
use chatcamp_store::App;
use maud::{Markup, html};

use super::parts;

/// A language, and what is said in it.
struct Snippet {
    id: &'static str,
    name: &'static str,
    hint: Markup,
    code: String,
}

pub(super) fn needs_token(auth: AuthPolicy) -> bool {
    auth == AuthPolicy::Token
}

/// All of them, one at a time.
pub(super) fn show(url: &str, app: &App) -> Markup {
    let snippets = all(url, app);
    html! {
        fieldset.snippets {
            legend.unseen { "Language" }
            @for (index, snippet) in snippets.iter().enumerate() {
                input.unseen type="radio" name="snippet" id=(snippet.id) checked[index == 0];
                label for=(snippet.id) { (snippet.name) }
            }
            @for snippet in &snippets {
                div.snippet {
                    div.over {
                        p.hint { (snippet.hint) }
                        (parts::copy(&format!("Copy the code: {}", snippet.name), &snippet.code))
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
    let (id, token) = (&app.id, needs_token(app.auth));
    let (sdk_token, module_token, rust_who) = match token {
        true => ("\"ACCESS_TOKEN\", ", ", \"ACCESS_TOKEN\"", "(\"alice\", \"ACCESS_TOKEN\")"),
        false => ("", "", "\"alice\""),
    };
    let terminal_token = if token { " --token ACCESS_TOKEN" } else { "" };
    [
        Snippet {
            id: "snippet-module",
            name: "Web page",
            hint: html! { "The client comes from this server: one module, nothing to install or build." },
            code: format!(
                "<script type=\"module\">\n  \
                   import {{ ChatCamp }} from \"{url}/chatcamp.js\";\n\n  \
                   const chat = new ChatCamp({{ appId: \"{id}\" }});\n  \
                   chat.on(\"event\", ({{ type, data }}) => console.log(type, data));\n  \
                   const user = await chat.connect(\"alice\"{module_token});\n  \
                   console.log(\"connected as \" + user.id);\n\
                 </script>"
            ),
        },
        Snippet {
            id: "snippet-sdk",
            name: "Old SDK",
            hint: html! {
                "The published SDK, unmodified: the first line leads it here. "
                code { "ChatCamp.min.js" } " is in the npm package " code { "chatcamp" } "."
            },
            code: format!(
                "<script src=\"{url}/compat.js\"></script>\n\
                 <script src=\"ChatCamp.min.js\"></script>\n\
                 <script>\n  \
                   const chatcamp = new ChatCamp({{ appId: \"{id}\" }});\n  \
                   chatcamp.connect(\"alice\", {sdk_token}function (error, user) {{\n    \
                     if (error == null) console.log(\"connected as \" + user.id);\n  \
                   }});\n\
                 </script>"
            ),
        },
        Snippet {
            id: "snippet-rust",
            name: "Rust",
            hint: html! { "With the crate " code { "chatcamp-client" } "." },
            code: format!(
                "let chat = ChatCamp::builder(\"{id}\").url(\"{url}\").build()?;\n\
                 let user = chat.connect({rust_who}).await?;\n\
                 println!(\"connected as {{}}\", user.id);"
            ),
        },
        Snippet {
            id: "snippet-curl",
            name: "Backend",
            hint: html! {
                "Creates a user and answers with the access token. " code { "API_KEY" }
                " stands for a key from Settings; it belongs in a backend, never in an app."
            },
            code: format!(
                "curl {url}/api/2.0/users.create \\\n  \
                   -H \"x-api-key: $API_KEY\" \\\n  \
                   -H \"content-type: application/json\" \\\n  \
                   -d '{{\"id\": \"alice\", \"display_name\": \"Alice\"}}'"
            ),
        },
        Snippet {
            id: "snippet-terminal",
            name: "Terminal",
            hint: html! { "Connects and prints what happens, until Ctrl-C." },
            code: format!("chatcamp connect alice --app {id} --url {url}{terminal_token}"),
        },
    ]
}

#[cfg(test)]
mod tests {
    use chatcamp_protocol::AppId;

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
