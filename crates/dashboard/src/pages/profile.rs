//! A user's profile: its values, and the form that changes them.

use chatcamp_protocol::{Profile, user::ProfileText};
use chatcamp_store::User;
use maud::{Markup, html};

use super::{components, metadata, time::Utc, users::last_seen};
use crate::{flash::Kept, request::PageRequest, visible_text::VisibleLines};

pub(super) fn card(request: &PageRequest<'_>, user: &User, is_online: bool, kept: &Kept) -> Markup {
    let profile = &user.profile;
    html! {
        section.card {
            h3 { "Profile" }
            dl.facts {
                @for text in profile.texts() {
                    @if !text.text.is_empty() { dt { (label(text.field)) } dd { bdi.user-text { (VisibleLines(text.text)) } } }
                }
                dt { "Created" } dd { (Utc(user.created_at)) }
                dt { "Last seen" } dd { (last_seen(request, user, is_online)) }
            }
            @if !profile.metadata.is_empty() {
                h4 { "Metadata" }
                (metadata::list(&profile.metadata))
            }
            details.more open[kept.get("rev").is_some()] {
                summary { "Edit profile" }
                (form(request, user, kept))
            }
        }
    }
}

fn form(request: &PageRequest<'_>, user: &User, kept: &Kept) -> Markup {
    let Profile { metadata, .. } = &user.profile;
    let metadata = metadata::editable(metadata);
    let rev = user.rev.to_string();
    let hidden = [("app", user.app.as_str()), ("id", user.id.as_str()), ("rev", &rev)];
    let content = html! {
        @for ProfileText { field, text, .. } in user.profile.texts() {
            (field_of_form(field, kept.get(field).unwrap_or(text), kept))
        }
        (field_of_form("metadata", kept.get("metadata").unwrap_or(&metadata), kept))
        button.main { "Save profile" }
    };
    components::form(request, "/dashboard/user/profile", &hidden, content)
}

/// A field with its label, and the reason if its value was rejected.
fn field_of_form(field: &'static str, value: &str, kept: &Kept) -> Markup {
    let reason = kept.reason(field);
    let id = format!("profile-{field}");
    let error = reason.map(|_| format!("{id}-error"));
    let is_invalid = reason.map(|_| "true");
    html! {
        div.field {
            label for=(id) {
                (label(field))
                @if field == "metadata" { span.optional { " a JSON object" } }
            }
            @if let Some(reason) = reason { p.error id=[&error] { (reason) } }
            @if matches!(field, "metadata" | "data") {
                // The first line break in a text area is not part of its value.
                textarea id=(id) name=(field) rows=(value.lines().count().clamp(2, 12)) spellcheck="false"
                    aria-invalid=[is_invalid] aria-describedby=[&error] { "\n" (value) }
            } @else {
                input id=(id) name=(field) value=(value) autocomplete="off" spellcheck="false"
                    aria-invalid=[is_invalid] aria-describedby=[&error];
            }
        }
    }
}

fn label(field: &str) -> &str {
    match field {
        "display_name" => "Display name",
        "first_name" => "First name",
        "last_name" => "Last name",
        "email" => "E-mail",
        "phone_number" => "Phone",
        "profile_url" => "Profile URL",
        "avatar_url" => "Avatar URL",
        "data" => "Data",
        "metadata" => "Metadata",
        other => other,
    }
}
