//! Queries and forms, parsed into names and values.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

/// Maximum number of fields in a query or form.
const MAX_FIELDS: usize = 32;
/// Characters of a query value that are percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The fields of a query or form. Values may be secrets and are wiped from memory when dropped.
#[derive(Default)]
pub(crate) struct Fields(Vec<(String, Zeroizing<String>)>);

/// Why a query or form is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFields {
    #[error("a field is not valid UTF-8 after decoding")]
    NotUtf8,
    #[error("a field is repeated")]
    Repeated,
    #[error("it has more than {MAX_FIELDS} fields")]
    TooMany,
}

impl Fields {
    /// Parses `name=value&…`, percent-encoded, with `+` for a space.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, InvalidFields> {
        let text = std::str::from_utf8(text).map_err(|_| InvalidFields::NotUtf8)?;
        let mut fields = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let value = decode(value)?;
            if fields.0.len() == MAX_FIELDS {
                return Err(InvalidFields::TooMany);
            }
            if fields.get(&name).is_some() {
                return Err(InvalidFields::Repeated);
            }
            fields.0.push((name, Zeroizing::new(value)));
        }
        Ok(fields)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns a field's value, or an empty text if the field is missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Returns a copy of the named fields.
    pub(crate) fn only(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect())
    }

    /// Removes a field.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(n, _)| n != name);
        self
    }
}

/// Contains only the names.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Returns a path with a query.
pub(crate) fn href(path: &str, query: &[(&str, &str)]) -> String {
    let mut href = path.to_owned();
    for (separator, (name, value)) in ["?"].into_iter().chain(std::iter::repeat("&")).zip(query) {
        href += &format!("{separator}{name}={}", utf8_percent_encode(value, ENCODED));
    }
    href
}

fn decode(text: &str) -> Result<String, InvalidFields> {
    let text = text.replace('+', " ");
    Ok(percent_decode_str(&text).decode_utf8().map_err(|_| InvalidFields::NotUtf8)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_href_writes_is_parsed_back() {
        for value in ["alice", "a b+c&d=e?#%/\\", "..", "é 漢 \u{1f3d5}", "", "\"<script>"] {
            let href = href("/p", &[("app", "1"), ("id", value)]);
            let query = href.strip_prefix("/p?").unwrap();
            assert!(query.is_ascii() && !query.contains([' ', '"', '<', '/', '#']), "{query}");
            let fields = Fields::parse(query.as_bytes()).unwrap();
            assert_eq!((fields.text("app"), fields.text("id")), ("1", value));
        }
        assert_eq!(href("/p", &[]), "/p");
    }

    #[test]
    fn an_invalid_form_is_refused() {
        let many: String = (0..=MAX_FIELDS).map(|n| format!("n{n}=&")).collect();
        for (text, why) in [
            (&b"a=%ff"[..], InvalidFields::NotUtf8),
            (b"a=\xff", InvalidFields::NotUtf8),
            (b"a=1&b=2&a=1", InvalidFields::Repeated),
            (many.as_bytes(), InvalidFields::TooMany),
        ] {
            assert_eq!(Fields::parse(text).unwrap_err(), why);
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let fields = Fields::parse(b"password=hunter2").unwrap();
        assert_eq!(format!("{fields:?}"), "[\"password\"]");
        assert_eq!(fields.without("password").get("password"), None);
    }
}
