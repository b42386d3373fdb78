//! API keys: text that speaks for a whole app.

use std::fmt;

use chatcamp_protocol::secret;
use serde::Deserialize;
use zeroize::Zeroizing;

/// A key of the Platform API, `ck1_…`: who holds it may do everything with the app's users.
///
/// It has no `Display`, its `Debug` shows nothing, and it is wiped from memory when dropped.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct ApiKey(Zeroizing<Box<str>>);

impl ApiKey {
    /// Wraps the text of a key, without the white space at its ends that a file or a variable adds; whether it is valid, the
    /// server says.
    pub fn new(text: impl Into<String>) -> Self {
        let text = Zeroizing::new(text.into());
        Self(Zeroizing::new(secret::trim(&text).into()))
    }

    /// The text itself, to hand a new key to whom it is for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl From<String> for ApiKey {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for ApiKey {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_key() {
        assert_eq!(format!("{:?}", ApiKey::from("ck1_secret")), "ApiKey(…)");
    }
}
