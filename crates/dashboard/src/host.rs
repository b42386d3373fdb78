//! Checks the `Host` header, against DNS rebinding, and the `Origin` header, against forms of other sites.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use chatcamp_server::PublicUrl;
use http::{
    HeaderMap,
    header::{HOST, ORIGIN},
    uri::Authority,
};

/// A name of the dashboard, such as `chat.example.com`, or `https://chat.example.com` if a proxy terminates TLS: then its
/// cookie is `Secure`, and code to copy contains `https`.
///
/// Without a port, the name is valid with every port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    authority: Authority,
    scheme: &'static str,
}

/// The text is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid host: expected a name such as chat.example.com or https://chat.example.com")]
pub struct InvalidHostName;

/// The names of a dashboard.
#[derive(Debug)]
pub(crate) struct Hosts {
    listen: IpAddr,
    pub(crate) names: Vec<HostName>,
    /// The name in the server's public URL.
    public: Option<HostName>,
    /// Whether the front door itself speaks TLS, so that every name is reached by https.
    pub(crate) is_encrypted: bool,
}

/// The origin of the page that sent a form, according to the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sender {
    Ours,
    /// Another origin.
    Foreign(String),
    /// The `Origin` header is missing, repeated, `null` or invalid.
    Unnamed,
}

/// The origin of the dashboard's pages, as the browser sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: &'static str,
    authority: String,
}

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(text: &str) -> Result<Self, InvalidHostName> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => ("https", rest),
            Some(("http", rest)) => ("http", rest),
            Some(_) => return Err(InvalidHostName),
            None => ("http", text),
        };
        let authority = authority(rest.strip_suffix('/').unwrap_or(rest)).ok_or(InvalidHostName)?;
        Ok(Self { authority, scheme })
    }
}

impl HostName {
    /// Returns whether a proxy terminates TLS for this name.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    fn matches(&self, requested: &Authority) -> bool {
        let port = |authority: &Authority| authority.port_u16().unwrap_or_else(|| default_port(self.scheme));
        let port_matches = self.authority.port().is_none() || port(&self.authority) == port(requested);
        port_matches && self.authority.host().eq_ignore_ascii_case(requested.host())
    }
}

impl Hosts {
    pub(crate) fn new(listen: SocketAddr, names: Vec<HostName>, public_url: Option<&PublicUrl>) -> Self {
        let public = public_url.and_then(|url| url.origin().parse().ok());
        Self { listen: listen.ip(), names, public, is_encrypted: false }
    }

    /// Returns the origin that a request was sent to, or `None` if its `Host` header does not name this dashboard.
    ///
    /// Loopback names are always accepted. If the server listens on all addresses, every IP address is: DNS rebinding
    /// needs a name. `is_encrypted` says whether the browser's connection is.
    ///
    /// A proxy may put an accepted name in the place of the public one. A page of the public origin is recognised by the `Origin`
    /// header, which browsers set, and the public origin is returned.
    pub(crate) fn origin(&self, headers: &HeaderMap, is_encrypted: bool) -> Option<Origin> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
        let requested = authority(host.to_str().ok()?)?;
        let mut names = self.public.iter().chain(&self.names);
        let scheme = match names.find(|name| name.matches(&requested)) {
            Some(name) => name.scheme,
            None if self.is_own_address(requested.host()) => "http",
            None => return None,
        };
        let scheme = if self.is_encrypted || is_encrypted { "https" } else { scheme };
        let public = self.public.as_ref().map(|name| Origin::new(name.scheme, &name.authority));
        let origin = public.filter(|public| public.has_sent(headers));
        Some(origin.unwrap_or_else(|| Origin::new(scheme, &requested)))
    }

    fn is_own_address(&self, host: &str) -> bool {
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let Ok(ip) = host.parse::<IpAddr>() else { return false };
        ip.is_loopback() || ip == self.listen || self.listen.is_unspecified()
    }
}

impl Origin {
    fn new(scheme: &'static str, authority: &Authority) -> Self {
        // Browsers omit the default port from an origin.
        let is_default_port = authority.port_u16() == Some(default_port(scheme));
        let authority = if is_default_port { authority.host() } else { authority.as_str() };
        Self { scheme, authority: authority.to_ascii_lowercase() }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Returns whether a page of this origin sent the request. Browsers send the `Origin` header with every form.
    pub(crate) fn has_sent(&self, headers: &HeaderMap) -> bool {
        self.sender(headers) == Sender::Ours
    }

    /// Returns who sent the request.
    pub(crate) fn sender(&self, headers: &HeaderMap) -> Sender {
        let mut origins = headers.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else { return Sender::Unnamed };
        match origin.to_str() {
            Ok(origin) if origin.eq_ignore_ascii_case(&self.to_string()) => Sender::Ours,
            Ok(origin) if origin.parse::<HostName>().is_ok() && origin.contains("://") => {
                Sender::Foreign(origin.to_owned())
            }
            _ => Sender::Unnamed,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Parses a host with an optional port.
fn authority(text: &str) -> Option<Authority> {
    text.parse().ok().filter(|authority: &Authority| !text.contains('@') && !authority.host().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str) -> HeaderMap {
        HeaderMap::from_iter([(HOST, host.parse().unwrap())])
    }

    #[test]
    fn only_own_names_are_accepted() {
        let names = [
            "chat.example.com",
            "https://secure.example.com",
            "http://one.example.com:8080",
            "https://default.example.com:443",
        ];
        let names = names.map(|name| name.parse().unwrap());
        let at = |listen: &str| Hosts::new(listen.parse().unwrap(), names.to_vec(), None);
        for (listen, host, origin) in [
            ("127.0.0.1:9080", "localhost:9080", Some("http://localhost:9080")),
            ("127.0.0.1:9080", "LOCALHOST", Some("http://localhost")),
            ("127.0.0.1:9080", "127.0.0.1:1", Some("http://127.0.0.1:1")),
            ("127.0.0.1:9080", "[::1]:9080", Some("http://[::1]:9080")),
            ("127.0.0.1:9080", "192.0.2.1:9080", None),
            ("192.0.2.1:9080", "192.0.2.1:9080", Some("http://192.0.2.1:9080")),
            ("0.0.0.0:9080", "192.0.2.1:9080", Some("http://192.0.2.1:9080")),
            ("[::]:9080", "[2001:db8::1]", Some("http://[2001:db8::1]")),
            ("0.0.0.0:9080", "evil.example", None),
            ("127.0.0.1:9080", "localhost.evil.example", None),
            ("127.0.0.1:9080", "127.0.0.1.evil.example", None),
            ("127.0.0.1:9080", "evil@localhost", None),
            ("127.0.0.1:9080", "", None),
            ("127.0.0.1:9080", "chat.example.com:9080", Some("http://chat.example.com:9080")),
            ("127.0.0.1:9080", "Secure.Example.com", Some("https://secure.example.com")),
            ("127.0.0.1:9080", "one.example.com:8080", Some("http://one.example.com:8080")),
            ("127.0.0.1:9080", "one.example.com:8081", None),
            ("127.0.0.1:9080", "secure.example.com:443", Some("https://secure.example.com")),
            ("127.0.0.1:9080", "secure.example.com:80", Some("https://secure.example.com:80")),
            ("127.0.0.1:9080", "chat.example.com:80", Some("http://chat.example.com")),
            ("127.0.0.1:80", "[::1]:80", Some("http://[::1]")),
            ("127.0.0.1:9080", "default.example.com", Some("https://default.example.com")),
            ("127.0.0.1:9080", "default.example.com:8443", None),
        ] {
            let found = at(listen).origin(&headers(host), false).map(|origin| origin.to_string());
            assert_eq!(found.as_deref(), origin, "{host} at {listen}");
        }
        assert_eq!(at("127.0.0.1:1").origin(&HeaderMap::new(), false), None);
        let mut twice = headers("localhost");
        twice.append(HOST, "localhost".parse().unwrap());
        assert_eq!(at("127.0.0.1:1").origin(&twice, false), None);
    }

    #[test]
    fn every_name_is_https_if_the_front_door_speaks_tls() {
        let names = vec!["chat.example.com".parse().unwrap()];
        let hosts = Hosts { is_encrypted: true, ..Hosts::new("0.0.0.0:443".parse().unwrap(), names, None) };
        for (host, origin) in [
            ("chat.example.com", Some("https://chat.example.com")),
            ("chat.example.com:443", Some("https://chat.example.com")),
            ("localhost:9443", Some("https://localhost:9443")),
            ("evil.example", None),
        ] {
            let found = hosts.origin(&headers(host), false).map(|origin| origin.to_string());
            assert_eq!(found.as_deref(), origin, "{host}");
        }
    }

    #[test]
    fn a_form_of_the_public_origin_is_accepted_though_a_proxy_changed_the_host() {
        let public = "https://Example.com:443/talk".parse().unwrap();
        let hosts = Hosts::new("127.0.0.1:9080".parse().unwrap(), Vec::new(), Some(&public));
        for (host, sent, origin, is_ours) in [
            ("example.com", "https://example.com", "https://example.com", true),
            ("127.0.0.1:9080", "https://example.com", "https://example.com", true),
            ("127.0.0.1:9080", "http://127.0.0.1:9080", "http://127.0.0.1:9080", true),
            ("127.0.0.1:9080", "http://example.com", "http://127.0.0.1:9080", false),
            ("127.0.0.1:9080", "https://evil.example", "http://127.0.0.1:9080", false),
            ("example.com", "null", "https://example.com", false),
        ] {
            let mut headers = headers(host);
            headers.insert(ORIGIN, sent.parse().unwrap());
            let found = hosts.origin(&headers, false).unwrap();
            assert_eq!(
                (found.to_string().as_str(), found.has_sent(&headers)),
                (origin, is_ours),
                "{host} {sent}"
            );
        }
        let mut rebound = headers("evil.example");
        rebound.insert(ORIGIN, "https://example.com".parse().unwrap());
        assert_eq!(hosts.origin(&rebound, false), None);
    }

    #[test]
    fn a_form_of_another_origin_is_recognised() {
        let hosts = Hosts::new("127.0.0.1:9080".parse().unwrap(), Vec::new(), None);
        let origin = hosts.origin(&headers("localhost:9080"), false).unwrap();
        for (sent, is_ours) in [
            (Some("http://localhost:9080"), true),
            (Some("https://localhost:9080"), false),
            (Some("http://localhost:9081"), false),
            (Some("http://evil.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let sent_by = HeaderMap::from_iter(sent.map(|sent| (ORIGIN, sent.parse().unwrap())));
            assert_eq!(origin.has_sent(&sent_by), is_ours, "{sent:?}");
            let named = sent.filter(|sent| *sent != "null" && !is_ours).map(str::to_owned);
            let foreign =
                matches!(origin.sender(&sent_by), Sender::Foreign(sender) if Some(&sender) == named.as_ref());
            assert_eq!(foreign, named.is_some(), "{sent:?}");
        }
    }

    #[test]
    fn an_invalid_host_is_refused() {
        for text in ["", "ftp://x", "https://", "a b", "https://x/path", "user@x", "x?y"] {
            assert_eq!(text.parse::<HostName>(), Err(InvalidHostName), "{text}");
        }
        for text in ["x", "https://x", "http://x:1", "https://x/", "[::1]:80", "192.0.2.1"] {
            assert!(text.parse::<HostName>().is_ok(), "{text}");
        }
    }
}
