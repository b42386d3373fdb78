//! What the errors of the client say: the URL and the cause, once.

#![cfg(all(feature = "tls", feature = "websocket", feature = "long-poll"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::{error::Error, net::SocketAddr, time::Duration};

use chatcamp_client::{BuildError, Builder, ChatCamp, ConnectError, transport};
use chatcamp_tls::testing::{Fault, FaultyServer};
use support::{Peer, network};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Answers every request with these bytes, and then closes the connection; if they are empty, it keeps it open and does not answer.
async fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                // The whole head of an upgrade, the whole body of a POST, or the beginning of a TLS handshake.
                while !request.ends_with(b"\r\n\r\n")
                    && !request.ends_with(b"]")
                    && !request.starts_with(&[22])
                {
                    if tcp.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                tcp.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    address
}

/// A port of this machine where nothing listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}

/// Returns a client for each way to dial: both transports, WebSocket alone, long-poll alone.
fn dialling(url: &str) -> [(&'static str, Builder); 3] {
    let builder = || ChatCamp::builder("demo").connect_timeout(Duration::from_secs(1));
    let endpoint = chatcamp_client::builder::endpoint(url).unwrap();
    let tls = chatcamp_client::Tls::without_roots();
    [
        ("both", builder().url(url).tls(&tls)),
        (
            "websocket",
            builder().transport(transport::websocket::Transport::with_tls(&endpoint, &tls).unwrap()),
        ),
        (
            "long-poll",
            builder().transport(transport::long_poll::Transport::with_tls(&endpoint, &tls).unwrap()),
        ),
    ]
}

/// Returns the text of an error and of its sources, as programs print it.
fn printed(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", printed(source)),
        None => error.to_string(),
    }
}

/// Asserts that every way to dial fails with this text.
async fn assert_fails(url: &str, text: &str) {
    for (over, builder) in dialling(url) {
        let error = builder.build().unwrap().connect("alice").await.unwrap_err();
        assert_eq!(printed(&error), text, "over {over}");
        assert!(matches!(error, ConnectError::Unreachable { .. }) && error.is_retryable(), "{error:?}");
    }
}

#[tokio::test]
async fn a_port_where_nothing_listens_refuses() {
    let url = format!("http://{}", closed_port().await);
    assert_fails(&url, &format!("cannot reach {url}: connection refused; is the server running?")).await;
}

#[tokio::test]
async fn an_unknown_name_is_not_resolved() {
    for (over, builder) in dialling("http://no-such-host.invalid:9080/talk") {
        let error = printed(&builder.build().unwrap().connect("alice").await.unwrap_err());
        let begin = "cannot reach http://no-such-host.invalid:9080: the host name cannot be resolved (";
        assert!(error.starts_with(begin) && error.ends_with("); check the URL"), "over {over}: {error}");
    }
}

#[tokio::test]
async fn another_http_server_is_named_with_its_status() {
    for (head, why) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "status 404; there is no ChatCamp server at this path",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            "status 502; a proxy cannot reach the server",
        ),
        (
            "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            "status 301; redirects are not followed, use the URL that it leads to",
        ),
    ] {
        let url = format!("http://{}/talk", answering(head).await);
        let text = format!("{url}/chat/2.0 does not accept the connection: {why}; check the URL");
        assert_fails(&url, &text).await;
    }
}

#[tokio::test]
async fn a_web_page_is_not_a_server() {
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let url = format!("http://{}", answering(page).await);
    for (over, builder) in dialling(&url) {
        let error = printed(&builder.build().unwrap().connect("alice").await.unwrap_err());
        let why = match over {
            "websocket" => "status 200; there is no ChatCamp server at this path",
            _ => "the answer is not from a ChatCamp server",
        };
        assert_eq!(error, format!("{url}/chat/2.0 does not accept the connection: {why}; check the URL"));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_named_and_so_is_one_that_expects_it() {
    let plain = answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let why = "the server does not use TLS on this port: check the port, or begin the URL with http:// or ws:// \
        if the server has no TLS";
    assert_fails(&format!("https://{plain}"), &format!("cannot connect to https://{plain}: {why}")).await;

    let server = FaultyServer::expecting_tls().await;
    let url = server.url("http");
    let why = "the server expects TLS on this port: begin the URL with https:// or wss://";
    assert_fails(&url, &format!("cannot connect to {url}: {why}")).await;
}

#[tokio::test]
async fn the_reason_of_a_failed_handshake_is_printed_once() {
    for fault in Fault::ALL {
        let server = FaultyServer::start(fault).await;
        let chat = ChatCamp::builder("demo").url(server.url("https")).root_certificate(server.root());
        let error = printed(&chat.build().unwrap().connect("alice").await.unwrap_err());
        assert_eq!(error.matches(fault.text()).count(), 1, "{error}");
        assert!(error.starts_with(&format!("cannot connect to {}: ", server.url("https"))), "{error}");
    }
}

#[tokio::test]
async fn a_silent_server_is_named_with_the_time_limit() {
    let url = format!("http://{}", answering("").await);
    for (over, builder) in dialling(&url) {
        let error = printed(&builder.build().unwrap().connect("alice").await.unwrap_err());
        let text = format!("{url}/chat/2.0 did not answer within 1s; check the URL and the network");
        assert_eq!(error, text, "over {over}");
    }
}

#[tokio::test]
async fn a_websocket_server_of_another_kind_is_named() {
    let mut listener = transport::websocket::Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let chat = ChatCamp::builder("demo").url(&url).build().unwrap();
    let (failed, ()) = tokio::join!(chat.connect("alice"), async {
        Peer::accepted_by(&mut listener).await.send_text("welcome to another game").await;
    });
    assert_eq!(
        printed(&failed.unwrap_err()),
        format!(
            "cannot connect to {url}/chat/2.0: the server did not answer users.auth as the protocol requires; \
             check the address"
        )
    );
}

#[tokio::test]
async fn a_transport_without_a_url_is_the_server() {
    let (builder, server) = network();
    drop(server);
    let error = printed(&builder.build().unwrap().connect("alice").await.unwrap_err());
    assert_eq!(error, "cannot reach the server: the listener was dropped");
}

#[test]
fn an_invalid_option_is_named_with_its_value_and_what_to_do() {
    for (builder, text) in [
        (ChatCamp::builder("a b"), "invalid app id `a b`: an app id is 1 to 64 characters of"),
        (
            ChatCamp::builder("demo").url("locahost:9080"),
            "the URL `locahost:9080` has no scheme; write http://locahost:9080",
        ),
        (ChatCamp::builder("demo").url("http://h?token=secret"), "invalid URL `http://h`: it has a query;"),
        (
            ChatCamp::builder("demo"),
            "the server is missing: give the builder a URL, as in .url(\"https://chat.example\"), or a transport",
        ),
        (
            ChatCamp::builder("demo").url("https://h").root_certificate("not PEM"),
            "no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----",
        ),
    ] {
        let error: BuildError = builder.build().unwrap_err();
        let printed = printed(&error);
        assert!(printed.starts_with(text) && !printed.contains("secret"), "{printed}");
        assert!(error.source().is_none(), "{error:?}");
    }
}
