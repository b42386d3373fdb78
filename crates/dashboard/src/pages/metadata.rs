//! Metadata for readers: names and values, with nested JSON indented.

use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::visible_text::{VisibleLines, VisibleText};

/// The names and values of metadata.
pub(super) fn list(metadata: &Map<String, Value>) -> Markup {
    html! {
        dl.facts.metadata {
            @for (name, value) in metadata {
                dt { bdi { (VisibleText(name)) } }
                dd { (shown(value)) }
            }
        }
    }
}

/// Returns metadata as the text of a form. Returns an empty text for empty metadata.
pub(super) fn editable(metadata: &Map<String, Value>) -> String {
    if metadata.is_empty() { String::new() } else { format!("{:#}", Value::Object(metadata.clone())) }
}

fn shown(value: &Value) -> Markup {
    html! {
        @match value {
            Value::String(text) => bdi.user-text { (VisibleLines(text)) },
            Value::Array(_) | Value::Object(_) => {
                @let json = format!("{value:#}");
                pre tabindex="0" { code { (VisibleLines(&json)) } }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => code { (value.to_string()) },
        }
    }
}
