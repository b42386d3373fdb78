//! The URL that a built-in transport dials: plaintext HTTP or WebSocket.

use std::net::IpAddr;

use http::uri::{Authority, PathAndQuery, Uri};

use crate::ConnectError;

/// The parts of `ws://host[:port]/path?query` or the same with `http://`.
#[derive(Clone)]
pub(crate) struct Url {
    pub(crate) authority: Authority,
    pub(crate) target: PathAndQuery,
}

impl Url {
    /// Parses `url`. If it needs TLS, the error ends with `instead`, which says what to do.
    pub(crate) fn parse(url: &str, instead: &str) -> Result<Self, ConnectError> {
        let invalid = |why: &str| ConnectError::Invalid(why.to_owned());
        // `Uri` drops the fragment silently.
        if url.contains('#') {
            return Err(invalid("the URL has a fragment: remove # and the text after it"));
        }
        let uri: Uri = url.parse().map_err(|_| invalid("invalid URL"))?;
        match uri.scheme_str() {
            Some("ws" | "http") => {}
            Some("wss" | "https") => {
                let why = "wss:// and https:// need TLS, which is not built in yet";
                return Err(invalid(&format!("{why}{instead}")));
            }
            _ => return Err(invalid("the URL does not begin with ws:// or http://")),
        }
        let parts = uri.into_parts();
        let authority = parts.authority.ok_or_else(|| invalid("the URL has no host"))?;
        check_authority(&authority)?;
        let target = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { authority, target })
    }

    /// Returns the host without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns whether plaintext to the host leaves this machine.
    pub(crate) fn is_exposed(&self) -> bool {
        match self.host().parse::<IpAddr>() {
            Ok(address) => !address.is_loopback(),
            Err(_) => !self.host().eq_ignore_ascii_case("localhost"),
        }
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
