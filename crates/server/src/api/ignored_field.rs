//! Names the fields of a request that its method does not have.

use chatcamp_protocol::ApiCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::{answer::Refusal, fields::Fields, known_fields::nearest};

/// The most fields that an answer names.
const MOST: usize = 20;
/// The longest name that is repeated in an answer, in characters. Longer ones are cut, and no other name is suggested.
const LONGEST: usize = 64;

/// A field of the request that the method does not have.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct IgnoredField {
    /// The name in the request; at most 64 characters of it.
    name: String,
    /// A field of the method with a similar name.
    #[serde(skip_serializing_if = "Option::is_none")]
    did_you_mean: Option<&'static str>,
}

impl IgnoredField {
    fn new(name: &str, known: &'static [&'static str]) -> Self {
        let shown: String = name.chars().take(LONGEST).collect();
        let did_you_mean = if shown == name { nearest(name, known.iter().copied()) } else { None };
        Self { name: shown, did_you_mean }
    }
}

impl Fields {
    /// Returns the fields that are not among the `known` ones, up to [`MOST`].
    pub(super) fn ignored(&self, known: &'static [&'static str]) -> Vec<IgnoredField> {
        let ignored = self.fields.keys().filter(|name| !known.contains(&name.as_str()));
        ignored.take(MOST).map(|name| IgnoredField::new(name, known)).collect()
    }
}

impl Refusal {
    /// Names the first of these fields if a field is missing: it may be the missing field under another name.
    pub(super) fn naming(mut self, ignored: &[IgnoredField]) -> Self {
        if self.code == ApiCode::MissingField
            && let Some(field) = ignored.first()
        {
            let unknown = format!("; the field {} of the request is unknown", field.name);
            self.message.to_mut().push_str(&unknown);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bounded_part_of_many_long_names_is_repeated() {
        let long = format!("display_name{}", "é".repeat(100));
        let mut fields: serde_json::Map<_, _> = (0..30).map(|n| (format!("x{n}"), json!(n))).collect();
        fields.insert(long, json!(1));
        let ignored = Fields { fields, is_form: false }.ignored(&["display_name"]);
        assert_eq!(ignored.len(), MOST);
        assert_eq!((ignored[0].name.chars().count(), ignored[0].did_you_mean), (LONGEST, None));
    }
}
