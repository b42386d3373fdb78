//! The URL that a built-in transport dials.

use std::net::IpAddr;

use http::uri::{Authority, PathAndQuery, Uri};

use crate::ConnectError;

/// The parts of `wss://host[:port]/path?query`, or the same with `ws://`, `https://` or `http://`.
#[derive(Clone)]
pub(crate) struct Url {
    pub(crate) is_tls: bool,
    pub(crate) authority: Authority,
    pub(crate) target: PathAndQuery,
}

impl Url {
    /// Parses `url`; rejects TLS if the feature `tls` is disabled.
    pub(crate) fn parse(url: &str) -> Result<Self, ConnectError> {
        let invalid = |why: &str| ConnectError::Invalid(why.to_owned());
        // `Uri` drops the fragment silently.
        if url.contains('#') {
            return Err(invalid("the URL has a fragment: remove # and the text after it"));
        }
        let uri: Uri =
            url.parse().map_err(|_| invalid("invalid URL: write one such as https://chat.example"))?;
        let is_tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") if cfg!(feature = "tls") => true,
            Some("wss" | "https") => {
                return Err(invalid(
                    "wss:// and https:// need TLS: enable the feature `tls` of chatcamp-client or chatcamp-transport",
                ));
            }
            _ => return Err(invalid("the URL does not begin with wss://, ws://, https:// or http://")),
        };
        let parts = uri.into_parts();
        let authority = parts.authority.ok_or_else(|| invalid("the URL has no host"))?;
        check_authority(&authority)?;
        let target = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { is_tls, authority, target })
    }

    /// Returns the URL without its query, which may contain a token.
    pub(crate) fn shown(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.target.path())
    }

    /// Returns the host without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns whether the host is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host().parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host().eq_ignore_ascii_case("localhost"),
        }
    }

    /// Returns whether messages leave this machine unencrypted.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.is_tls && !self.is_loopback()
    }
}

pub(crate) fn check_authority(authority: &Authority) -> Result<(), ConnectError> {
    match authority.as_str() {
        text if text.contains('@') => {
            Err(ConnectError::Invalid("the URL has a user name or password: remove it".to_owned()))
        }
        text if authority.host().is_empty() || (authority.port().is_none() && text != authority.host()) => {
            Err(ConnectError::Invalid("the host or port in the URL is invalid".to_owned()))
        }
        _ => Ok(()),
    }
}
