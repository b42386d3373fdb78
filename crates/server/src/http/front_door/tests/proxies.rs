//! Connections of trusted proxies, of balancers with a preface, and of peers that only claim to be proxies.

use super::*;
use crate::ProxyHeader;

const PROXY: [u8; 4] = [10, 0, 0, 1];
const BEGINNINGS: [&str; 2] = ["", HEALTH];
/// After this request hyper reads the connection; without it the front door reads requests for the chat itself.
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

fn trusted() -> Proxies {
    Proxies::trusting(["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()])
}

async fn host() -> Host {
    Host::behind(trusted(), Limits::default()).await
}

/// A server that expects a preface.
async fn host_with_preface(limits: Limits) -> Host {
    let mut host = Host::behind(trusted(), limits).await;
    host.door = host.door.proxy_protocol();
    host
}

/// Adds a header to a request.
fn with(request: &str, header: &str) -> String {
    request.replacen("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"), 1)
}

/// A request for the chat of a client, whose body does not arrive.
fn without_body(host: &Host, id: usize, client: &str) -> String {
    let request = host.poll(id).replace("GET", "POST");
    with(
        &request,
        &format!("Content-Type: application/json\r\nContent-Length: 2\r\nX-Forwarded-For: {client}"),
    )
}

/// A preface that names a client at port 4711.
fn preface(client: [u8; 4]) -> Vec<u8> {
    let [a, b, c, d] = client;
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[a, b, c, d, 192, 0, 2, 1, 0x12, 0x67, 1, 0xbb]].concat()
}

#[tokio::test]
async fn the_address_that_a_trusted_proxy_names_is_the_sessions() {
    for (id, beginning) in BEGINNINGS.into_iter().enumerate() {
        let host = host().await;
        let mut proxy = host.connect_in_memory_from(PROXY);
        if !beginning.is_empty() {
            assert_eq!(proxy.ask(beginning).await, Some(200));
        }
        // Over one connection, the polls of two clients.
        let first = with(&host.poll(id), "X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-For: 198.51.100.7");
        assert_eq!(proxy.ask(&first).await, Some(200));
        let second = with(&host.poll(id + 10), "x-forwarded-for: 2001:db8::7, 10.0.0.9");
        assert_eq!(proxy.ask(&second).await, Some(200));
        let mut addresses = host.session_addresses().await;
        addresses.sort();
        assert_eq!(addresses, ["198.51.100.7", "2001:db8::7"]);

        let mut proxy = host.connect_in_memory_from(PROXY);
        let upgrade = host.poll(id + 20).replace(&format!("iflychat-token: id{}", id + 20), UPGRADE);
        let upgrade = with(&upgrade, "X-Forwarded-For: 203.0.113.5:99");
        proxy.0.write_all(format!("{beginning}{upgrade}").as_bytes()).await.unwrap();
        proxy.read_until(&format!("user{}", id + 20)).await;
        assert!(host.session_addresses().await.contains(&"203.0.113.5".to_owned()));
    }
}

#[tokio::test]
async fn headers_of_other_peers_are_ignored() {
    for beginning in BEGINNINGS {
        let host = host().await;
        let mut client = host.connect_in_memory();
        if !beginning.is_empty() {
            assert_eq!(client.ask(beginning).await, Some(200));
        }
        let forged = "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=198.51.100.7;proto=https";
        assert_eq!(client.ask(&with(&host.poll(1), forged)).await, Some(200));
        assert_eq!(host.session_addresses().await, [IpAddr::from(ADDRESS).to_string()]);
    }
}

#[tokio::test]
async fn a_request_without_an_address_is_the_proxys_own() {
    for header in ["X-Forwarded-For: unknown", "Forwarded: for=198.51.100.7", "X: y"] {
        let host = host().await;
        let mut proxy = host.connect_in_memory_from(PROXY);
        assert_eq!(proxy.ask(&with(&host.poll(1), header)).await, Some(200));
        assert_eq!(host.session_addresses().await, ["10.0.0.1"], "{header}");
    }
}

#[tokio::test]
async fn the_chosen_header_counts_at_the_front_door() {
    let host = Host::behind(trusted().with_header(ProxyHeader::Forwarded), Limits::default()).await;
    let mut proxy = host.connect_in_memory_from(PROXY);
    let both = "X-Forwarded-For: 192.0.2.66\r\nForwarded: for=\"[2001:db8::7]:4711\"";
    assert_eq!(proxy.ask(&with(&host.poll(1), both)).await, Some(200));
    assert_eq!(host.session_addresses().await, ["2001:db8::7"]);
}

#[tokio::test]
async fn connections_of_a_proxy_count_for_their_clients_once_the_head_is_complete() {
    for beginning in BEGINNINGS {
        let host = Host::behind(trusted(), Limits { unverified_per_address: 2, ..Limits::default() }).await;
        let mut idle: Vec<_> = (0..5).map(|_| host.connect_in_memory_from(PROXY)).collect();
        for proxy in &mut idle {
            if !beginning.is_empty() {
                assert_eq!(proxy.ask(beginning).await, Some(200));
            }
            proxy.0.write_all(b"POST /chat/2.0").await.unwrap();
        }
        host.pending(5).await;

        let mut proxies: Vec<_> = (0..5).map(|_| host.connect_in_memory_from(PROXY)).collect();
        // Three of one client, two of another.
        for (n, proxy) in proxies.iter_mut().enumerate() {
            let client = if n < 3 { "198.51.100.7" } else { "203.0.113.9" };
            let request = without_body(&host, n, &format!("192.0.2.66, {client}"));
            if !beginning.is_empty() {
                assert_eq!(proxy.ask(beginning).await, Some(200));
            }
            proxy.0.write_all(request.as_bytes()).await.unwrap();
        }
        host.pending(9).await;
        let mut served = Vec::new();
        for proxy in &mut proxies {
            served.push(proxy.ask("[]").await.is_some() && proxy.ask(HEALTH).await == Some(200));
        }
        assert!(served[..3].iter().filter(|served| **served).count() >= 2, "{served:?}");
        assert_eq!(served[3..], [true, true], "another client is not concerned");
        for proxy in &mut idle {
            assert_eq!(proxy.ask(" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await, Some(426));
        }
    }
}

#[tokio::test]
async fn pending_websockets_count_for_the_clients_that_a_proxy_names() {
    for beginning in BEGINNINGS {
        let host = Host::behind(trusted(), Limits { unverified_per_address: 2, ..Limits::default() }).await;
        let mut open = Vec::new();
        for n in 0..4 {
            let client = if n < 3 { "198.51.100.7" } else { "203.0.113.9" };
            let request = format!(
                "GET /chat/2.0 HTTP/1.1\r\nHost: h\r\n{UPGRADE}\r\nX-Forwarded-For: {client}\r\n\r\n"
            );
            let mut proxy = host.connect_in_memory_from(PROXY);
            proxy.0.write_all(format!("{beginning}{request}").as_bytes()).await.unwrap();
            // The native handshake waits for a message.
            proxy.read_until("HTTP/1.1 101 ").await;
            open.push(proxy);
        }
        host.pending(3).await;
    }
}

#[tokio::test]
async fn a_loopback_proxy_is_not_exempt_and_other_loopback_clients_are() {
    let limits = Limits { unverified_per_address: 2, ..Limits::default() };
    let host = Host::behind(trusted(), limits).await;
    let mut open = Vec::new();
    for (n, address) in [[127, 0, 0, 1], [127, 0, 0, 2]].into_iter().flat_map(|a| [a; 4]).enumerate() {
        let mut proxy = host.connect_in_memory_from(address);
        let request = without_body(&host, n, "unknown");
        proxy.0.write_all(request.as_bytes()).await.unwrap();
        open.push(proxy);
    }
    host.pending(2 + 4).await;
}

#[tokio::test]
async fn a_credential_counts_for_its_request_and_not_for_the_next_client_of_the_proxy() {
    for next in [HEALTH, ""] {
        let host = Host::behind(trusted(), Limits { unverified: 2, ..Limits::default() }).await;
        let mut proxy = host.connect_in_memory_from(PROXY);
        assert_eq!(proxy.ask(&host.call()).await, Some(200));
        assert_eq!(host.door.http.admission.pending.len(), 0, "kept alive, it is not evicted for others");
        if !next.is_empty() {
            assert_eq!(proxy.ask(next).await, Some(200));
            host.pending(1).await;
        }
        proxy.0.write_all(without_body(&host, 1, "198.51.100.7").as_bytes()).await.unwrap();
        host.pending(1).await;
        assert!(proxy.ask("[]").await.is_some());
        assert_eq!(proxy.ask(&host.call()).await, Some(200));
    }
}

#[tokio::test(start_paused = true)]
async fn held_polls_of_sessions_are_not_pending_whatever_connection_they_use() {
    for (peer, header) in [(ADDRESS, "X: y"), (PROXY, "X-Forwarded-For: 198.51.100.7")] {
        for beginning in BEGINNINGS {
            let host =
                Host::behind(trusted(), Limits { unverified_per_address: 2, ..Limits::default() }).await;
            let mut polls = Vec::new();
            for id in 0..4 {
                let poll = with(&host.poll(id), header);
                let mut opening = host.connect_in_memory_from(peer);
                assert_eq!(opening.ask(&poll).await, Some(200));
                drop(opening);
                let mut held = host.connect_in_memory_from(peer);
                held.0.write_all(format!("{beginning}{poll}").as_bytes()).await.unwrap();
                polls.push(held);
            }
            host.pending(0).await;
            for mut held in polls {
                held.0.shutdown().await.unwrap();
                assert!(held.read_until("\r\n\r\n[]").await.starts_with("HTTP/1.1 200 "), "not evicted");
            }
        }
    }
}

#[tokio::test]
async fn the_client_of_a_preface_is_the_peer_and_headers_do_not_count() {
    for (client, header, expected) in [
        ([198, 51, 100, 7], "X-Forwarded-For: 203.0.113.9", "198.51.100.7"),
        // A trusted proxy between the client and the balancer.
        ([10, 0, 0, 9], "X-Forwarded-For: 203.0.113.9", "203.0.113.9"),
        ([10, 0, 0, 9], "X: y", "10.0.0.9"),
        // The balancer's own loopback.
        ([127, 0, 0, 2], "X-Forwarded-For: 203.0.113.9", "10.0.0.1"),
    ] {
        let host = host_with_preface(Limits::default()).await;
        let mut balancer = host.connect_in_memory_from(PROXY);
        balancer.0.write_all(&preface(client)).await.unwrap();
        assert_eq!(balancer.ask(&with(&host.poll(1), header)).await, Some(200));
        assert_eq!(host.session_addresses().await, [expected], "{client:?} {header}");
    }
    let host = host_with_preface(Limits { unverified_per_address: 2, ..Limits::default() }).await;
    // Connections count for the balancer at no time, and for their client from the preface on.
    let mut open = Vec::new();
    for client in [[198, 51, 100, 7], [198, 51, 100, 7], [198, 51, 100, 7], [203, 0, 113, 9]] {
        let mut balancer = host.connect_in_memory_from(PROXY);
        balancer.0.write_all(&preface(client)).await.unwrap();
        open.push(balancer);
    }
    host.pending(3).await;
}

#[tokio::test]
async fn a_preface_without_an_address_is_for_the_balancer_itself() {
    let host = host_with_preface(Limits::default()).await;
    let mut balancer = host.connect_in_memory_from(PROXY);
    balancer.0.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").await.unwrap();
    assert_eq!(balancer.ask(&with(&host.poll(1), "X-Forwarded-For: 203.0.113.9")).await, Some(200));
    assert_eq!(host.session_addresses().await, ["10.0.0.1"]);
    assert_eq!(balancer.ask(HEALTH).await, Some(200));
}

#[tokio::test(start_paused = true)]
async fn connections_without_a_valid_preface_are_closed() {
    let host = host_with_preface(Limits::default()).await;
    let good = preface([198, 51, 100, 7]);
    let mut forged = good.clone();
    forged[13] = 0x77;
    for (peer, sent) in [
        (ADDRESS, &[&good[..], HEALTH.as_bytes()].concat()[..]),
        (ADDRESS, b""),
        ([127, 0, 0, 2], HEALTH.as_bytes()),
        (PROXY, HEALTH.as_bytes()),
        (PROXY, b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n"),
        (PROXY, &forged),
        // These are closed because the rest does not arrive.
        (PROXY, &good[..20]),
        (PROXY, b""),
        (PROXY, b"\r\n"),
    ] {
        let mut client = host.connect_in_memory_from(peer);
        // Fails if the connection is closed already.
        _ = client.0.write_all(sent).await;
        let begun = Instant::now();
        let mut received = Vec::new();
        _ = client.0.read_to_end(&mut received).await;
        assert_eq!(received, b"", "{sent:?}");
        let limit = PREFACE + Duration::from_millis(100);
        assert!(begun.elapsed() <= limit, "{sent:?} was closed after {:?}", begun.elapsed());
        host.pending(0).await;
    }
}

#[tokio::test]
async fn new_connections_are_limited_for_the_client_and_not_for_the_proxy() {
    let rate = crate::Rate { per_second: 1, burst: 2 };
    for beginning in BEGINNINGS {
        let host =
            Host::behind(trusted(), Limits { connections_per_address: Some(rate), ..Limits::default() })
                .await;
        let mut proxy = host.connect_in_memory_from(PROXY);
        if !beginning.is_empty() {
            assert_eq!(proxy.ask(beginning).await, Some(200));
        }
        let mut answers = Vec::new();
        for id in 0..20 {
            answers.push(proxy.ask(&with(&host.poll(id), "X-Forwarded-For: 192.0.2.66")).await);
        }
        assert_eq!(answers[..2], [Some(200); 2]);
        assert!(answers.contains(&Some(429)), "{answers:?}");
        for id in 20..30 {
            let other = with(&host.poll(id), &format!("X-Forwarded-For: 198.51.100.{id}"));
            assert_eq!(proxy.ask(&other).await, Some(200));
        }
    }
}
