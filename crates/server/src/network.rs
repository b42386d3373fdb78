//! The network of an address, to which limits per address apply.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the network that an address counts for: itself, or for IPv6 its /64, which usually belongs to one customer. Returns `None`
/// for loopback, whose clients cannot be told apart.
pub(crate) fn network(address: IpAddr) -> Option<IpAddr> {
    match address {
        _ if address.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}
