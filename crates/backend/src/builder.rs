//! Builds a [`Backend`].

use std::time::Duration;

#[cfg(feature = "tls")]
use chatcamp_tls::{Tls, Trust};

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
    #[cfg(feature = "tls")]
    trust: Trust,
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
            #[cfg(feature = "tls")]
            trust: Trust::default(),
        }
    }

    /// Sets the time limit of one attempt, from the first byte sent to the last byte of the answer; 10 s by default.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use chatcamp_backend::Backend;
    ///
    /// let builder = Backend::builder("https://chat.example", "ck1_key").attempt_timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.policy.attempt = limit;
        self
    }

    /// Sets the time limit of one call, including all attempts and the delays between them; 30 s by default.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use chatcamp_backend::Backend;
    ///
    /// let builder = Backend::builder("https://chat.example", "ck1_key").timeout(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.policy.total = limit;
        self
    }

    /// Sets the maximum number of retries after the first attempt; 4 by default.
    ///
    /// An attempt that the server refuses because the API key made too many calls does not count, unless the maximum is 0: the call
    /// waits as the server asks, within its [`timeout`](Self::timeout).
    ///
    /// # Examples
    /// ```
    /// use chatcamp_backend::Backend;
    ///
    /// // Every call makes one attempt.
    /// let builder = Backend::builder("https://chat.example", "ck1_key").retries(0);
    /// ```
    #[must_use]
    pub fn retries(mut self, most: u32) -> Self {
        self.policy.retries = most;
        self
    }

    /// Trusts the authorities whose certificates are in `pem`, instead of those that the operating system trusts. Further calls add
    /// authorities. Replaces an earlier [`tls`](Self::tls).
    ///
    /// # Examples
    /// ```no_run
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let chat = chatcamp_backend::Backend::builder("https://chat.example", "ck1_key")
    ///     .root_certificate(std::fs::read("authority.pem")?)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn root_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.trust.add_root(pem);
        self
    }

    /// Uses this TLS configuration, for example that of a client in the same program. Replaces earlier root certificates.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_backend::{Backend, Tls};
    ///
    /// let tls = Tls::without_roots(); // or `Tls::with_roots(pem)`
    /// let builder = Backend::builder("https://chat.example", "ck1_key").tls(&tls);
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: &Tls) -> Self {
        self.trust.set(tls.clone());
        self
    }

    /// Allows `http://` to other machines, which sends the API key unencrypted. Enable it only in networks that are trusted for
    /// another reason.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_backend::Backend;
    ///
    /// # fn main() -> Result<(), chatcamp_backend::BuildError> {
    /// // Traffic to this address stays within a private network.
    /// let chat = Backend::builder("http://10.0.0.5:9080", "ck1_key").dangerous_send_the_key_in_plaintext(true).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn dangerous_send_the_key_in_plaintext(mut self, allow: bool) -> Self {
        self.expose_key = allow;
        self
    }

    /// Builds the backend. Sends nothing yet.
    ///
    /// # Errors
    /// [`BuildError`] names the invalid option.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_backend::{Backend, BuildError};
    ///
    /// let refused = Backend::builder("http://chat.example", "ck1_key").build();
    /// assert!(matches!(refused, Err(BuildError::KeyExposed)));
    /// ```
    pub fn build(self) -> Result<Backend, BuildError> {
        let address = self.address?;
        if address.is_exposed() && !self.expose_key {
            return Err(BuildError::KeyExposed);
        }
        #[cfg(feature = "tls")]
        let tls = if address.is_tls() || !self.trust.is_platform() {
            self.trust.load()?
        } else {
            // Not the root certificates of the system: loading them takes time and may fail.
            Tls::without_roots()
        };
        let exchange = Exchange::new(
            address,
            self.key,
            #[cfg(feature = "tls")]
            &tls,
        )?;
        Ok(Backend::new(exchange, self.policy))
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
