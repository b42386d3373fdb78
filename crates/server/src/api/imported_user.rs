//! Reads imported users by the rules of `users.create`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    answer::Refusal,
    fields::Fields,
    known_fields::{names_of, nearest},
    users::Write,
};
use crate::{AccountError, ImportedUser};

/// The fields of an imported user that `users.create` does not have.
#[derive(Deserialize)]
struct ImportFields {
    auto_created: Option<bool>,
}

impl ImportedUser {
    /// Returns the names of the fields that [`read`](Self::read) ignores, each with the nearest known name, if one is similar.
    ///
    /// Needs the feature `api`.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_server::ImportedUser;
    ///
    /// let fields = serde_json::json!({"id": "alice", "display_nam": "Alice"});
    /// let unknown: Vec<_> = ImportedUser::unknown_fields(fields.as_object().unwrap()).collect();
    /// assert_eq!(unknown, [("display_nam", Some("display_name"))]);
    /// ```
    pub fn unknown_fields(fields: &Map<String, Value>) -> impl Iterator<Item = (&str, Option<&'static str>)> {
        let known = || names_of::<Write>().iter().chain(names_of::<ImportFields>()).copied();
        let unknown = fields.keys().filter(move |name| known().all(|known| known != *name));
        unknown.map(move |name| (name.as_str(), nearest(name, known())))
    }

    /// Reads a user from the JSON fields of `users.create` and the flag `auto_created`; ignores other fields, which
    /// [`unknown_fields`](Self::unknown_fields) returns.
    ///
    /// Needs the feature `api`, because it uses the API's rules for fields.
    ///
    /// # Errors
    /// Returns [`AccountError::InvalidField`], which names the field, if a field is missing or invalid.
    pub fn read(mut fields: Map<String, Value>) -> Result<Self, AccountError> {
        let invalid = |refusal: Refusal| AccountError::InvalidField(refusal.message.into_owned());
        let import_fields = fields.remove_entry("auto_created").into_iter().collect();
        let import_fields = Fields { fields: import_fields, is_form: false };
        let ImportFields { auto_created } = import_fields.read().map_err(invalid)?;
        let user: Write = Fields { fields, is_form: false }.read().map_err(invalid)?;
        let (id, fields) = user.into_parts();
        Ok(Self { id, fields, auto_created: auto_created.unwrap_or(false) })
    }
}
