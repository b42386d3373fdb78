//! Ring 2: the opening handshake, both sides, over in-memory streams; and the listener among bad peers.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{net::Ipv4Addr, time::Duration};

use chatcamp_transport::{ConnectError, Listener as _, Message, Tls, Transport as _, websocket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::TcpStream,
    time::timeout,
};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const GRANT: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

#[tokio::test]
async fn requests_are_granted_or_refused_in_plain_http() {
    let many = "X: y\r\n".repeat(65);
    let long = format!("X: {}\r\n", "y".repeat(16 * 1024));
    let table = [
        (format!("GET /chat?a=b HTTP/1.1\r\n{UPGRADE}\r\n"), "101 "),
        (format!("POST /chat HTTP/1.1\r\n{UPGRADE}\r\n"), "400 "),
        (format!("GET /chat HTTP/1.0\r\n{UPGRADE}\r\n"), "400 "),
        ("hello\r\n\r\n".to_owned(), "400 "),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "426 "),
        (format!("GET / HTTP/1.1\r\n{}\r\n", UPGRADE.replace("13", "8")), "426 "),
        (format!("GET / HTTP/1.1\r\n{}\r\n", UPGRADE.replace("dGhl", "")), "400 "),
        (format!("GET / HTTP/1.1\r\n{many}{UPGRADE}\r\n"), "431 "),
        (format!("GET / HTTP/1.1\r\n{long}{UPGRADE}\r\n"), "431 "),
    ];
    for (request, status) in table {
        let (mut wire, stream) = duplex(64 * 1024);
        wire.write_all(request.as_bytes()).await.unwrap();
        let accepted = websocket::accept(stream, None).await;
        assert_eq!(accepted.is_ok(), status == "101 ", "{status}{request}");
        drop(accepted);
        let mut answer = String::new();
        wire.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert_eq!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"), status == "426 ", "{answer}");
    }
}

#[tokio::test]
async fn the_listener_learns_query_and_origin() {
    let (mut wire, stream) = duplex(1024);
    let request = format!(
        "GET /chat/2.0?app_id=1&user_id=%C3%A9 HTTP/1.1\r\nOrigin: https://a.example\r\n{UPGRADE}\r\n"
    );
    let early = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    wire.write_all(&[request.as_bytes(), &early].concat()).await.unwrap();
    let mut connection = websocket::accept(stream, None).await.unwrap();
    let info = connection.info().clone();
    assert_eq!(info.transport, "websocket");
    assert_eq!(info.query.as_deref(), Some("app_id=1&user_id=%C3%A9"));
    assert_eq!(info.origin.as_deref(), Some("https://a.example"));
    assert_eq!(connection.recv().await, Ok(Message::from("hi")), "a frame right behind the head is not lost");
}

#[tokio::test]
async fn an_origin_that_no_browser_sends_is_not_taken_for_a_missing_one() {
    for (headers, seen) in [
        (&b""[..], None),
        (b"Origin: null\r\n", Some("null")),
        (b"Origin:\r\n", Some("")),
        (b"Origin: https://a\xff.example\r\n", Some("https://a\u{fffd}.example")),
        (
            b"Origin: https://a.example\r\norigin: https://b.example\r\n",
            Some("https://a.example, https://b.example"),
        ),
    ] {
        let (mut wire, stream) = duplex(1024);
        let request = [b"GET /chat/2.0 HTTP/1.1\r\n", headers, UPGRADE.as_bytes(), b"\r\n"].concat();
        wire.write_all(&request).await.unwrap();
        let connection = websocket::accept(stream, None).await.unwrap();
        assert_eq!(connection.info().origin.as_deref(), seen);
    }
}

#[tokio::test]
async fn a_client_takes_no_other_answer() {
    let table = [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nsecret".to_owned(),
            "status 404; there is no ChatCamp server at this path",
        ),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "status 200; there is no ChatCamp server at this path"),
        (format!("{GRANT}\r\n"), "Sec-WebSocket-Accept does not match the key"),
        (
            format!("{GRANT}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
            "Sec-WebSocket-Accept does not match the key",
        ),
        (
            "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".to_owned(),
            "the answer upgrades to another protocol",
        ),
        ("SSH-2.0\r\n\r\n".to_owned(), "the answer is not HTTP/1.1"),
        ("x".repeat(20_000), "the answer is not HTTP/1.1"),
    ];
    for (answer, flaw) in table {
        let (stream, mut wire) = duplex(64 * 1024);
        wire.write_all(answer.as_bytes()).await.unwrap();
        let error =
            websocket::connect_over(stream, "localhost", "/chat?access_token=secret").await.unwrap_err();
        assert_eq!(error.to_string(), format!("the server does not accept this transport: {flaw}"));
        assert!(error.is_retryable());
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_client_refuses_a_protocol_or_extension_it_did_not_ask_for() {
    for extra in ["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate"] {
        let (stream, mut wire) = duplex(4096);
        let server = async {
            let mut request = vec![0; 4096];
            let length = wire.read(&mut request).await.unwrap();
            let request = std::str::from_utf8(&request[..length]).unwrap();
            assert!(!request.contains("Protocol") && !request.contains("Extensions"));
            let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
            wire.write_all(format!("{GRANT}Sec-WebSocket-Accept: {accept}\r\n{extra}\r\n\r\n").as_bytes())
                .await
                .unwrap();
        };
        let (error, ()) = tokio::join!(websocket::connect_over(stream, "localhost", "/"), server);
        assert!(matches!(error, Err(ConnectError::Refused(flaw)) if flaw.ends_with("was not requested")));
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let listener = websocket::Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = websocket::Transport::new(&url).unwrap().connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)));
    assert_eq!(error.to_string(), "cannot reach the server: connection refused; is the server running?");
}

#[test]
fn urls_are_checked_before_anything_is_dialled() {
    let table = [
        ("ws://localhost", "ws://localhost/", false),
        ("ws://LOCALHOST:9080/chat/2.0?access_token=secret", "ws://LOCALHOST:9080/chat/2.0", false),
        ("http://127.0.0.1:9080/chat", "ws://127.0.0.1:9080/chat", false),
        ("ws://[::1]:9080/chat", "ws://[::1]:9080/chat", false),
        ("ws://[::1]", "ws://[::1]/", false),
        ("ws://chat.example?a=b", "ws://chat.example/", true),
        ("ws://192.168.0.7:80", "ws://192.168.0.7:80/", true),
        ("ws://localhost.example", "ws://localhost.example/", true),
        ("wss://chat.example/?access_token=secret", "wss://chat.example/", false),
        ("https://192.0.2.1:8443/chat", "wss://192.0.2.1:8443/chat", false),
    ];
    for (url, shown, exposed) in table {
        let transport = websocket::Transport::with_tls(url, &Tls::without_roots()).unwrap();
        assert_eq!(format!("{transport:?}"), format!("Transport({shown})"));
        assert_eq!(transport.is_exposed(), exposed, "{url}");
    }
    for (url, flaw) in [
        ("ftp://chat.example/", "ws://"),
        ("/chat", "ws://"),
        ("chat.example", "ws://"),
        ("", "URL"),
        ("ws://", "URL"),
        ("ws://a b/", "URL"),
        ("ws://user:secret@chat.example/", "password"),
        ("wss://user:secret@chat.example/", "password"),
        ("ws://chat.example:99999/", "port"),
        ("ws://:80/", "host"),
    ] {
        let error = websocket::Transport::new(url).unwrap_err();
        assert!(matches!(&error, ConnectError::Invalid(why) if why.contains(flaw)), "{url}: {error}");
        assert!(!error.is_retryable() && !error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn silent_and_invalid_peers_do_not_block_the_listener() {
    let mut listener = websocket::Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut bad = Vec::new();
    for words in ["", "GET /chat HTTP/1.1\r\n", "nonsense\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        bad.push(stream);
    }
    drop(TcpStream::connect(address).await.unwrap());
    let transport = websocket::Transport::new(&format!("ws://{address}")).unwrap();
    let (client, server) = tokio::join!(transport.connect(), listener.accept());
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert!(server.info().peer.unwrap().ip().is_loopback());
    assert_eq!(client.info().peer, Some(address));
    client.send(Message::from("hello")).await.unwrap();
    assert_eq!(server.recv().await, Ok(Message::from("hello")));
}

#[tokio::test]
async fn heads_arrive_however_they_are_cut() {
    for width in [1, 2, 3, 5, 64] {
        let (ours, theirs) = duplex(width);
        let dialled = websocket::connect_over(ours, "localhost", "/chat?a=b");
        let both = async { tokio::join!(dialled, websocket::accept(theirs, None)) };
        let (client, server) = timeout(Duration::from_secs(10), both).await.unwrap();
        assert!(client.is_ok());
        assert_eq!(server.unwrap().info().query.as_deref(), Some("a=b"));
    }
}
