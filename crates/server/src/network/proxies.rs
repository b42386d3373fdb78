//! The reverse proxies and load balancers that the operator trusts.

use std::{net::IpAddr, sync::Arc};

use ipnet::{IpNet, Ipv4Net};

use super::network;

/// The reverse proxies and load balancers that may name the address of a client. By default there are none.
///
/// Their word counts for every limit and log of the server, so only proxies belong here that set the header themselves, or that
/// send the PROXY protocol. Headers of any other peer are ignored.
///
/// # Examples
/// ```
/// use chatcamp_server::{Proxies, ProxyHeader};
///
/// let proxies = Proxies::trusting(["10.0.0.0/8".parse()?, "192.0.2.7/32".parse()?]);
/// assert!(proxies.trusts("10.1.2.3".parse()?) && !proxies.trusts("192.0.2.8".parse()?));
/// let proxies = proxies.with_header(ProxyHeader::Forwarded);
/// # drop(proxies);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    trusted: Arc<[IpNet]>,
    header: ProxyHeader,
}

/// The header in which a proxy names the addresses that a request came through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyHeader {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme. nginx, HAProxy and Caddy can all send them.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), with `for` and `proto`.
    Forwarded,
}

impl Proxies {
    /// Returns proxies at all addresses of these networks. IPv4 networks may be written as IPv6 (`::ffff:10.0.0.0/104`).
    #[must_use]
    pub fn trusting(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { trusted: networks.into_iter().map(canonical).collect(), header: ProxyHeader::default() }
    }

    /// Sets the header that counts; the other is ignored. Default: [`ProxyHeader::XForwardedFor`].
    #[must_use]
    pub fn with_header(mut self, header: ProxyHeader) -> Self {
        self.header = header;
        self
    }

    /// Returns whether there is a trusted proxy at this address.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    pub(crate) fn header(&self) -> ProxyHeader {
        self.header
    }

    /// Returns the network that the address of a client counts for: itself, or for IPv6 its /64. Returns `None` for loopback, whose
    /// clients cannot be told apart.
    ///
    /// The address of a trusted proxy counts even on loopback: its clients have addresses of their own, and a request without one
    /// must not escape the limits.
    pub(crate) fn network(&self, address: IpAddr) -> Option<IpAddr> {
        network(address).or_else(|| self.trusts(address).then(|| address.to_canonical()))
    }
}

/// Returns a network of IPv4 addresses that are mapped to IPv6 as one of IPv4.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(address, prefix)
    {
        return v4.into();
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusting(networks: &[&str]) -> Proxies {
        Proxies::trusting(networks.iter().map(|network| network.parse().unwrap()))
    }

    #[test]
    fn addresses_within_the_networks_are_trusted_in_both_forms_of_ipv4() {
        let proxies = trusting(&["10.0.0.0/8", "2001:db8::/32", "::ffff:192.0.2.0/120"]);
        for (address, is_trusted) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("192.0.2.255", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.0", false),
            ("::a00:1", false),
        ] {
            assert_eq!(proxies.trusts(address.parse().unwrap()), is_trusted, "{address}");
        }
        assert!(!Proxies::default().trusts([127, 0, 0, 1].into()));
    }

    #[test]
    fn loopback_is_exempt_unless_a_proxy_there_is_trusted() {
        let loopback = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(Proxies::default().network(loopback), None);
        assert_eq!(trusting(&["127.0.0.1/32"]).network(loopback), Some([127, 0, 0, 1].into()));
        assert_eq!(trusting(&["127.0.0.1/32"]).network("::1".parse().unwrap()), None);
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(trusting(&["::/0"]).network(address), Some("2001:db8::".parse().unwrap()));
    }
}
