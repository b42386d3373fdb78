//! Users of an import, read by the rules of `users.create`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{answer::Refusal, fields::Fields, users::Write};
use crate::{AccountError, ImportedUser};

/// The fields of an imported user that `users.create` does not have.
#[derive(Deserialize)]
struct OfImports {
    auto_created: Option<bool>,
}

impl ImportedUser {
    /// Reads a user from the JSON fields of `users.create` and the flag `auto_created`; ignores other fields.
    ///
    /// Needs the feature `api`, whose rules for fields these are.
    ///
    /// # Errors
    /// [`AccountError::InvalidField`], which names the field.
    pub fn read(mut fields: Map<String, Value>) -> Result<Self, AccountError> {
        let invalid = |refusal: Refusal| AccountError::InvalidField(refusal.message.into_owned());
        let of_imports = fields.remove_entry("auto_created").into_iter().collect();
        let of_imports = Fields { fields: of_imports, is_form: false };
        let OfImports { auto_created } = of_imports.read().map_err(invalid)?;
        let user: Write = Fields { fields, is_form: false }.read().map_err(invalid)?;
        let (id, fields) = user.into_parts();
        Ok(Self { id, fields, auto_created: auto_created.unwrap_or(false) })
    }
}
