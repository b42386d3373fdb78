use super::*;

const PROXY: &str = "10.0.0.1:5000";

/// Returns the client's address as text, and whether its connection is encrypted, of a request whose lines came through a proxy at
/// 10.0.0.1; 10.0.0.0/8 and 127.0.0.1 are trusted.
fn client_of(header: ProxyHeader, lines: &[(&str, &str)]) -> (String, bool) {
    let trusted = ["10.0.0.0/8", "127.0.0.1/32"].map(|network| network.parse().unwrap());
    let proxies = Proxies::trusting(trusted).with_header(header);
    let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
    let client = client(&proxies, PROXY.parse().unwrap(), false, lines);
    (client.address.to_string(), client.encrypted)
}

#[test]
fn the_nearest_untrusted_address_of_x_forwarded_for_is_the_clients() {
    let many = vec!["203.0.113.9"; 100].join(", ");
    let hops = vec!["10.0.0.3"; 100].join(", ");
    for (lines, expected) in [
        // One proxy; what the client claims stands to the left of its address.
        (&["198.51.100.7"][..], "198.51.100.7:0"),
        (&["203.0.113.9, 198.51.100.7"], "198.51.100.7:0"),
        (&["10.0.0.9, 198.51.100.7"], "198.51.100.7:0"),
        (&["127.0.0.1, 198.51.100.7"], "198.51.100.7:0"),
        (&[&format!("{many}, 198.51.100.7")], "198.51.100.7:0"),
        (&["\", 198.51.100.7"], "198.51.100.7:0"),
        // Several proxies, several lines.
        (&["203.0.113.9, 198.51.100.7, 10.0.0.2"], "198.51.100.7:0"),
        (&["203.0.113.9", "198.51.100.7", "10.0.0.2, 10.0.0.3"], "198.51.100.7:0"),
        (&["198.51.100.7", &hops], "198.51.100.7:0"),
        (&["198.51.100.7,,10.0.0.2, ,"], "198.51.100.7:0"),
        // Ports, brackets, IPv6.
        (&["198.51.100.7:4711"], "198.51.100.7:4711"),
        (&["2001:db8::7"], "[2001:db8::7]:0"),
        (&["[2001:db8::7]"], "[2001:db8::7]:0"),
        (&["[2001:db8::7]:4711"], "[2001:db8::7]:4711"),
        (&["::ffff:198.51.100.7"], "198.51.100.7:0"),
        (&["198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7:0"),
        // All trusted: the leftmost.
        (&["10.0.0.5"], "10.0.0.5:0"),
        (&["10.0.0.5, 10.0.0.4"], "10.0.0.5:0"),
        (&["127.0.0.1"], "127.0.0.1:0"),
        // No address: the proxy that should have named one.
        (&[], PROXY),
        (&[""], PROXY),
        (&[" , "], PROXY),
        (&["unknown"], PROXY),
        (&["198.51.100.7, unknown"], PROXY),
        (&["198.51.100.7, _hidden, 10.0.0.2"], "10.0.0.2:0"),
        (&["198.51.100.7, 10.0.0.2:http"], PROXY),
        (&["198.51.100.7 10.0.0.2"], PROXY),
        (&["198.51.100"], PROXY),
        (&["198.51.100.7:99999"], PROXY),
        (&["[2001:db8::7"], PROXY),
        (&["fe80::1%eth0"], PROXY),
        (&["\u{fffd}\u{0}"], PROXY),
        // Loopback of another machine is no client of this one, and must not be exempt from limits.
        (&["198.51.100.7, ::1"], PROXY),
        (&["127.0.0.2, 10.0.0.2"], "10.0.0.2:0"),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
        assert_eq!(client_of(ProxyHeader::XForwardedFor, &lines).0, expected, "{lines:?}");
    }
}

#[test]
fn the_nearest_untrusted_address_of_forwarded_is_the_clients() {
    for (lines, expected) in [
        (&["for=198.51.100.7"][..], "198.51.100.7:0"),
        (&["For=\"198.51.100.7:4711\";proto=http;by=_x"], "198.51.100.7:4711"),
        (&["by=10.0.0.1 ; FOR = \"[2001:db8::7]\""], "[2001:db8::7]:0"),
        (&["for=\"[2001:db8::7]:4711\""], "[2001:db8::7]:4711"),
        (&["for=203.0.113.9, for=198.51.100.7, for=10.0.0.2"], "198.51.100.7:0"),
        (&["for=203.0.113.9", "for=198.51.100.7", "for=10.0.0.2"], "198.51.100.7:0"),
        (&["for=198.51.100.7;;, ,"], "198.51.100.7:0"),
        (&["ext=\"a,b;for=203.0.113.9\\\"\";for=198.51.100.7"], "198.51.100.7:0"),
        (&["for=10.0.0.5"], "10.0.0.5:0"),
        (&[], PROXY),
        (&["proto=https"], PROXY),
        (&["for=unknown"], PROXY),
        (&["for=198.51.100.7, for=_hidden"], PROXY),
        (&["for=198.51.100.7, for=_hidden, for=10.0.0.2"], "10.0.0.2:0"),
        (&["198.51.100.7"], PROXY),
        (&["for=198.51.100.7;for=203.0.113.9"], PROXY),
        (&["for=\"198\\.51.100.7\""], PROXY),
        (&["for=\"198.51.100.7\"x"], PROXY),
        // What a client writes cannot hide what the proxy appends to it, nor replace it.
        (&["for=\"203.0.113.9, for=198.51.100.7"], PROXY),
        (&["for=203.0.113.9;x=\", for=\"[2001:db8::7]\""], PROXY),
        (&["for=203.0.113.9;x=\"\\, for=\"[2001:db8::7]\""], PROXY),
        (&["for=203.0.113.9;x=\"", "for=198.51.100.7"], "198.51.100.7:0"),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        assert_eq!(client_of(ProxyHeader::Forwarded, &lines).0, expected, "{lines:?}");
    }
}

#[test]
fn only_the_chosen_header_counts() {
    let both = [
        ("X-Forwarded-For", "198.51.100.7"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=203.0.113.9;proto=http"),
        ("X-Real-IP", "192.0.2.1"),
    ];
    assert_eq!(client_of(ProxyHeader::XForwardedFor, &both), ("198.51.100.7:0".into(), true));
    assert_eq!(client_of(ProxyHeader::Forwarded, &both), ("203.0.113.9:0".into(), false));
    assert_eq!(client_of(ProxyHeader::XForwardedFor, &both[2..]), (PROXY.into(), false));
    assert_eq!(client_of(ProxyHeader::Forwarded, &both[..2]), (PROXY.into(), false));
}

#[test]
fn only_the_last_scheme_counts_and_an_unknown_one_is_ignored() {
    for (lines, expected) in [
        (&["https"][..], true),
        (&["HTTPS "], true),
        (&["wss"], true),
        (&["http"], false),
        (&["http, https"], true),
        (&["https, http"], false),
        (&["https", "http"], false),
        (&["http", "https"], true),
        (&["https, ftp"], false),
        (&["https,"], false),
        (&[""], false),
        (&[], false),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("X-Forwarded-Proto", *line)).collect();
        assert_eq!(client_of(ProxyHeader::XForwardedFor, &lines).1, expected, "{lines:?}");
    }
    for (lines, expected) in [
        (&["for=198.51.100.7;proto=https"][..], true),
        (&["proto=\"https\""], true),
        (&["for=198.51.100.7;proto=https, for=10.0.0.2;proto=http"], false),
        (&["for=198.51.100.7;proto=https, for=10.0.0.2"], false),
        (&["for=198.51.100.7;proto=https", "for=10.0.0.2;proto=https"], true),
        (&["proto=https;proto=https"], false),
    ] {
        let lines: Vec<_> = lines.iter().map(|line| ("Forwarded", *line)).collect();
        assert_eq!(client_of(ProxyHeader::Forwarded, &lines).1, expected, "{lines:?}");
    }
}

#[test]
fn the_scheme_of_the_proxy_counts_more_than_the_connection_to_it() {
    let proxies = Proxies::trusting(["10.0.0.0/8".parse().unwrap()]);
    for (scheme, expected) in [(Some("http"), false), (Some("https"), true), (Some("x"), true), (None, true)]
    {
        let lines = scheme.map(|scheme| ("x-forwarded-proto", scheme.as_bytes()));
        assert_eq!(client(&proxies, PROXY.parse().unwrap(), true, lines).encrypted, expected, "{scheme:?}");
    }
}
