//! The URL of a server, which clients and backends are configured with.

use std::{fmt, net::IpAddr};

use http::uri::{Authority, Uri};

/// The path for chat connections (`docs/PROTOCOL.md`, "Endpoints").
const CHAT: &str = "/chat/2.0";
/// The path for requests of backends.
const API: &str = "/api/2.0";

/// The URL of a server: `https://host[:port][/path]`. A proxy in front of the server may require the path.
///
/// `ws://` and `wss://` mean the same as `http://` and `https://`. A trailing `/chat/2.0` is accepted and removed.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    is_tls: bool,
    authority: Authority,
    path: String,
}

/// The reason a text is not the URL of a server. Does not contain the text, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// The text is not a URL.
    #[error("it is not a URL such as https://chat.example; a host name is written in ASCII")]
    Malformed,
    /// The text contains white space, such as a line break at its end.
    #[error("it contains white space; remove it")]
    WhiteSpace,
    /// The scheme is missing or not one of `https`, `http`, `wss` and `ws`.
    #[error("it must begin with https:// or http://")]
    Scheme,
    /// The host is missing, or the port is not a number.
    #[error("its host or port is malformed")]
    Host,
    /// The URL contains a user name or password.
    #[error("remove the user name and password")]
    UserInfo,
    /// The URL has a query.
    #[error("remove the query, which begins with ?")]
    Query,
    /// The URL has a fragment.
    #[error("remove the fragment, which begins with #")]
    Fragment,
    /// The URL contains the path of the API, which must be left out.
    #[error("remove {API}, and give the address of the server alone")]
    Api,
}

impl ServerUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`InvalidUrl`] says what to change.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.contains(char::is_whitespace) {
            return Err(InvalidUrl::WhiteSpace);
        }
        // `Uri` drops a fragment.
        if text.contains('#') {
            return Err(InvalidUrl::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Malformed)?;
        let is_tls = match uri.scheme_str() {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            _ => return Err(InvalidUrl::Scheme),
        };
        let authority = uri.authority().ok_or(InvalidUrl::Host)?.clone();
        let text = authority.as_str();
        if text.contains('@') {
            return Err(InvalidUrl::UserInfo);
        }
        if authority.host().is_empty() || (authority.port_u16().is_none() && text != authority.host()) {
            return Err(InvalidUrl::Host);
        }
        if uri.query().is_some() {
            return Err(InvalidUrl::Query);
        }
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix(CHAT).unwrap_or(path).trim_end_matches('/');
        if path.ends_with(API) {
            return Err(InvalidUrl::Api);
        }
        Ok(Self { is_tls, authority, path: path.to_owned() })
    }

    /// Returns the URL for chat connections.
    #[must_use]
    pub fn chat(&self) -> String {
        format!("{self}{CHAT}")
    }

    /// Returns the URL of a method of the Platform API, such as `users.get`.
    #[must_use]
    pub fn api(&self, method: &str) -> String {
        format!("{self}{API}/{method}")
    }

    /// Returns the origin of the server's web pages, as a browser sends it: `https://host[:port]`, lower case, without the default
    /// port of the scheme.
    #[must_use]
    pub fn origin(&self) -> String {
        let (scheme, default_port) = if self.is_tls { ("https", 443) } else { ("http", 80) };
        let host = self.authority.host().to_ascii_lowercase();
        match self.authority.port_u16() {
            Some(port) if port != default_port => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        }
    }

    /// Returns the path in front of the paths of the server: `/talk`, or empty. It does not end in a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns whether connections to the server are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Returns whether the server is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

/// Writes the URL without a slash at its end.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_scheme_host_and_path() {
        for (text, base) in [
            ("http://127.0.0.1:9080", "http://127.0.0.1:9080"),
            ("HTTP://chat.example/", "http://chat.example"),
            ("https://chat.example/a/b//", "https://chat.example/a/b"),
            ("ws://[::1]:1/chat/2.0", "http://[::1]:1"),
            ("wss://chat.example/a/chat/2.0/", "https://chat.example/a"),
        ] {
            let url = ServerUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), base);
            assert_eq!(url.chat(), format!("{base}/chat/2.0"));
            assert_eq!(url.api("users.get"), format!("{base}/api/2.0/users.get"));
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, origin, path) in [
            ("https://Chat.Example:443/talk/", "https://chat.example", "/talk"),
            ("https://chat.example:80", "https://chat.example:80", ""),
            ("http://chat.example:80/a/b/chat/2.0", "http://chat.example", "/a/b"),
            ("wss://[::1]:9443", "https://[::1]:9443", ""),
        ] {
            let url = ServerUrl::parse(text).unwrap();
            assert_eq!((url.origin().as_str(), url.path()), (origin, path), "{text}");
        }
    }

    #[test]
    fn an_invalid_url_is_rejected_with_its_reason() {
        for (text, why) in [
            ("", InvalidUrl::Malformed),
            ("http://", InvalidUrl::Malformed),
            ("http://b\u{fc}cher.example", InvalidUrl::Malformed),
            ("chat.example", InvalidUrl::Scheme),
            ("/chat/2.0", InvalidUrl::Scheme),
            ("ftp://h", InvalidUrl::Scheme),
            ("http://h\r\n", InvalidUrl::WhiteSpace),
            (" http://h", InvalidUrl::WhiteSpace),
            ("http://user@h", InvalidUrl::UserInfo),
            ("http://user:secret@h", InvalidUrl::UserInfo),
            ("http://h:port", InvalidUrl::Host),
            ("http://h:", InvalidUrl::Host),
            ("http://h:99999", InvalidUrl::Host),
            ("http://h?room=1", InvalidUrl::Query),
            ("http://h/?", InvalidUrl::Query),
            ("http://h/chat/2.0?app_id=a", InvalidUrl::Query),
            ("http://h/#top", InvalidUrl::Fragment),
            ("http://h/api/2.0", InvalidUrl::Api),
            ("http://h/a/api/2.0//", InvalidUrl::Api),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn only_what_stays_on_this_machine_is_loopback() {
        for (text, expected) in [
            ("http://127.0.0.1:9080", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:9080", true),
            ("http://LocalHost:9080", true),
            ("http://192.0.2.1:9080", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap().is_loopback(), expected, "{text}");
        }
    }
}
