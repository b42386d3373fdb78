//! The network of an address, to which limits per address apply, and the proxies that name addresses.

mod proxies;

use std::net::{IpAddr, Ipv6Addr};

pub(crate) use self::proxies::canonical;
pub use self::proxies::{Proxies, ProxyHeader};

/// Returns the network that an address counts for: itself, or for IPv6 its /64, which usually belongs to one customer. Returns `None`
/// for loopback, whose clients cannot be told apart. An IPv4 address mapped to IPv6 counts as IPv4.
///
/// [`Proxies::network`] is this function for a server that may be behind proxies.
fn network(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    match address {
        _ if address.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_for_its_network_and_loopback_for_none() {
        for (address, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("2001:db8:0:1:2:3:4:5", Some("2001:db8:0:1::")),
            ("127.0.0.1", None),
            ("::ffff:127.0.0.1", None),
            ("::1", None),
        ] {
            let expected = expected.map(|expected| expected.parse().unwrap());
            assert_eq!(network(address.parse().unwrap()), expected, "{address}");
        }
    }
}
