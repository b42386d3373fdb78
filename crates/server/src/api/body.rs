//! Parses a body, which is JSON, a form or empty, into fields.

use std::borrow::Cow;

use chatcamp_protocol::ApiCode;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{answer::Refusal, fields::Fields};

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
            Err(Refusal::new(ApiCode::UnsupportedContentType, message))
        }
    }
}

fn json(body: &[u8]) -> Result<Fields, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(Fields { fields, is_form: false }),
        Ok(_) => Err(Refusal::new(ApiCode::InvalidBody, "the body is JSON, but not an object")),
        // The error names the position, not the text, which may contain a secret.
        Err(error) => Err(Refusal::new(ApiCode::InvalidBody, format!("the body is not JSON: {error}"))),
    }
}

/// If a name is repeated, its last value counts, as in JSON and in PHP.
fn form(body: &[u8]) -> Result<Fields, Refusal> {
    let body =
        std::str::from_utf8(body).map_err(|_| Refusal::new(ApiCode::InvalidBody, "the body is not UTF-8"))?;
    // A form cannot begin with a brace, and all fields of the JSON would silently be missing.
    if body.trim_start().starts_with('{') {
        let message = "the body looks like JSON; send it with content-type: application/json";
        return Err(Refusal::new(ApiCode::InvalidBody, message));
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
        .map_err(|_| Refusal::new(ApiCode::InvalidBody, "the form is not UTF-8 once it is decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &[u8] = b"application/json; charset=utf-8";
    const FORM: &[u8] = b"Application/X-WWW-Form-Urlencoded";

    #[test]
    fn a_form_and_json_have_the_same_fields() {
        for (content_type, body) in [
            (JSON, r#"{"id":"a b+c@d","display_name":"J\u00fcrgen","empty":""}"#),
            (FORM, "id=a+b%2Bc%40d&display_name=&display_name=J%C3%BCrgen&&empty"),
        ] {
            let read =
                Fields::parse(Some(content_type), body.as_bytes()).map_err(|refusal| refusal.code).unwrap();
            assert_eq!(
                Value::Object(read.fields),
                serde_json::json!({"id": "a b+c@d", "display_name": "Jürgen", "empty": ""})
            );
            assert_eq!(read.is_form, content_type == FORM);
        }
    }

    #[test]
    fn an_unreadable_body_is_refused() {
        for (content_type, body, code) in [
            (Some(JSON), &b"{"[..], ApiCode::InvalidBody),
            (Some(JSON), b"[]", ApiCode::InvalidBody),
            (Some(JSON), b"\"id\"", ApiCode::InvalidBody),
            (Some(JSON), b"{\"id\":\"\xff\"}", ApiCode::InvalidBody),
            (Some(FORM), b"id=%ff", ApiCode::InvalidBody),
            (Some(FORM), b"id=\xff", ApiCode::InvalidBody),
            (Some(FORM), b"{\"id\":\"a\"}", ApiCode::InvalidBody),
            (Some(b"text/plain"), b"id=a", ApiCode::UnsupportedContentType),
            (Some(b"multipart/form-data; boundary=x"), b"--x--", ApiCode::UnsupportedContentType),
            (Some(b"application/jsonp"), b"{}", ApiCode::UnsupportedContentType),
            (None, b"{}", ApiCode::UnsupportedContentType),
        ] {
            let refused = Fields::parse(content_type, body).err().map(|refusal| refusal.code);
            assert_eq!(refused, Some(code), "{}", String::from_utf8_lossy(body));
        }
        for content_type in [None, Some(JSON), Some(FORM), Some(&b"text/plain"[..])] {
            assert!(Fields::parse(content_type, b"").is_ok(), "an empty body may have any type");
        }
    }
}
