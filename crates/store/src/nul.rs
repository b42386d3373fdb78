//! Checks texts for NUL.

use serde_json::{Map, Value};

use crate::{ApiKey, App, StoreError, User};

/// Refuses NUL in the texts of a new user. Ids cannot contain it.
pub(crate) fn check_user(user: &User) -> Result<(), StoreError> {
    for text in user.profile.texts() {
        check(text.field, text.text)?;
    }
    if has_nul(&user.profile.metadata) { Err(StoreError::Nul { field: "metadata" }) } else { Ok(()) }
}

/// Refuses NUL in the texts of an edited user.
///
/// A profile that the edit does not change is not checked: one that an older release wrote may contain NUL, and the user can still be
/// suspended.
pub(crate) fn check_edited_user(old: &User, edited: &User) -> Result<(), StoreError> {
    if edited.profile == old.profile { Ok(()) } else { check_user(edited) }
}

/// Refuses NUL in the name of a new app.
pub(crate) fn check_app(app: &App) -> Result<(), StoreError> {
    check("name", &app.name)
}

/// Refuses NUL in the name of an edited app, unless the edit does not change the name.
pub(crate) fn check_edited_app(old: &App, edited: &App) -> Result<(), StoreError> {
    if edited.name == old.name { Ok(()) } else { check_app(edited) }
}

/// Refuses NUL in the id and the name of a new API key.
pub(crate) fn check_api_key(key: &ApiKey) -> Result<(), StoreError> {
    check("id", &key.id)?;
    check("name", &key.name)
}

/// Refuses NUL in the name of a setting.
pub(crate) fn check_setting(name: &str) -> Result<(), StoreError> {
    check("name", name)
}

fn check(field: &'static str, text: &str) -> Result<(), StoreError> {
    if text.contains('\0') { Err(StoreError::Nul { field }) } else { Ok(()) }
}

fn has_nul(map: &Map<String, Value>) -> bool {
    map.iter().any(|(key, value)| key.contains('\0') || value_has_nul(value))
}

fn value_has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(value_has_nul),
        Value::Object(map) => has_nul(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
