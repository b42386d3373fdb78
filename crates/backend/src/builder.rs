//! Builds a [`Backend`].

use std::time::Duration;

use crate::{ApiKey, Backend, BuildError, address::Address, exchange::Exchange, retry::Policy};

/// Default time limit of one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Default time limit of one call.
const CALL: Duration = Duration::from_secs(30);
/// Default number of attempts after the first.
const RETRIES: u32 = 4;

/// Collects the options of a [`Backend`]. [`build`](Self::build) reports invalid options.
#[derive(Debug)]
pub struct Builder {
    address: Result<Address, BuildError>,
    key: ApiKey,
    policy: Policy,
    expose_key: bool,
}

impl Backend {
    /// Starts building a backend with the URL of the server, such as `https://chat.example`, and an API key of the app.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_backend::Backend;
    ///
    /// # fn main() -> Result<(), chatcamp_backend::BuildError> {
    /// let chat = Backend::builder("http://127.0.0.1:9080", "ck1_key").retries(2).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: impl AsRef<str>, api_key: impl Into<ApiKey>) -> Builder {
        Builder::new(url.as_ref(), api_key.into())
    }
}

impl Builder {
    fn new(url: &str, key: ApiKey) -> Self {
        Self {
            address: Address::parse(url),
            key,
            policy: Policy { attempt: ATTEMPT, total: CALL, retries: RETRIES },
            expose_key: false,
        }
    }

    /// Sets the time limit of one attempt, from the first byte sent to the last byte of the answer; 10 s by default.
    #[must_use]
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.policy.attempt = limit;
        self
    }

    /// Sets the time limit of one call, including all attempts and the delays between them; 30 s by default.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.policy.total = limit;
        self
    }

    /// Sets the maximum number of retries after the first attempt; 4 by default.
    #[must_use]
    pub fn retries(mut self, most: u32) -> Self {
        self.policy.retries = most;
        self
    }

    /// Allows `http://` to other machines, which sends the API key unencrypted. Enable it only in networks that are trusted for
    /// another reason.
    #[must_use]
    pub fn dangerous_send_the_key_in_plaintext(mut self, allow: bool) -> Self {
        self.expose_key = allow;
        self
    }

    /// Builds the backend. Sends nothing yet.
    ///
    /// # Errors
    /// [`BuildError`] names the invalid option.
    pub fn build(self) -> Result<Backend, BuildError> {
        let address = self.address?;
        if address.is_exposed() && !self.expose_key {
            return Err(BuildError::KeyExposed);
        }
        Ok(Backend::new(Exchange::new(address, self.key)?, self.policy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_reports_invalid_options() {
        let build = |url, key: &str| Builder::new(url, key.into()).build();
        assert!(build("http://127.0.0.1:9080", "ck1_key").is_ok());
        for key in ["ck1_key\r\n", " ck1_key ", "\u{feff}ck1_key\n"] {
            assert!(build("http://127.0.0.1:9080", key).is_ok(), "{key:?}");
        }
        for key in ["", "\n", "ck1 key", "ck1_kéy\u{7f}"] {
            assert_eq!(build("http://127.0.0.1:9080", key).unwrap_err(), BuildError::ApiKey, "{key:?}");
        }
        assert_eq!(build("http://chat.example", "ck1_key").unwrap_err(), BuildError::KeyExposed);
        assert!(matches!(build("chat.example", "ck1_key").unwrap_err(), BuildError::Url(_)));
        let allowed = Builder::new("http://chat.example", "ck1_key".into());
        assert!(allowed.dangerous_send_the_key_in_plaintext(true).build().is_ok());
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let builder = Builder::new("http://127.0.0.1:9080", "ck1_hunter2".into());
        let shown = format!("{builder:?}");
        assert!(!shown.contains("hunter2") && shown.contains("127.0.0.1"), "{shown}");
        let shown = format!("{:#?}", builder.build().unwrap());
        assert!(!shown.contains("hunter2") && shown.contains("127.0.0.1"), "{shown}");
    }
}
