//! Where the server is, and whether the way there can be read by others.

use std::{fmt, net::IpAddr};

use reqwest::Url;

use crate::BuildError;

/// `https://host[:port][/path]`: a server, perhaps behind a path of a proxy.
#[derive(Clone)]
pub(crate) struct Address(Url);

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, BuildError> {
        let url = Url::parse(url).map_err(|_| BuildError::Url("it is none"))?;
        match url.scheme() {
            "http" => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => return Err(BuildError::NoTls),
            _ => return Err(BuildError::Url("it does not begin with https:// or http://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BuildError::Url("a user or password stands in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BuildError::Url("it goes on after the path"));
        }
        Ok(Self(url))
    }

    /// Where a method is.
    pub(crate) fn of(&self, method: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/api/2.0/{method}", self.0.path().trim_end_matches('/')));
        url
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether it is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// Whether others can read what goes there.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.is_tls() && !self.is_loopback()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
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
    fn addresses_that_cannot_be_meant_are_refused() {
        for url in [
            "",
            "chat.example",
            "ws://h",
            "http://",
            "http://u@h",
            "http://u:p@h",
            "http://h/?k=1",
            "http://h/#x",
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
    fn https_is_a_matter_of_the_feature() {
        match Address::parse("https://chat.example") {
            Ok(address) => assert!(cfg!(feature = "tls") && !address.is_exposed()),
            Err(error) => assert!(!cfg!(feature = "tls") && error == BuildError::NoTls),
        }
    }
}
