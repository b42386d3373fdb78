//! The unparsed body of an answer or an event.

use std::{fmt, sync::Arc};

use chatcamp_protocol::Envelope;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// JSON text exactly as received. Cheap to clone.
#[derive(Clone)]
pub struct Body(Arc<RawValue>);

impl Body {
    pub(crate) fn new(raw: &RawValue) -> Self {
        Self(raw.to_owned().into())
    }

    pub(crate) fn null() -> Self {
        Self::new(RawValue::NULL)
    }

    /// Returns the body of a message, or `null` if it has no body.
    pub(crate) fn of(envelope: &Envelope<'_>) -> Self {
        envelope.d.map_or_else(Self::null, Self::new)
    }

    /// Returns the JSON text. It may contain secrets, such as the user's own access token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Deserializes the body as `T`.
    ///
    /// # Errors
    /// The deserializer's error if the JSON does not match `T`; its text may quote the body.
    pub fn parse<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.0.get())
    }
}

/// Shows only the length: a body may contain secrets.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.as_str().len())
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Body {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_its_text_and_prints_none_of_it() {
        let raw = RawValue::from_string(r#"{"a" : [1.50]}"#.to_owned()).unwrap();
        let body = Body::new(&raw);
        assert_eq!(body.as_str(), r#"{"a" : [1.50]}"#);
        assert_eq!(body.parse::<serde_json::Value>().unwrap()["a"][0], 1.5);
        assert_eq!(format!("{body:?}"), "Body(14 bytes)");
        assert_eq!(Body::null().as_str(), "null");
    }
}
