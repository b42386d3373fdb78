//! The URL of a server, which clients and backends are configured with.

use std::{fmt, net::IpAddr};

use http::uri::{Authority, Uri};

use crate::text::OneLine;

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

/// A text is not the URL of a server: the text without what may be a secret, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", advice(.shown, *.flaw))]
#[non_exhaustive]
pub struct InvalidUrl {
    shown: String,
    /// What is wrong.
    pub flaw: UrlFlaw,
}

/// What is wrong with the URL of a server, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFlaw {
    /// The text is not a URL.
    #[error("it is not a URL such as https://chat.example; a host name is written in ASCII")]
    Malformed,
    /// The text contains white space, such as a line break at its end.
    #[error("it contains white space; remove it")]
    WhiteSpace,
    /// The scheme is missing.
    #[error("it has no scheme; begin it with https:// or http://")]
    NoScheme,
    /// The scheme is not one of `https`, `http`, `wss` and `ws`.
    #[error("it does not begin with https:// or http://")]
    Scheme,
    /// The host is missing, or the port is not a number up to 65535.
    #[error("its host is missing, or its port is not a number up to 65535")]
    Host,
    /// The URL contains a user name or password.
    #[error("it has a user name or password; remove it")]
    UserInfo,
    /// The URL has a query.
    #[error("it has a query; remove ? and the text after it")]
    Query,
    /// The URL has a fragment.
    #[error("it has a fragment; remove # and the text after it")]
    Fragment,
    /// The URL contains the path of the API, which must be left out.
    #[error("it ends in {API}, the path of the API; remove that path")]
    Api,
}

impl InvalidUrl {
    /// Returns the error for this text, which may contain secrets: a user name, a password or a query.
    #[must_use]
    pub fn new(text: &str, flaw: UrlFlaw) -> Self {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let (begin, rest) = match text[..end].split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), &text[..end]),
        };
        let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("…@{host}"));
        Self { shown: OneLine(&format!("{begin}{rest}")).to_string(), flaw }
    }
}

/// Returns what is wrong with a URL, and what to write instead.
fn advice(shown: &str, flaw: UrlFlaw) -> String {
    if flaw != UrlFlaw::NoScheme {
        return format!("invalid URL `{shown}`: {flaw}");
    }
    // A server with a port or on this machine has seldom a certificate.
    let has_port = shown.split('/').next().is_some_and(|host| host.contains(':'));
    let scheme = if has_port || shown.starts_with("localhost") { "http" } else { "https" };
    format!("the URL `{shown}` has no scheme; write {scheme}://{shown}")
}

impl ServerUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`InvalidUrl`] says what to change.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_protocol::ServerUrl;
    ///
    /// assert_eq!(ServerUrl::parse("https://chat.example")?.chat(), "https://chat.example/chat/2.0");
    /// let error = ServerUrl::parse("localhost:9080").unwrap_err();
    /// assert_eq!(error.to_string(), "the URL `localhost:9080` has no scheme; write http://localhost:9080");
    /// # Ok::<(), chatcamp_protocol::url::InvalidUrl>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        Self::checked(text).map_err(|flaw| InvalidUrl::new(text, flaw))
    }

    fn checked(text: &str) -> Result<Self, UrlFlaw> {
        if text.contains(char::is_whitespace) {
            return Err(UrlFlaw::WhiteSpace);
        }
        // `Uri` drops a fragment.
        if text.contains('#') {
            return Err(UrlFlaw::Fragment);
        }
        if !text.is_empty() && !text.starts_with('/') && !text.contains("://") {
            return Err(UrlFlaw::NoScheme);
        }
        let uri: Uri = text.parse().map_err(|_| UrlFlaw::Malformed)?;
        let is_tls = match uri.scheme_str() {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            _ => return Err(UrlFlaw::Scheme),
        };
        let authority = uri.authority().ok_or(UrlFlaw::Host)?.clone();
        let text = authority.as_str();
        if text.contains('@') {
            return Err(UrlFlaw::UserInfo);
        }
        if authority.host().is_empty() || (authority.port_u16().is_none() && text != authority.host()) {
            return Err(UrlFlaw::Host);
        }
        if uri.query().is_some() {
            return Err(UrlFlaw::Query);
        }
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix(CHAT).unwrap_or(path).trim_end_matches('/');
        if path.ends_with(API) {
            return Err(UrlFlaw::Api);
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
            ("", UrlFlaw::Malformed),
            ("http://", UrlFlaw::Malformed),
            ("http://b\u{fc}cher.example", UrlFlaw::Malformed),
            ("chat.example", UrlFlaw::NoScheme),
            ("localhost:9080/talk", UrlFlaw::NoScheme),
            ("/chat/2.0", UrlFlaw::Scheme),
            ("ftp://h", UrlFlaw::Scheme),
            ("http://h\r\n", UrlFlaw::WhiteSpace),
            (" http://h", UrlFlaw::WhiteSpace),
            ("http://user@h", UrlFlaw::UserInfo),
            ("http://user:secret@h", UrlFlaw::UserInfo),
            ("http://h:port", UrlFlaw::Host),
            ("http://h:", UrlFlaw::Host),
            ("http://h:99999", UrlFlaw::Host),
            ("http://h?room=1", UrlFlaw::Query),
            ("http://h/?", UrlFlaw::Query),
            ("http://h/chat/2.0?app_id=a", UrlFlaw::Query),
            ("http://h/#top", UrlFlaw::Fragment),
            ("http://h/api/2.0", UrlFlaw::Api),
            ("http://h/a/api/2.0//", UrlFlaw::Api),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap_err().flaw, why, "{text}");
        }
    }

    #[test]
    fn the_error_shows_the_url_without_its_secrets_and_what_to_write() {
        for (text, shown) in [
            ("locahost:9080", "the URL `locahost:9080` has no scheme; write http://locahost:9080"),
            (
                "chat.example/talk",
                "the URL `chat.example/talk` has no scheme; write https://chat.example/talk",
            ),
            ("http://u:secret@h", "invalid URL `http://…@h`: it has a user name or password; remove it"),
            (
                "http://h?token=secret",
                "invalid URL `http://h`: it has a query; remove ? and the text after it",
            ),
            ("http://h\n", r"invalid URL `http://h\n`: it contains white space; remove it"),
            (
                "http://h:99999",
                "invalid URL `http://h:99999`: its host is missing, or its port is not a number up to 65535",
            ),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap_err().to_string(), shown);
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
