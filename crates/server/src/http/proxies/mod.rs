//! The client of a request: the peer of its connection, or the client that a trusted proxy names.
//!
//! It is computed once for each request. Limits, sessions, pages and logs use only the result.

mod forwarded;
mod preface;

use std::net::{IpAddr, SocketAddr};

use crate::{Proxies, admission::PendingGuard};

pub(super) use self::preface::read as read_preface;

/// The client that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The address of the client; IPv4 is never written as IPv6. Behind a trusted proxy it is the address that the proxy names, with
    /// port 0 if the proxy names no port, and the proxy's own address if it names none.
    pub address: SocketAddr,
    /// Whether the client's connection is encrypted: by this process, or by a trusted proxy that says so.
    pub encrypted: bool,
}

/// The other end of a connection.
#[derive(Debug)]
pub(super) enum Peer {
    Client(SocketAddr),
    Proxy(Box<ProxyPeer>),
}

/// A trusted proxy, whose connection carries the requests of several clients, one after another.
#[derive(Debug)]
pub(super) struct ProxyPeer {
    address: SocketAddr,
    /// The client of the newest request; the proxy itself before the first.
    client: SocketAddr,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, proxies: &Proxies) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if proxies.trusts(address.ip()) {
            Self::Proxy(Box::new(ProxyPeer { address, client: address }))
        } else {
            Self::Client(address)
        }
    }

    /// Returns the peer of a connection whose preface names this client. A trusted proxy between the client and the balancer that
    /// sent the preface is such a client too, and its headers count.
    pub(super) fn announced(&self, client: Option<SocketAddr>, proxies: &Proxies) -> Self {
        // Without a client the balancer itself has connected. Its headers do not count: they could be a client's.
        match client.and_then(|client| forwarded::named(proxies, client)) {
            Some(client) => Self::new(client, proxies),
            None => Self::Client(self.address()),
        }
    }

    /// Returns the address of the peer itself.
    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Client(address) => *address,
            Self::Proxy(proxy) => proxy.address,
        }
    }

    /// Returns the address of the client of the newest request.
    pub(super) fn client(&self) -> SocketAddr {
        match self {
            Self::Client(address) => *address,
            Self::Proxy(proxy) => proxy.client,
        }
    }

    pub(super) fn is_proxy(&self) -> bool {
        matches!(self, Self::Proxy(_))
    }

    /// Returns the address that the connection counts for while no request is known: none for a proxy, whose connections would
    /// evict each other.
    pub(super) fn counts_for(&self) -> Option<IpAddr> {
        match self {
            Self::Client(address) => Some(address.ip()),
            Self::Proxy(_) => None,
        }
    }

    /// Counts the connection for the client of a request whose head is complete.
    pub(super) fn begin_request(&mut self, client: SocketAddr, guard: &PendingGuard) {
        if let Self::Proxy(proxy) = self {
            proxy.client = client;
            guard.count_for(Some(client.ip()));
        }
    }

    /// Returns how to identify the clients of requests over this connection.
    pub(super) fn hop<'a>(&self, proxies: &'a Proxies, is_encrypted: bool) -> Hop<'a> {
        Hop { peer: self.address(), is_encrypted, proxies: self.is_proxy().then_some(proxies) }
    }
}

/// The last hop of a request: from the peer of its connection to this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hop<'a> {
    peer: SocketAddr,
    /// Whether this process encrypts the connection.
    is_encrypted: bool,
    /// `Some` if the peer is a trusted proxy.
    proxies: Option<&'a Proxies>,
}

impl Hop<'_> {
    /// Returns the hop from a peer that is not a proxy.
    #[cfg(test)]
    pub(super) fn direct(peer: SocketAddr, is_encrypted: bool) -> Self {
        Self { peer, is_encrypted, proxies: None }
    }

    /// Returns the client of a request with these headers.
    pub(super) fn client<'h>(&self, headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> ClientInfo {
        match self.proxies {
            Some(proxies) => forwarded::client(proxies, self.peer, self.is_encrypted, headers),
            None => ClientInfo { address: self.peer, encrypted: self.is_encrypted },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_keeps_no_more_for_its_peer_than_an_address() {
        assert_eq!(size_of::<Peer>(), size_of::<SocketAddr>());
    }
}
