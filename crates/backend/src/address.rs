//! The URL of the server, and whether it is reached unencrypted.

use std::fmt;

use chatcamp_protocol::{
    ServerUrl,
    url::{InvalidUrl, UrlFlaw},
};
use reqwest::Url;

use crate::BuildError;

/// `https://host[:port][/path]`: a server, possibly below a path of a proxy.
#[derive(Clone)]
pub(crate) struct Address(ServerUrl);

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, BuildError> {
        let text = url;
        let url = ServerUrl::parse(text).map_err(BuildError::Url)?;
        if url.is_tls() && !cfg!(feature = "tls") {
            return Err(BuildError::NoTls);
        }
        // `Url` is stricter in places, such as for IP addresses.
        Url::parse(&url.api("app.get"))
            .map_err(|_| BuildError::Url(InvalidUrl::new(text, UrlFlaw::Malformed)))?;
        Ok(Self(url))
    }

    /// Returns the URL of a method.
    pub(crate) fn of(&self, method: &str) -> Url {
        Url::parse(&self.0.api(method)).expect("checked in `parse`, and methods are names")
    }

    /// Returns the scheme, the host and the port, for the messages of errors.
    pub(crate) fn origin(&self) -> String {
        self.0.origin()
    }

    /// Returns whether requests are encrypted.
    #[cfg(feature = "tls")]
    pub(crate) fn is_tls(&self) -> bool {
        self.0.is_tls()
    }

    /// Returns whether the server is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.0.is_loopback()
    }

    /// Returns whether requests leave this machine unencrypted.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.0.is_tls() && !self.is_loopback()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_below_the_path() {
        for (url, expected) in [
            ("http://127.0.0.1:9080", "http://127.0.0.1:9080/api/2.0/users.get"),
            ("http://chat.example/", "http://chat.example/api/2.0/users.get"),
            ("HTTP://Chat.Example/a/b//", "http://chat.example/a/b/api/2.0/users.get"),
        ] {
            assert_eq!(Address::parse(url).unwrap().of("users.get").as_str(), expected);
        }
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        for url in [
            "",
            "chat.example",
            "http://",
            "http://u@h",
            "http://u:p@h",
            "http://h/?k=1",
            "http://h/#x",
            "http://h/api/2.0",
            "http://h/api/2.0/",
            "http://h/a/api/2.0",
            "http://h/\n",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(matches!(error, BuildError::Url(_)), "{url}: {error:?}");
        }
    }

    #[test]
    fn plaintext_is_exposed_unless_it_stays_on_this_machine() {
        for (url, exposed) in [
            ("http://chat.example", true),
            ("http://192.0.2.1:9080", true),
            ("http://127.0.0.1:9080", false),
            ("http://127.9.9.9", false),
            ("http://[::1]:9080", false),
            ("http://localhost:9080", false),
            ("http://localhost.example", true),
        ] {
            assert_eq!(Address::parse(url).unwrap().is_exposed(), exposed, "{url}");
        }
    }

    #[test]
    fn https_needs_the_feature() {
        match Address::parse("https://chat.example") {
            Ok(address) => assert!(cfg!(feature = "tls") && !address.is_exposed()),
            Err(error) => assert!(!cfg!(feature = "tls") && error == BuildError::NoTls),
        }
    }
}
