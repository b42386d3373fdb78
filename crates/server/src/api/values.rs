//! Kinds of values in requests: what they are to the OpenAPI document, and the numbers that have bounds.
//!
//! A text may be a whole number and a number may be text, so that is what the document says. Lengths are bytes, of which
//! JSON Schema knows nothing: of text beyond ASCII less fits than a `maxLength` says.

use std::{borrow::Cow, ops::RangeInclusive};

use chatcamp_protocol::limits;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::operations::name;

/// Control characters, which ids, tokens and names do not have.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

/// Says what a kind of value is to the document.
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
    /// Text of at most so many bytes.
    Text<const MOST: usize> = text(&serde_json::json!({ "maxLength": MOST }))
}

kind! {
    /// A name of 1 to so many bytes, with something to see.
    Name<const MOST: usize> = text(&serde_json::json!({
        "minLength": 1, "maxLength": MOST,
        "pattern": format!("^[^{CONTROL}]*[^{CONTROL}{}][^{CONTROL}]*$", class(name::INVISIBLE)),
    }))
}

kind! {
    /// Text of any length.
    AnyText = text(&serde_json::json!({}))
}

kind! {
    /// A user's id.
    Id = text(&serde_json::json!({
        "minLength": 1, "maxLength": limits::USER_ID, "pattern": format!("^[^{CONTROL}]+$"),
    }))
}

kind! {
    /// Where a page begins: an id, or a name and an id, or nothing at all.
    Reference = text(&serde_json::json!({
        "pattern": format!(r"^(([\s\S]*\u001f)?[^{CONTROL}]{{1,{}}})?$", limits::USER_ID),
    }))
}

kind! {
    /// The type of an event.
    EventType = text(&serde_json::json!({ "pattern": format!("^[a-z0-9._-]{{1,{}}}$", limits::EVENT_TYPE) }))
}

kind! {
    /// An access token of the caller's choice; as a number, one of as many digits.
    Token = json_schema!({
        "anyOf": [
            {
                "type": "string",
                "minLength": limits::CUSTOM_TOKEN.start(),
                "maxLength": limits::CUSTOM_TOKEN.end(),
                "pattern": format!("^[^{CONTROL}]+$"),
                "not": { "pattern": "^ct1_" },
            },
            { "type": "integer", "minimum": 10_u64.pow(15), "maximum": u64::MAX },
            { "type": "integer", "minimum": i64::MIN, "maximum": -10_i64.pow(14) },
        ],
    })
}

kind! {
    /// How many sessions a user may have.
    Sessions = json_schema!({
        "type": "string", "pattern": "^(unlimited|(reject_new|evict_oldest):([1-9][0-9]?|100))$",
    })
}

kind! {
    /// Whether something is so.
    Flag = json_schema!({ "enum": [true, false, 1, 0, "true", "false", "1", "0"] })
}

/// The characters as a pattern has them between brackets.
fn class(ranges: &[RangeInclusive<char>]) -> String {
    let escaped = |c: char| format!(r"\u{:04x}", u32::from(c));
    ranges.iter().map(|range| format!("{}-{}", escaped(*range.start()), escaped(*range.end()))).collect()
}

/// Text with these bounds, or a whole number in its place.
fn text(bounds: &serde_json::Value) -> Schema {
    let mut schema = json_schema!({
        "type": ["string", "integer"], "minimum": i64::MIN, "maximum": u64::MAX,
    });
    for (name, bound) in bounds.as_object().into_iter().flatten() {
        schema.insert(name.clone(), bound.clone());
    }
    schema
}

/// A whole number with bounds: the lower one is 0 or 1, the upper one a power of ten or one less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole<const LEAST: u64, const MOST: u64>(pub(super) u64);

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        match (LEAST..=MOST).contains(&number) {
            true => Ok(Self(number)),
            false => Err(D::Error::custom(format_args!("this is not from {LEAST} to {MOST}"))),
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
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": LEAST, "maximum": MOST },
            { "type": "string", "pattern": pattern(LEAST, MOST) },
        ]})
    }
}

/// What the text of a number within such bounds looks like.
fn pattern(least: u64, most: u64) -> String {
    let power = 10_u64.pow(most.ilog10()) == most;
    // All numbers of up to so many digits are within.
    let digits = if power { most.ilog10() } else { most.ilog10() + 1 };
    let below = format!("[1-9][0-9]{{0,{}}}", digits - 1);
    let (zero, top) =
        (if least == 0 { "|0" } else { "" }, if power { format!("|{most}") } else { String::new() });
    format!("^0*({below}{zero}{top})$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_those_of_names() {
        assert_eq!(class(name::CONTROL), CONTROL);
    }

    #[test]
    fn patterns_are_of_numbers_within_their_bounds() {
        for (least, most, expected) in [
            (1, 1000, "^0*([1-9][0-9]{0,2}|1000)$"),
            (0, 999, "^0*([1-9][0-9]{0,2}|0)$"),
            (1, 9_999_999_999, "^0*([1-9][0-9]{0,9})$"),
        ] {
            assert_eq!(pattern(least, most), expected);
        }
    }
}
