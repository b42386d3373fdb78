//! Bodies: JSON, a form or nothing, read into one set of fields.
//!
//! A form has text only, and callers in PHP write numbers where others write text: a field is taken for what its method
//! wants of it. What is `null` is absent, and a name that no method knows is passed over.

use std::{borrow::Cow, ops::RangeInclusive};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::answer::{Code, Refusal};

/// The fields of a request.
pub(super) struct Fields {
    fields: Map<String, Value>,
    is_form: bool,
}

impl Fields {
    pub(super) fn parse(content_type: Option<&[u8]>, body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self { fields: Map::new(), is_form: false });
        }
        let essence = content_type.unwrap_or_default().split(|&b| b == b';').next().unwrap_or_default();
        let is = |name: &str| essence.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        if is("application/json") {
            json(body)
        } else if is("application/x-www-form-urlencoded") {
            form(body)
        } else {
            let message = "a body is application/json or application/x-www-form-urlencoded";
            Err(Refusal::new(Code::UnsupportedContentType, message))
        }
    }

    /// Text; whole numbers count as such.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(_) => Err(Refusal::invalid(name, "this is not text")),
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let flag = match &value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => number.as_u64().and_then(|number| match number {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            }),
            Value::String(text) => match text.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        flag.map(Some).ok_or_else(|| Refusal::invalid(name, "this is neither true nor false"))
    }

    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number)).map(Some).ok_or_else(|| {
            let why = format!("this is not a whole number from {} to {}", range.start(), range.end());
            Refusal::invalid(name, why)
        })
    }

    /// A JSON object; in a form, the text of one.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        let object = match self.take(name) {
            None => return Ok(None),
            Some(Value::Object(object)) => Some(object),
            Some(Value::String(text)) => serde_json::from_str(&text).ok(),
            Some(_) => None,
        };
        object.map(Some).ok_or_else(|| Refusal::invalid(name, "this is not a JSON object"))
    }

    /// A list of texts, whole numbers among them; in a form, the text of one.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = |value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            _ => None,
        };
        let texts = match value {
            Value::Array(values) => values.into_iter().map(text).collect(),
            _ => None,
        };
        texts.map(Some).ok_or_else(|| Refusal::invalid(name, "this is not a list of texts"))
    }

    /// Whatever it is; in a form, the text of it, or else that text.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        match self.take(name)? {
            Value::String(text) if self.is_form => {
                Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
            }
            value => Some(value),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }
}

fn json(body: &[u8]) -> Result<Fields, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(Fields { fields, is_form: false }),
        Ok(_) => Err(Refusal::new(Code::InvalidBody, "the body is JSON, but not an object")),
        // The error tells the place and not the text.
        Err(error) => Err(Refusal::new(Code::InvalidBody, format!("the body is not JSON: {error}"))),
    }
}

/// Where a name stands twice the last one counts, as in JSON and in PHP.
fn form(body: &[u8]) -> Result<Fields, Refusal> {
    let body =
        std::str::from_utf8(body).map_err(|_| Refusal::new(Code::InvalidBody, "the body is not UTF-8"))?;
    // No form begins so, and its one field would be missed without a word.
    if body.trim_start().starts_with('{') {
        let message = "the body looks like JSON; send it with content-type: application/json";
        return Err(Refusal::new(Code::InvalidBody, message));
    }
    let mut fields = Map::new();
    for pair in body.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.insert(decode(name)?, Value::String(decode(value)?));
    }
    Ok(Fields { fields, is_form: true })
}

fn decode(text: &str) -> Result<String, Refusal> {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| Refusal::new(Code::InvalidBody, "the form is not UTF-8 once it is decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &[u8] = b"application/json; charset=utf-8";
    const FORM: &[u8] = b"Application/X-WWW-Form-Urlencoded";

    fn fields(content_type: &[u8], body: &str) -> Fields {
        Fields::parse(Some(content_type), body.as_bytes()).map_err(|refusal| refusal.code).unwrap()
    }

    #[test]
    fn a_form_and_json_say_the_same() {
        for (content_type, body) in [
            (
                JSON,
                r#"{"id":"a b+c@d","display_name":"J\u00fcrgen","n":20,"yes":true,"no":0,"m":{"k":1},"gone":null}"#,
            ),
            (
                FORM,
                "id=a+b%2Bc%40d&display_name=J%C3%BCrgen&n=20&yes=true&no=0&m=%7B%22k%22%3A1%7D&&extra[]=1",
            ),
        ] {
            let mut fields = fields(content_type, body);
            assert_eq!(fields.text("id").unwrap().as_deref(), Some("a b+c@d"));
            assert_eq!(fields.text("display_name").unwrap().as_deref(), Some("Jürgen"));
            assert_eq!(fields.number("n", 1..=20).unwrap(), Some(20));
            assert_eq!((fields.flag("yes").unwrap(), fields.flag("no").unwrap()), (Some(true), Some(false)));
            assert_eq!(fields.object("m").unwrap().unwrap()["k"], 1);
            assert_eq!(fields.text("gone").unwrap(), None);
        }
    }

    #[test]
    fn lists_and_values_are_the_text_of_json_in_a_form() {
        for (content_type, body) in [
            (JSON, r#"{"ids":["a",7],"data":{"n":1},"word":"x"}"#),
            (FORM, "ids=[\"a\",7]&data={\"n\":1}&word=x"),
        ] {
            let mut fields = fields(content_type, body);
            assert_eq!(fields.texts("ids").unwrap().unwrap(), ["a", "7"]);
            assert_eq!(fields.value("data").unwrap()["n"], 1);
            assert_eq!(fields.value("word").unwrap(), "x");
        }
    }

    #[test]
    fn a_number_is_an_id_too_and_a_list_is_not() {
        let mut numbers = fields(JSON, r#"{"id":42,"half":1.5,"list":["a"],"flag":true}"#);
        assert_eq!(numbers.text("id").unwrap().as_deref(), Some("42"));
        for name in ["half", "list", "flag"] {
            assert_eq!(numbers.text(name).unwrap_err().code, Code::InvalidField, "{name}");
        }
    }

    #[test]
    fn values_of_another_kind_are_refused_by_name() {
        let values = r#"{"a":"yes","b":"","c":2,"d":-1,"e":"1.0","f":"+1","g":21,"h":[],"i":"[]","j":"x"}"#;
        let mut fields = fields(JSON, values);
        for name in ["a", "b", "c"] {
            assert_eq!(fields.flag(name).unwrap_err().code, Code::InvalidField, "{name}");
        }
        for name in ["d", "e", "f", "g"] {
            assert_eq!(fields.number(name, 0..=20).unwrap_err().code, Code::InvalidField, "{name}");
        }
        for name in ["h", "i", "j"] {
            assert_eq!(fields.object(name).unwrap_err().code, Code::InvalidField, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (content_type, body, code) in [
            (Some(JSON), &b"{"[..], Code::InvalidBody),
            (Some(JSON), b"[]", Code::InvalidBody),
            (Some(JSON), b"\"id\"", Code::InvalidBody),
            (Some(JSON), b"{\"id\":\"\xff\"}", Code::InvalidBody),
            (Some(FORM), b"id=%ff", Code::InvalidBody),
            (Some(FORM), b"id=\xff", Code::InvalidBody),
            (Some(FORM), b"{\"id\":\"a\"}", Code::InvalidBody),
            (Some(b"text/plain"), b"id=a", Code::UnsupportedContentType),
            (Some(b"multipart/form-data; boundary=x"), b"--x--", Code::UnsupportedContentType),
            (Some(b"application/jsonp"), b"{}", Code::UnsupportedContentType),
            (None, b"{}", Code::UnsupportedContentType),
        ] {
            let refused = Fields::parse(content_type, body).err().map(|refusal| refusal.code);
            assert_eq!(refused, Some(code), "{}", String::from_utf8_lossy(body));
        }
        for content_type in [None, Some(JSON), Some(FORM), Some(&b"text/plain"[..])] {
            assert!(Fields::parse(content_type, b"").is_ok(), "nothing is said in any way");
        }
    }
}
