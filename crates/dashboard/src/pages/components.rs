//! Parts that several pages contain.

use chatcamp_server::AuthPolicy;
use maud::{Markup, html};

use crate::{request::PageRequest, visible_text::VisibleText};

/// A form with the token of the browser's session.
pub(super) fn form(
    request: &PageRequest<'_>,
    action: &str,
    hidden: &[(&str, &str)],
    content: Markup,
) -> Markup {
    html! {
        form method="post" action=(request.href(action, &[])) {
            input type="hidden" name="form_token" value=(*request.session.form_token);
            @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
            (content)
        }
    }
}

/// A button that first shows a warning, with the form that carries out the action.
pub(super) fn with_confirmation(action: &str, warning: &str, form: Markup) -> Markup {
    html! {
        details.confirm {
            summary.button.danger { (action) "…" }
            div { p { (warning) } (form) }
        }
    }
}

/// A value, with a button that copies it.
pub(super) fn copyable(name: &str, value: &str) -> Markup {
    html! {
        div.copyable {
            span.name { (name) }
            code { (VisibleText(value)) }
            (copy_button(&format!("Copy {name}"), value))
        }
    }
}

/// A button that copies a value. It is hidden until the script shows it.
pub(super) fn copy_button(label: &str, value: &str) -> Markup {
    html! { button.copy type="button" data-copy=(value) aria-label=(label) hidden { "Copy" } }
}

/// A placeholder for an empty list, with what to do next.
pub(super) fn empty_state(title: &str, advice: Markup) -> Markup {
    html! { div.empty { h3 { (title) } (advice) } }
}

pub(super) fn auth_policy(auth: AuthPolicy) -> Markup {
    html! {
        @match auth {
            AuthPolicy::Open => span.badge.warn title="A user id is enough; unknown users are created" { "open" },
            AuthPolicy::Token => span.badge.good title="An access token is required; unknown users are refused" { "token" },
        }
    }
}

/// The choice of an auth policy, for a form. There is no default.
pub(super) fn auth_policy_choice(chosen: Option<AuthPolicy>) -> Markup {
    html! {
        fieldset.choice {
            legend { "Users must present" }
            @for (value, auth, name, explanation) in [
                ("token", AuthPolicy::Token, "Access token", "Your backend issues it. Unknown users are refused."),
                ("open", AuthPolicy::Open, "User id only", "The app is open: unknown users are created. For development."),
            ] {
                label {
                    input type="radio" name="auth" value=(value) required checked[chosen == Some(auth)];
                    span { strong { (name) "." } " " (explanation) }
                }
            }
        }
    }
}

/// A number with its noun.
pub(super) fn count(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", with_thousands(number), if number == 1 { singular } else { plural })
}

/// Formats a number with commas between the thousands.
pub(super) fn with_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        for (number, text) in
            [(0, "0 users"), (1, "1 user"), (999, "999 users"), (1_234_567, "1,234,567 users")]
        {
            assert_eq!(count(number, "user", "users"), text);
        }
    }
}
