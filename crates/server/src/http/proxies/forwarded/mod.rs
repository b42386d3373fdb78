//! The client that a trusted proxy names in the headers of a request.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::ClientInfo;
use crate::{Proxies, ProxyHeader};

/// Returns the client of a request that a trusted proxy at `proxy` has sent.
///
/// The addresses in the header are walked from the right, over trusted proxies; the first address that is not trusted is the
/// client's. If an entry is not an address, or the header is missing, the client is the proxy that should have named it. If all
/// are trusted, the client is the leftmost. `is_encrypted` counts if the proxy names no scheme.
pub(super) fn client<'h>(
    proxies: &Proxies,
    proxy: SocketAddr,
    is_encrypted: bool,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> ClientInfo {
    let (name, of_scheme) = match proxies.header() {
        ProxyHeader::XForwardedFor => ("x-forwarded-for", "x-forwarded-proto"),
        ProxyHeader::Forwarded => ("forwarded", ""),
    };
    let mut lines = Vec::new();
    let mut scheme = None;
    for (header, value) in headers {
        if header.eq_ignore_ascii_case(name) {
            lines.push(value);
        } else if header.eq_ignore_ascii_case(of_scheme) {
            scheme = value.rsplit(|&b| b == b',').next();
        }
    }
    let lines = lines.into_iter().rev();
    let (address, scheme) = match proxies.header() {
        ProxyHeader::XForwardedFor => {
            let entries = lines.flat_map(|line| line.rsplit(|&b| b == b','));
            let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
            (nearest_untrusted(proxies, proxy, entries.map(node)), scheme)
        }
        ProxyHeader::Forwarded => {
            let mut elements = lines.flat_map(elements_from_the_right).peekable();
            let scheme = elements.peek().and_then(|element| element.scheme);
            (nearest_untrusted(proxies, proxy, elements.map(|element| element.node.and_then(node))), scheme)
        }
    };
    ClientInfo { address, encrypted: scheme.and_then(is_encrypted_scheme).unwrap_or(is_encrypted) }
}

/// Walks over the trusted addresses of `entries`, which begin with the one that `proxy` has written.
fn nearest_untrusted(
    proxies: &Proxies,
    proxy: SocketAddr,
    entries: impl Iterator<Item = Option<SocketAddr>>,
) -> SocketAddr {
    let mut writer = proxy;
    for entry in entries {
        let Some(address) = entry.and_then(|address| named(proxies, address)) else { break };
        writer = address;
        if !proxies.trusts(address.ip()) {
            break;
        }
    }
    writer
}

/// Returns the address that a proxy names as a client's, in its canonical form. Returns `None` for loopback that is not trusted:
/// it is a process on the proxy's own machine, not a client of this one, and must not be exempt from limits.
pub(super) fn named(proxies: &Proxies, address: SocketAddr) -> Option<SocketAddr> {
    let ip = address.ip().to_canonical();
    (!ip.is_loopback() || proxies.trusts(ip)).then(|| SocketAddr::new(ip, address.port()))
}

/// Parses an address with or without a port. Returns `None` for anything else, such as `unknown` or `_hidden`.
fn node(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, 0));
    }
    if let Some(ip) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return Some(SocketAddr::new(ip.parse::<Ipv6Addr>().ok()?.into(), 0));
    }
    text.parse().ok()
}

/// Returns whether a scheme is encrypted; `None` if it is unknown.
fn is_encrypted_scheme(scheme: &[u8]) -> Option<bool> {
    let is = |name: &str| scheme.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
    if is("https") || is("wss") {
        return Some(true);
    }
    (is("http") || is("ws")).then_some(false)
}

/// One element of `Forwarded`. Both parts are `None` if it is malformed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Element<'a> {
    node: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
}

/// Returns the elements of one line of `Forwarded`, the last first. A line with an unclosed quoted string is one malformed element:
/// what a client wrote could otherwise hide what the proxy has appended.
fn elements_from_the_right(line: &[u8]) -> Vec<Element<'_>> {
    let Some(parts) = split_outside_quotes(line, b',') else { return vec![Element::default()] };
    let parts = parts.into_iter().rev().filter(|part| !part.trim_ascii().is_empty());
    parts.map(|part| element(part).unwrap_or_default()).collect()
}

fn element(part: &[u8]) -> Option<Element<'_>> {
    let mut element = Element::default();
    for pair in split_outside_quotes(part, b';')? {
        if pair.trim_ascii().is_empty() {
            continue;
        }
        let equals = pair.iter().position(|&b| b == b'=')?;
        let name = pair[..equals].trim_ascii();
        let slot = if name.eq_ignore_ascii_case(b"for") {
            &mut element.node
        } else if name.eq_ignore_ascii_case(b"proto") {
            &mut element.scheme
        } else {
            continue;
        };
        let value = unquoted(pair[equals + 1..].trim_ascii())?;
        if slot.replace(value).is_some() {
            return None;
        }
    }
    Some(element)
}

/// Splits at `separator` outside quoted strings. Returns `None` if a quoted string is not closed.
fn split_outside_quotes(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut is_quoted = false;
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => _ = bytes.next(),
            _ if byte == separator && !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// Returns a value without its quotes. Returns `None` if it has others or an escape, which no address and no scheme needs.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    (!inner.iter().any(|b| b"\"\\".contains(b))).then_some(inner)
}

#[cfg(test)]
mod tests;
