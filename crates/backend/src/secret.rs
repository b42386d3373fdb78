//! API keys.

use std::fmt;

use chatcamp_protocol::secret;
use serde::Deserialize;
use zeroize::Zeroizing;

/// A key of the Platform API, `ck1_…`. It gives full access to the app's users.
///
/// Has no `Display`, and its `Debug` does not show the text. The text is erased from memory when dropped.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct ApiKey(Zeroizing<Box<str>>);

impl ApiKey {
    /// Wraps the text of a key. Removes white space around it, which a file or a variable may add. Only the server can tell
    /// whether the key is valid.
    pub fn new(text: impl Into<String>) -> Self {
        let text = Zeroizing::new(text.into());
        Self(Zeroizing::new(secret::trim(&text).into()))
    }

    /// Returns the text, for example to store a new key.
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
    fn debug_does_not_show_the_key() {
        assert_eq!(format!("{:?}", ApiKey::from("ck1_secret")), "ApiKey(…)");
    }
}
