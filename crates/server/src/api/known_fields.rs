//! The names of the fields that a request has, and the nearest of them for a mistyped one.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
    forward_to_deserialize_any,
};

/// The least similarity of a name that is suggested, as Jaro and Winkler measure it, from 0 to 1.
const SIMILARITY: f64 = 0.8;

/// Returns the names of the fields that a struct reads. Its `Deserialize` is derived, without `flatten`.
pub(super) fn names_of<T: Deserialize<'static>>() -> &'static [&'static str] {
    T::deserialize(Names).err().map_or(&[], |StructNames(names)| names)
}

/// Returns the known name that is nearest to `name`. Returns `None` if none is similar.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_lowercase().replace(['-', ' '], "_");
    let similar = known.map(|known| (strsim::jaro_winkler(&name, known), known));
    let nearest = similar.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (nearest.0 >= SIMILARITY).then_some(nearest.1)
}

/// A deserializer that only learns which fields a struct asks for, and then fails with them.
struct Names;

#[derive(Debug)]
struct StructNames(&'static [&'static str]);

impl<'de> Deserializer<'de> for Names {
    type Error = StructNames;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, StructNames> {
        Err(StructNames(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, StructNames> {
        Err(StructNames(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl Error for StructNames {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl fmt::Display for StructNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fields are {}", self.0.join(", "))
    }
}

impl std::error::Error for StructNames {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the names are read")]
    struct Request {
        id: String,
        #[serde(rename = "type")]
        kind: Option<String>,
    }

    #[test]
    fn the_names_of_a_struct_are_those_on_the_wire() {
        assert_eq!(names_of::<Request>(), ["id", "type"]);
        assert!(names_of::<String>().is_empty());
    }

    #[test]
    fn the_nearest_name_is_similar_or_none() {
        const KNOWN: [&str; 8] = [
            "id",
            "display_name",
            "first_name",
            "email",
            "phone_number",
            "is_suspended",
            "access_token",
            "metadata",
        ];
        for (name, expected) in [
            ("display_nam", Some("display_name")),
            ("displayName", Some("display_name")),
            ("display-name", Some("display_name")),
            ("E-Mail", Some("email")),
            ("phone", Some("phone_number")),
            ("suspended", Some("is_suspended")),
            ("token", None),
            ("meta", Some("metadata")),
            ("unheard_of", None),
            ("shoe_size", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, KNOWN.into_iter()), expected, "{name}");
        }
    }
}
