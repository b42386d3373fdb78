//! The built-in transports over TLS: conformance, and the errors of failed handshakes.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::{error::Error as _, net::Ipv4Addr};

use async_trait::async_trait;
use chatcamp_tls::testing::{Authority, Fault, FaultyServer, Handshake, Proxy};
use chatcamp_transport::{
    Closed, ConnectError, Connection, Listener, Tls, TlsError, Transport, fallback, long_poll, testing,
    websocket,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A listener behind a TLS proxy.
#[derive(Debug)]
struct Behind<L> {
    proxy: Proxy,
    listener: L,
}

#[async_trait]
impl<L: Listener> Listener for Behind<L> {
    async fn accept(&mut self) -> Option<Connection> {
        self.listener.accept().await
    }
}

/// A transport that dials `scheme://host` with the port of the proxy.
async fn over_wss(host: &str) -> (websocket::Transport, Behind<websocket::Listener>) {
    let listener = websocket::Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let authority = Authority::new("trusted");
    let names = authority.server(&["localhost", "127.0.0.1"]);
    let proxy = Proxy::start(names, listener.local_addr().unwrap()).await;
    let url = format!("wss://{host}:{}/chat", proxy.address().port());
    let tls = Tls::with_roots(authority.pem()).unwrap();
    (websocket::Transport::with_tls(&url, &tls).unwrap(), Behind { proxy, listener })
}

async fn over_https(host: &str) -> (long_poll::Transport, Behind<support::Accepted>) {
    let (address, listener) = support::listen().await;
    let authority = Authority::new("trusted");
    let proxy = Proxy::start(authority.server(&["localhost", "127.0.0.1"]), address).await;
    let url = format!("https://{host}:{}/chat", proxy.address().port());
    let tls = Tls::with_roots(authority.pem()).unwrap();
    (long_poll::Transport::with_tls(&url, &tls).unwrap(), Behind { proxy, listener })
}

#[tokio::test]
async fn websocket_over_tls_conforms() {
    testing::conformance(async || over_wss("localhost").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_over_tls_conforms_on_many_threads() {
    testing::conformance(async || over_wss("127.0.0.1").await).await;
}

#[tokio::test]
async fn long_poll_over_tls_conforms() {
    testing::conformance(async || over_https("localhost").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_poll_over_tls_conforms_on_many_threads() {
    testing::conformance(async || over_https("127.0.0.1").await).await;
}

/// Sends a message and its answer; returns what the proxy learnt.
async fn exchange<L: Listener>(transport: impl Transport, mut behind: Behind<L>) -> Vec<Handshake> {
    let asking = async {
        let mut client = transport.connect().await.unwrap();
        client.send("question".into()).await.unwrap();
        client
    };
    let (mut client, server) = tokio::join!(asking, behind.accept());
    let mut server = server.unwrap();
    assert!(client.info().encrypted && !transport.is_exposed());
    assert_eq!(server.recv().await.unwrap().as_str(), "question");
    server.send("answer".into()).await.unwrap();
    assert_eq!(client.recv().await.unwrap().as_str(), "answer");
    behind.proxy.handshakes()
}

#[tokio::test]
async fn names_are_sent_addresses_are_not_and_the_protocol_is_http_1_1() {
    for (host, name) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let expected = Handshake { server_name: name.map(str::to_owned), alpn: Some("http/1.1".to_owned()) };
        let (transport, listener) = over_wss(host).await;
        let (poll, poll_listener) = over_https(host).await;
        for seen in [exchange(transport, listener).await, exchange(poll, poll_listener).await] {
            // Long-poll may have opened another connection for its next request.
            assert!(!seen.is_empty() && seen.iter().all(|handshake| *handshake == expected), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn plain_connections_are_not_encrypted() {
    let mut listener = websocket::Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let transport = websocket::Transport::new(&url).unwrap();
    let (client, _server) = tokio::join!(transport.connect(), listener.accept());
    assert!(!client.unwrap().info().encrypted);
    let poll = long_poll::Transport::new("http://127.0.0.1:9").unwrap();
    assert!(!poll.connect().await.unwrap().info().encrypted);
}

#[tokio::test]
async fn websocket_names_the_cause_of_a_failed_handshake() {
    for fault in Fault::ALL {
        let (server, tls) = faulty(fault).await;
        let transport = websocket::Transport::with_tls(&server.url("wss"), &tls).unwrap();
        let error = transport.connect().await.unwrap_err();
        let ConnectError::Tls(cause) = &error else { panic!("{fault:?}: {error:?}") };
        assert!(fault.is_reported_as(cause), "{fault:?}: {cause:?}");
        assert!(error.is_retryable() && error.to_string().contains(fault.text()) && error.source().is_none());
    }
}

#[tokio::test]
async fn long_poll_names_the_cause_of_a_failed_handshake() {
    for fault in Fault::ALL {
        let (server, tls) = faulty(fault).await;
        let transport = long_poll::Transport::with_tls(&server.url("https"), &tls).unwrap();
        let mut connection = transport.connect().await.unwrap();
        connection.send("question".into()).await.unwrap();
        let closed = connection.recv().await.unwrap_err();
        let Closed::Tls(cause) = &closed else { panic!("{fault:?}: {closed:?}") };
        assert!(fault.is_reported_as(cause), "{fault:?}: {cause:?}");
        assert!(closed.to_string().contains(fault.text()) && closed.code() == 1015);
    }
}

#[tokio::test]
async fn another_transport_is_tried_only_after_a_transient_failure() {
    for fault in Fault::ALL {
        let (server, tls) = faulty(fault).await;
        let first = websocket::Transport::with_tls(&server.url("wss"), &tls).unwrap();
        let second = long_poll::Transport::with_tls(&server.url("https"), &tls).unwrap();
        let list: [Box<dyn Transport>; 2] = [Box::new(first), Box::new(second)];
        let outcome = fallback::Transport::new(list).connect().await;
        match outcome {
            Ok(connection) => {
                assert_eq!((fault, connection.info().transport), (Fault::Cut, "long-poll"));
            }
            Err(ConnectError::Tls(cause)) => assert!(fault.is_reported_as(&cause) && fault != Fault::Cut),
            Err(error) => panic!("{fault:?}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_expects_tls_is_named_over_every_transport() {
    let server = FaultyServer::expecting_tls().await;
    let first = websocket::Transport::new(&server.url("ws")).unwrap();
    let poll = long_poll::Transport::new(&server.url("http")).unwrap();
    let mut connection = poll.connect().await.unwrap();
    connection.send("question".into()).await.unwrap();
    let closed = connection.recv().await.unwrap_err();
    assert_eq!(closed, Closed::Tls(Box::new(TlsError::Required)));

    let before = server.connections();
    let list: [Box<dyn Transport>; 2] = [Box::new(first), Box::new(poll)];
    let error = fallback::Transport::new(list).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(TlsError::Required)), "{error:?}");
    assert!(error.is_retryable() && server.connections() == before + 1, "no other transport is tried");
}

/// However the response is split and delimited, no more than its beginning is read.
#[tokio::test]
async fn only_a_response_that_says_so_means_that_the_server_expects_tls() {
    let text = "Client sent an HTTP request to an HTTPS server.\n";
    let many = "x".repeat(5000);
    for (head, rest, is_required) in [
        ("HTTP/1.0 400 Bad Request\r\n\r\n", text, true),
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 48\r\n\r\n", text, true),
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\n", text, false),
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: 5000\r\n\r\n", &many, false),
        ("HTTP/1.1 400 Bad Request\r\nContent-Length: x\r\n\r\n", text, false),
        ("HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n", "", false),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 48\r\n\r\n", text, false),
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            // The client may have closed the connection already.
            let _ = stream.write_all(rest.as_bytes()).await;
        };
        let transport = websocket::Transport::new(&url).unwrap();
        let (outcome, ()) = tokio::join!(transport.connect(), answering);
        match outcome.unwrap_err() {
            ConnectError::Tls(TlsError::Required) => assert!(is_required, "{head}"),
            ConnectError::Refused(why) => {
                assert!(!is_required && why.starts_with("status "), "{head}: {why}")
            }
            error => panic!("{head}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_missing_server_is_unreachable_over_tls_too() {
    // Port 1 of loopback: nothing listens there.
    let tls = Tls::without_roots();
    let transport = websocket::Transport::with_tls("wss://127.0.0.1:1", &tls).unwrap();
    let error = transport.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable(_)), "{error:?}");
    let transport = long_poll::Transport::with_tls("https://127.0.0.1:1", &tls).unwrap();
    let mut connection = transport.connect().await.unwrap();
    connection.send("question".into()).await.unwrap();
    let closed = connection.recv().await.unwrap_err();
    assert!(matches!(closed, Closed::Unreachable(_)), "{closed:?}");
}

#[test]
fn a_transport_without_tls_of_its_own_trusts_the_platform() {
    for url in ["wss://chat.example", "https://chat.example"] {
        let platform = Tls::platform().map(drop).map_err(|error| error.to_string());
        let both: [Result<(), ConnectError>; 2] =
            [websocket::Transport::new(url).map(drop), long_poll::Transport::new(url).map(drop)];
        for outcome in both {
            match (&platform, outcome) {
                (Ok(()), Ok(())) => {}
                // A system without root certificates.
                (Err(why), Err(ConnectError::Invalid(error))) => assert_eq!(*why, error),
                (_, outcome) => panic!("{outcome:?}"),
            }
        }
    }
}

async fn faulty(fault: Fault) -> (FaultyServer, Tls) {
    let server = FaultyServer::start(fault).await;
    let tls = Tls::with_roots(server.root()).unwrap();
    (server, tls)
}
