//! JSON schemas of the values in requests, for the OpenAPI document, and whole numbers with bounds.
//!
//! A schema states the one type that a caller should send. A request may also use the lenient forms of [`fields`](super::fields),
//! which the description of the document names. The limits of lengths are in bytes, but `maxLength` counts characters: text beyond
//! ASCII must be shorter than its `maxLength`.

use std::{borrow::Cow, ops::RangeInclusive};

use chatcamp_protocol::limits;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::operations::name;

/// Control characters, which ids, tokens and names must not contain.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

/// Defines the JSON schema of a kind of value.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident $(<const $bound:ident: usize>)? = $schema:expr) => {
        $(#[$doc])*
        pub(super) struct $name $(<const $bound: usize>)?;

        impl $(<const $bound: usize>)? JsonSchema for $name $(<$bound>)? {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

kind! {
    /// Text of at most `MOST` bytes, without the character NUL.
    Text<const MOST: usize> = json_schema!({
        "type": "string", "maxLength": MOST, "pattern": r"^[^\u0000]*$",
    })
}

kind! {
    /// A name of 1 to `MOST` bytes, with a visible character.
    Name<const MOST: usize> = json_schema!({
        "type": "string", "minLength": 1, "maxLength": MOST,
        "pattern": format!("^[^{CONTROL}]*[^{CONTROL}{}][^{CONTROL}]*$", class(name::INVISIBLE)),
    })
}

kind! {
    /// A user's id.
    Id = json_schema!({
        "type": "string", "minLength": 1, "maxLength": limits::USER_ID, "pattern": format!("^[^{CONTROL}]+$"),
    })
}

kind! {
    /// Where a page begins: an id, a name and an id, or an empty text.
    Reference = json_schema!({
        "type": "string", "pattern": format!(r"^(([\s\S]*\u001f)?[^{CONTROL}]{{1,{}}})?$", limits::USER_ID),
    })
}

kind! {
    /// The type of an event.
    EventType = json_schema!({
        "type": "string", "pattern": format!("^[a-z0-9._-]{{1,{}}}$", limits::EVENT_TYPE),
    })
}

kind! {
    /// An access token chosen by the caller, without white space at its ends.
    Token = json_schema!({
        "type": "string",
        "minLength": limits::CUSTOM_TOKEN.start(),
        "maxLength": limits::CUSTOM_TOKEN.end(),
        "pattern": format!(r"^(?!ct1_)[^{CONTROL}\s][^{CONTROL}]*[^{CONTROL}\s]$"),
    })
}

kind! {
    /// How many sessions a user may have.
    Sessions = json_schema!({
        "type": "string", "pattern": "^(unlimited|(reject_new|evict_oldest):([1-9][0-9]?|100))$",
    })
}

kind! {
    /// An origin of web pages, or the origins of all subdomains of a host.
    Origin = json_schema!({ "type": "string", "maxLength": 300, "pattern": origin() })
}

/// Returns a pattern for origins that an app can name.
fn origin() -> String {
    let scheme = "(?![Ww][Ss]{1,2}:)[A-Za-z][A-Za-z0-9+.-]*";
    let name = r"(\*\.)?([A-Za-z0-9_-]{1,63}\.)*[A-Za-z_-][A-Za-z0-9_-]{0,62}\.?";
    let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    let group = "[0-9A-Fa-f]{1,4}";
    let shortened =
        (1..7).map(|n| format!("({group}:){{1,{n}}}(:{group}){{1,{}}}", 7 - n)).collect::<Vec<_>>().join("|");
    let address = format!("({group}:){{7}}{group}|({group}:){{1,7}}:|:((:{group}){{1,7}}|:)|{shortened}");
    let port = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]";
    format!(
        r"^(null|[Ff][Ii][Ll][Ee]://|{scheme}://({name}|({byte}\.){{3}}{byte}|\[({address})\])(:0*({port}))?)$"
    )
}

/// Returns the characters as the inside of a bracket expression.
fn class(ranges: &[RangeInclusive<char>]) -> String {
    let escaped = |c: char| format!(r"\u{:04x}", u32::from(c));
    ranges.iter().map(|range| format!("{}-{}", escaped(*range.start()), escaped(*range.end()))).collect()
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole<const LEAST: u64, const MOST: u64>(pub(super) u64);

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if (LEAST..=MOST).contains(&number) {
            Ok(Self(number))
        } else {
            Err(D::Error::custom(format_args!("this is not from {LEAST} to {MOST}")))
        }
    }
}

impl<const LEAST: u64, const MOST: u64> JsonSchema for Whole<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_characters_are_those_of_the_name_rules() {
        assert_eq!(class(name::CONTROL), CONTROL);
    }
}
