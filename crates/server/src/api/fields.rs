//! A lenient deserializer for the fields of a request.
//!
//! Forms contain only text, and callers in PHP write numbers for text. So a whole number is accepted for text, text for a
//! number, and 1, 0 or text for a boolean. In a form, objects, lists and free values are JSON text. `null` means absent.

use std::fmt;

use chatcamp_protocol::ApiCode;
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor, value,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

use super::answer::Refusal;

/// The fields of a request.
pub(super) struct Fields {
    pub(super) fields: Map<String, Value>,
    pub(super) is_form: bool,
}

impl Fields {
    /// Reads the request of a method; ignores unknown fields.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        T::deserialize(self).map_err(|FieldError { field, why, is_missing }| {
            let code = if is_missing { ApiCode::MissingField } else { ApiCode::InvalidField };
            Refusal::new(code, field.map_or_else(|| why.clone(), |field| format!("{field}: {why}")))
        })
    }
}

/// An invalid or missing field. It does not contain the value, which may be a secret.
#[derive(Debug)]
pub(super) struct FieldError {
    field: Option<String>,
    why: String,
    is_missing: bool,
}

impl serde::de::Error for FieldError {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self { field: None, why: why.to_string(), is_missing: false }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("this is none of {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { field: Some(field.to_owned()), why: "this is missing".to_owned(), is_missing: true }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for FieldError {}

impl<'de> Deserializer<'de> for Fields {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        let fields = self.fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>();
        visitor.visit_map(Each { fields: fields.into_iter(), value: None, is_form: self.is_form })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Iterates over the fields.
struct Each {
    fields: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
    is_form: bool,
}

impl<'de> MapAccess<'de> for Each {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, value)) = self.fields.next() else { return Ok(None) };
        let key = seed.deserialize(IntoDeserializer::<FieldError>::into_deserializer(name.as_str()));
        self.value = Some((name, value));
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let (name, value) =
            self.value.take().ok_or_else(|| FieldError::custom("a value is read before its name"))?;
        let field = Field { value, is_form: self.is_form };
        seed.deserialize(field).map_err(|wrong| FieldError { field: Some(name), ..wrong })
    }
}

/// The value of a field.
struct Field {
    value: Value,
    is_form: bool,
}

impl Field {
    fn text(self) -> Result<String, FieldError> {
        match self.value {
            Value::String(text) => Ok(text),
            value => whole(&value)
                .map(|number| number.to_string())
                .ok_or_else(|| FieldError::custom("this is not text")),
        }
    }

    fn flag(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => match text.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            value => match whole(value) {
                Some(1) => Some(true),
                Some(0) => Some(false),
                _ => None,
            },
        }
    }

    fn number(&self) -> Option<u64> {
        match &self.value {
            Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            value => whole(value).and_then(|number| u64::try_from(number).ok()),
        }
    }

    /// Returns the value; in a form, parses its text as JSON.
    fn structure(self) -> Result<Value, FieldError> {
        match self.value {
            Value::String(text) if self.is_form => {
                serde_json::from_str(&text).map_err(|_| FieldError::custom("this is not the text of JSON"))
            }
            value => Ok(value),
        }
    }
}

/// Returns a whole number from the smallest `i64` to the largest `u64`, else `None`. A number with a point or an exponent must be
/// small enough to be exact as a float.
fn whole(value: &Value) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let Value::Number(number) = value else { return None };
    let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    #[allow(clippy::cast_possible_truncation, reason = "it is a whole number within bounds")]
    let float = || {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)?;
        Some(float as i128)
    };
    exact.or_else(float)
}

impl<'de> Deserializer<'de> for Field {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        self.structure()?.deserialize_any(visitor).map_err(FieldError::custom)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        visitor.visit_enum(value::StringDeserializer::new(self.text()?))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_bool(self.flag().ok_or_else(|| FieldError::custom("this is neither true nor false"))?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_u64(self.number().ok_or_else(|| FieldError::custom("this is not a whole number"))?)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.structure()? {
            Value::Object(object) => object.deserialize_any(visitor).map_err(FieldError::custom),
            _ => Err(FieldError::custom("this is not a JSON object")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.structure()? {
            Value::Array(values) => visitor.visit_seq(Items(values.into_iter())),
            _ => Err(FieldError::custom("this is not a list")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct struct
        identifier
    }
}

/// Iterates over the items of a list, with the same leniency.
struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = FieldError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, FieldError> {
        let Some(value) = self.0.next() else { return Ok(None) };
        seed.deserialize(Field { value, is_form: false }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn read<T: DeserializeOwned>(fields: Value, is_form: bool) -> Result<T, (ApiCode, String)> {
        let Value::Object(fields) = fields else { panic!("an object") };
        Fields { fields, is_form }.read().map_err(|refusal| (refusal.code, refusal.message.into_owned()))
    }

    /// Reads one field.
    fn one<T: DeserializeOwned>(value: Value, is_form: bool) -> Result<T, (ApiCode, String)> {
        #[derive(Deserialize)]
        struct One<T> {
            field: T,
        }
        read(json!({ "field": value, "another": {"of": "no interest"} }), is_form)
            .map(|one: One<T>| one.field)
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Open,
    }

    #[test]
    fn a_form_and_json_are_read_the_same() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct All {
            id: String,
            n: u64,
            yes: bool,
            no: Option<bool>,
            map: Map<String, Value>,
            ids: Vec<String>,
            data: Value,
            word: Word,
            gone: Option<String>,
        }
        let json = json!({
            "id": 42, "n": "20", "yes": true, "no": 0, "map": {"k": 1}, "ids": ["a", 7], "data": {"n": [1]},
            "word": "open", "gone": null, "unknown": 1,
        });
        let form = json!({
            "id": "42", "n": "20", "yes": "1", "no": "false", "map": "{\"k\":1}", "ids": "[\"a\",7]",
            "data": "{\"n\":[1]}", "word": "open",
        });
        let said: All = read(json, false).unwrap();
        assert_eq!((said.id.as_str(), said.n, said.yes, said.no), ("42", 20, true, Some(false)));
        assert_eq!(
            (&said.map["k"], &said.ids[..], &said.data["n"][0]),
            (&json!(1), &["a".into(), "7".into()][..], &json!(1))
        );
        assert_eq!(read(form, true), Ok(said));
    }

    #[test]
    fn a_free_value_in_a_form_is_json_text() {
        assert_eq!(one::<Value>(json!(r#""x y""#), true), Ok(json!("x y")));
        for text in ["x y", "", "{"] {
            let refused = Err((ApiCode::InvalidField, "field: this is not the text of JSON".into()));
            assert_eq!(one::<Value>(json!(text), true), refused);
        }
        assert_eq!(one::<Value>(json!("{}"), false), Ok(json!("{}")), "text is text in JSON");
    }

    #[test]
    fn an_error_names_the_field_and_does_not_repeat_its_value() {
        fn refused<T: DeserializeOwned + Debug>(values: &[Value]) {
            for value in values {
                for is_form in [false, true] {
                    let (code, message) = one::<T>(value.clone(), is_form).unwrap_err();
                    assert_eq!(code, ApiCode::InvalidField, "{value}");
                    assert!(message.starts_with("field: this is n"), "{message}");
                }
            }
        }
        refused::<String>(&[json!(1.5), json!(["a"]), json!(true), json!(1e17), json!({"a": 1})]);
        refused::<bool>(&[json!("yes"), json!(""), json!(2), json!(0.5), json!([])]);
        refused::<u64>(&[
            json!(-1),
            json!(""),
            json!("1.0"),
            json!("+1"),
            json!(1e20),
            json!(true),
            json!("x"),
        ]);
        refused::<Map<String, Value>>(&[json!([]), json!("[]"), json!("x"), json!(1)]);
        refused::<Vec<String>>(&[json!({}), json!("{}"), json!("a"), json!([["a"]]), json!([null])]);
        assert_eq!(one::<Map<String, Value>>(json!("{}"), false).unwrap_err().0, ApiCode::InvalidField);
    }

    #[test]
    fn a_missing_field_is_distinguished_from_an_invalid_one() {
        assert_eq!(
            one::<String>(Value::Null, false),
            Err((ApiCode::MissingField, "field: this is missing".into()))
        );
        assert_eq!(one::<Option<String>>(Value::Null, false), Ok(None));
        let refused = Err((ApiCode::InvalidField, "field: this is none of open".into()));
        assert_eq!(one::<Word>(json!("shut"), false), refused, "the value is not repeated");
    }

    #[test]
    fn whole_numbers_are_accepted_in_every_notation() {
        for (value, text) in [
            (json!(7), "7"),
            (json!(7.0), "7"),
            (json!(-0.0), "0"),
            (json!(i64::MIN), "-9223372036854775808"),
            (json!(u64::MAX), "18446744073709551615"),
        ] {
            assert_eq!(one::<String>(value, false).as_deref(), Ok(text));
        }
        assert_eq!(one::<u64>(json!(20.0), false), Ok(20));
        assert_eq!(one::<bool>(json!(1.0), false), Ok(true));
    }
}
