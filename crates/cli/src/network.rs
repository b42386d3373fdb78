//! Network addresses as arguments.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Parses a network, or an address as the network that has only this address. IPv4 may be written as IPv6.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| {
        "expected an address or a network, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32".to_owned()
    })?;
    let network = canonical(network);
    if network != network.trunc() {
        let (whole, address) = (network.trunc(), network.addr());
        return Err(format!("this is neither a network nor an address; write {whole} or {address}"));
    }
    Ok(network)
}

fn canonical(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(address, length)
    {
        return v4.into();
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_accepted_and_others_say_what_to_write() {
        for (text, expected) in [
            ("192.0.2.7", Ok("192.0.2.7/32")),
            (" 10.0.0.0/8", Ok("10.0.0.0/8")),
            ("2001:db8::7", Ok("2001:db8::7/128")),
            ("2001:db8::/32", Ok("2001:db8::/32")),
            ("::ffff:192.0.2.0/120", Ok("192.0.2.0/24")),
            ("::ffff:192.0.2.7", Ok("192.0.2.7/32")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("10.1.2.3/8", Err("write 10.0.0.0/8 or 10.1.2.3")),
            ("10.0.0.0/33", Err("such as 192.0.2.7")),
            ("localhost", Err("such as 192.0.2.7")),
            ("192.0.2.7:80", Err("such as 192.0.2.7")),
            ("", Err("such as 192.0.2.7")),
        ] {
            match (parse_network(text), expected) {
                (Ok(network), Ok(expected)) => assert_eq!(network.to_string(), expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
