//! Pieces that several pages are made of.

use chatcamp_server::AuthPolicy;
use maud::{Markup, html};

use crate::{gate::Ask, shown::Shown};

/// A form that this visit may send.
pub(super) fn form(ask: &Ask<'_>, action: &str, hidden: &[(&str, &str)], content: Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name="form_token" value=(*ask.visit.form_token);
            @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
            (content)
        }
    }
}

/// Something that asks twice: what is to be done, why one would hesitate, and the form that does it.
pub(super) fn hesitate(what: &str, why: &str, form: Markup) -> Markup {
    html! {
        details.hesitate {
            summary.button.danger { (what) "…" }
            div { p { (why) } (form) }
        }
    }
}

/// A value in full, with a button that copies it.
pub(super) fn copyable(name: &str, value: &str) -> Markup {
    html! {
        div.copyable {
            span.name { (name) }
            code { (Shown(value)) }
            (copy(&format!("Copy {name}"), value))
        }
    }
}

/// The button that copies; the script shows it.
pub(super) fn copy(label: &str, value: &str) -> Markup {
    html! { button.copy type="button" data-copy=(value) aria-label=(label) hidden { "Copy" } }
}

/// What there is to do where there is nothing yet.
pub(super) fn empty(title: &str, what: Markup) -> Markup {
    html! { div.empty { h3 { (title) } (what) } }
}

pub(super) fn policy(auth: AuthPolicy) -> Markup {
    html! {
        @match auth {
            AuthPolicy::Open => span.badge.warn title="A user id alone suffices; unknown users are created" { "open" },
            AuthPolicy::Token => span.badge.good title="Always an access token; unknown users are refused" { "token" },
        }
    }
}

/// The choice of a policy, for a form; none is chosen by silence.
pub(super) fn policy_choice(chosen: Option<AuthPolicy>) -> Markup {
    html! {
        fieldset.choice {
            legend { "What users must present" }
            @for (value, auth, name, what) in [
                ("token", AuthPolicy::Token, "Token", "Always an access token from your backend; unknown users are refused."),
                ("open", AuthPolicy::Open, "Open", "The user id alone suffices; unknown users are created. For trying things out."),
            ] {
                label {
                    input type="radio" name="auth" value=(value) required checked[chosen == Some(auth)];
                    span { strong { (name) } " " (what) }
                }
            }
        }
    }
}

/// A counted thing.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
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
    fn numbers_are_grouped() {
        for (number, text) in
            [(0, "0 users"), (1, "1 user"), (999, "999 users"), (1_234_567, "1,234,567 users")]
        {
            assert_eq!(count(number, "user", "users"), text);
        }
    }
}
