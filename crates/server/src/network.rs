//! The network that an address counts for.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the network that an address counts for, of IPv6 its /64, which one customer has as a whole; `None` for loopback,
/// which does not tell clients apart.
pub(crate) fn network(address: IpAddr) -> Option<IpAddr> {
    match address {
        _ if address.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}
