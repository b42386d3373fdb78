//! The chat endpoint over real sockets, through both adapters: the front door, and the service mounted in axum.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chatcamp_protocol::Code;
use chatcamp_server::{AuthPolicy, Limits};
use chatcamp_transport::{Transport, websocket};
use common::{ADAPTERS, Adapter, PATIENCE, Peer, World, eventually, listen};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Sends raw bytes and returns all that comes back until the server closes, or says so much.
async fn exchange(address: SocketAddr, request: &[u8], enough: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    // The server may refuse before it has read everything.
    _ = tcp.write_all(request).await;
    let mut answer = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&answer).contains(enough) {
            if tcp.read_buf(&mut answer).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    let patient = timeout(PATIENCE, reading).await;
    assert!(patient.is_ok(), "no {enough} in {:?}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

fn upgrade(target: &str, extra: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn both_dialects_are_served_through_both_adapters() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let native = websocket::Transport::new(&format!("ws://{address}/chat/2.0")).unwrap();
        let mut alice =
            Peer::native(native.connect().await.unwrap(), &world.app, "alice", None).await.unwrap();
        assert_eq!(alice.request("users.update", json!({"display_name": "A"})).await["ok"], true);

        let url = format!("ws://{address}/chat/2.0?app_id={}&user_id=b%40c.example", world.app);
        let published = websocket::Transport::new(&url).unwrap();
        let mut bob = Peer { connection: published.connect().await.unwrap(), requests: 0, ack: Value::Null };
        assert_eq!(bob.recv().await["d"]["user"]["id"], "b@c.example");
        drop((alice, bob));
        world.at_rest().await;
        world.close().await;
    }
}

#[tokio::test]
async fn the_front_door_answers_and_acknowledges_in_one_write() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
    tcp.write_all(&upgrade(&target, "")).await.unwrap();
    let mut first = vec![0; 16 * 1024];
    let n = timeout(PATIENCE, tcp.read(&mut first)).await.unwrap().unwrap();
    let first = String::from_utf8_lossy(&first[..n]);
    assert!(first.starts_with("HTTP/1.1 101 ") && first.contains("users.auth.ack"), "{first}");
    assert!(!first.to_ascii_lowercase().contains("sec-websocket-protocol"));
    drop(tcp);
    world.close().await;
}

#[tokio::test]
async fn a_refusal_is_a_message_followed_by_the_close() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        for (query, reason, number) in [
            ("app_id=unknown&user_id=a", "APP_NOT_FOUND", Code::AppNotFound),
            ("app_id=a%20b&user_id=a", "APP_ID_INVALID", Code::AppIdInvalid),
            ("app_id=x&user_id=", "USER_ID_INVALID", Code::UserIdInvalid),
            ("app_id=x&app_id=y&user_id=a", "QUERY_INVALID", Code::QueryInvalid),
            ("app_id=x&user_id=%ff", "QUERY_INVALID", Code::QueryInvalid),
            ("session_key=forged", "SESSION_KEY_INVALID", Code::SessionKeyInvalid),
        ] {
            let transport = websocket::Transport::new(&format!("ws://{address}/chat/2.0?{query}")).unwrap();
            let mut peer =
                Peer { connection: transport.connect().await.unwrap(), requests: 0, ack: Value::Null };
            let ack = peer.recv().await;
            assert_eq!(ack["d"]["error"]["reason"], reason, "{adapter:?} {query}: {ack}");
            peer.closed_with(number).await;
        }
        world.close().await;
    }
}

#[tokio::test]
async fn a_request_without_an_upgrade_gets_an_answer_that_says_what_to_do() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let plain = |method: &str, headers: &str| {
            format!("{method} /chat/2.0?app_id=a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n")
        };
        for (request, status, says) in [
            (plain("GET", ""), 426, "TRANSPORT_REQUIRED"),
            (plain("POST", "Content-Length: 2\r\n") + "{}", 426, "TRANSPORT_REQUIRED"),
            (plain("GET", "Upgrade: h2c\r\n"), 426, "sec-websocket-version: 13"),
            (plain("DELETE", ""), 405, "allow: GET, POST, OPTIONS"),
            (plain("GET", "Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"), 426, "version 13"),
            (
                String::from_utf8(upgrade("/chat/2.0", "Content-Length: 2\r\n")).unwrap() + "{}",
                400,
                "BODY_BEHIND_UPGRADE",
            ),
            (
                String::from_utf8(upgrade("/chat/2.0", "Sec-WebSocket-Key: eA==\r\n")).unwrap(),
                400,
                "Sec-WebSocket-Key",
            ),
        ] {
            let answer = exchange(address, request.as_bytes(), "}}").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{adapter:?} {request}: {answer}");
            assert!(answer.contains(says), "{adapter:?} {request}: {answer}");
            assert!(answer.contains("cache-control: no-store"), "{answer}");
            assert!(answer.contains("referrer-policy: no-referrer"), "{answer}");
        }
        world.close().await;
    }
}

#[tokio::test]
async fn a_preflight_of_any_origin_is_granted_without_wildcards() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let request = "OPTIONS /chat/2.0 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: http://page.example\r\n\
            Access-Control-Request-Headers: iflychat-token,x-csrf-token\r\n\r\n";
        let answer = exchange(address, request.as_bytes(), "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        for header in [
            "access-control-allow-origin: http://page.example",
            "access-control-allow-credentials: true",
            "access-control-allow-headers: content-type, iflychat-token, x-csrf-token, x-session-key",
            "access-control-max-age: 86400",
            "vary: Origin",
        ] {
            assert!(answer.contains(header), "{header} in {answer}");
        }
        world.close().await;
    }
}

#[tokio::test]
async fn a_page_of_another_origin_can_read_that_its_path_is_wrong() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    for (method, path, status, is_readable) in [
        ("OPTIONS", "/talk/chat/2.0", "204", true),
        ("POST", "/talk/chat/2.0", "404", true),
        ("GET", "/talk/chat/2.0", "404", true),
        ("POST", "/talk", "404", false),
    ] {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: http://page.example\r\n\
            Content-Length: 0\r\n\r\n"
        );
        let end = if status == "204" { "\r\n\r\n" } else { "}}" };
        let answer = exchange(address, request.as_bytes(), end).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        let origin = "access-control-allow-origin: http://page.example";
        assert_eq!(answer.contains(origin), is_readable, "{method} {path}: {answer}");
    }
    world.close().await;
}

#[tokio::test]
async fn all_other_requests_are_answered_by_hyper() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let long = format!("GET /chat/2.0?user_id={} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(20_000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "404"),
        ("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "200"),
        ("GET /chat/2.0/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "404"),
        ("GET /chat/2.0 HTTP/1.0\r\n\r\n", "426"),
        ("nonsense\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "4",
        ),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", "400"),
        (long.as_str(), "431"),
    ] {
        let answer = exchange(address, request.as_bytes(), "\r\n\r\n").await;
        assert!(answer.split(' ').nth(1).is_some_and(|s| s.starts_with(status)), "{request:.60}: {answer}");
    }
    // Two requests in one segment are answered in order, on one connection.
    let two =
        "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange(address, two.as_bytes(), "never").await;
    assert_eq!(
        (answer.matches("HTTP/1.1 200").count(), answer.matches("HTTP/1.1 404").count()),
        (1, 1),
        "{answer}"
    );
    world.at_rest().await;
    world.close().await;
}

#[tokio::test]
async fn an_upgrade_after_another_request_on_the_same_connection_is_served() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
    let mut bytes = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    bytes.extend(upgrade(&target, ""));
    let answer = exchange(address, &bytes, "session_key").await;
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("HTTP/1.1 101"), "{answer}");
    world.at_rest().await;
    world.close().await;
}

#[tokio::test]
async fn bytes_sent_with_the_head_are_not_lost() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let hello = json!({"t": "users.auth", "r": 1, "d": {"v": 1, "client": "x".repeat(100), "app_id": world.app, "user_id": "a"}});
    let hello = hello.to_string();
    let mut bytes = upgrade("/chat/2.0", "");
    // A masked text frame whose mask is zero.
    bytes.extend([0x81, 0x80 | 126]);
    bytes.extend(u16::try_from(hello.len()).unwrap().to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(hello.as_bytes());
    let answer = exchange(address, &bytes, "\"heartbeat\"").await;
    assert!(answer.contains("\"ok\":true"), "{answer}");
    world.at_rest().await;
    world.close().await;
}

#[tokio::test]
async fn an_invalid_frame_ends_its_connection_with_the_right_close_code() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let mut bystander = Peer::native(
        websocket::Transport::new(&format!("ws://{address}/chat/2.0")).unwrap().connect().await.unwrap(),
        &world.app,
        "bob",
        None,
    )
    .await
    .unwrap();
    for (frame, number) in [
        (&[0x82, 0x81, 0, 0, 0, 0, b'x'][..], 1003_u16),
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff], 1007),
        (&[0x81, 0x01, b'x'], 1002),
        (&[0xc1, 0x81, 0, 0, 0, 0, b'x'], 1002),
        (&[0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
    ] {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
        tcp.write_all(&upgrade(&target, "")).await.unwrap();
        tcp.write_all(frame).await.unwrap();
        let mut all = Vec::new();
        timeout(PATIENCE, tcp.read_to_end(&mut all)).await.unwrap().ok();
        let close = [0x88, 2];
        let at = all.windows(4).rposition(|w| w[0] == close[0] && w[2..] == number.to_be_bytes());
        assert!(at.is_some(), "{frame:x?}: {:?}", String::from_utf8_lossy(&all));
        assert_eq!(bystander.request("ping", json!({})).await["ok"], true);
    }
    drop(bystander);
    world.at_rest().await;
    world.close().await;
}

#[tokio::test]
async fn unfinished_heads_and_silent_peers_are_evicted() {
    let mut limits = Limits::default();
    limits.handshake = Duration::from_secs(1);
    let world = World::new(AuthPolicy::Open, limits).await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /chat/2.0 HTTP/1.1\r\nHost:").await.unwrap();
    let mut upgraded = TcpStream::connect(address).await.unwrap();
    upgraded.write_all(&upgrade("/chat/2.0", "")).await.unwrap();
    for tcp in [&mut silent, &mut slow] {
        assert_eq!(
            timeout(PATIENCE, tcp.read(&mut [0; 64])).await.unwrap().unwrap(),
            0,
            "closed without an answer"
        );
    }
    let mut words = Vec::new();
    while !String::from_utf8_lossy(&words).contains("HANDSHAKE_TIMEOUT") {
        assert_ne!(timeout(PATIENCE, upgraded.read_buf(&mut words)).await.unwrap().unwrap(), 0, "told why");
    }
    drop(upgraded);
    world.at_rest().await;
    world.close().await;
}

#[tokio::test]
async fn a_shutdown_closes_every_kind_of_connection() {
    let mut limits = Limits::default();
    limits.drain = Duration::from_secs(1);
    let world = World::new(AuthPolicy::Open, limits).await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let transport = websocket::Transport::new(&format!("ws://{address}/chat/2.0")).unwrap();
    let mut alice =
        Peer::native(transport.connect().await.unwrap(), &world.app, "alice", None).await.unwrap();
    let _half_open = {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(&upgrade(&format!("/chat/2.0?app_id={}&user_id=bob", world.app), "")).await.unwrap();
        tcp
    };
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut kept_alive = TcpStream::connect(address).await.unwrap();
    kept_alive.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    eventually(|| world.server.load().connections == 4 && world.server.load().sessions == 2).await;

    let down = world.server.clone();
    let down = tokio::spawn(async move { timeout(PATIENCE, down.shutdown()).await });
    alice.ended_with(Code::ShuttingDown).await;
    down.await.unwrap().expect("the shutdown comes to its end");
    assert_eq!(world.server.load(), common::AT_REST);
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn a_peer_that_never_reads_its_answers_does_not_hold_up_a_shutdown() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let requests = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
    // More than the buffers between the two can hold; the peer never reads.
    while timeout(Duration::from_millis(300), tcp.write_all(requests.as_bytes())).await.is_ok() {}
    timeout(PATIENCE, world.server.shutdown()).await.expect("the shutdown comes to its end");
    assert_eq!(world.server.load(), common::AT_REST);
}

#[tokio::test]
async fn health_says_whether_users_can_connect() {
    let mut store = chatcamp_store::MockStore::new();
    store.expect_create_app().returning(|_| Ok(true));
    store.expect_create_api_key().returning(|_| Ok(true));
    store.expect_on_change().returning(|_| ());
    store
        .expect_app()
        .returning(|id| Ok(Some(Arc::new(chatcamp_store::App::new(id.clone(), "x", AuthPolicy::Open, 0)))));
    store
        .expect_probe()
        .times(1)
        .returning(|| Err(chatcamp_store::StoreError::unavailable("the disk is full")));
    let world = World::over(Arc::new(store), AuthPolicy::Open, Limits::default()).await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    // Two requests within a second ask the store once.
    for _ in 0..2 {
        let answer = exchange(address, request, "}}").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("STORE_UNAVAILABLE"), "{answer}");
    }
    world.server.shutdown().await;
}

#[tokio::test]
async fn five_hundred_first_connects_at_once_over_one_port_are_all_served() {
    let world = Arc::new(World::open().await);
    let address = listen(&world, Adapter::FrontDoor).await;
    let peers: Vec<_> = (0..500)
        .map(|n| {
            let world = world.clone();
            tokio::spawn(async move {
                let transport = websocket::Transport::new(&format!("ws://{address}/chat/2.0")).unwrap();
                let connection = transport.connect().await.unwrap();
                Peer::native(connection, &world.app, &format!("user{}", n % 250), None).await.unwrap()
            })
        })
        .collect();
    let mut live = Vec::new();
    for peer in peers {
        live.push(peer.await.unwrap());
    }
    assert_eq!(world.server.load().sessions, 500);
    assert_eq!(world.store.user_count(&world.app).await.unwrap(), 250);
    drop(live);
    world.at_rest().await;
}
