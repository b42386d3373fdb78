//! A server under a path of a proxy, which removes the path from requests or leaves it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_server::{Accounts, AuthPolicy, ClientInfo, FrontDoor, Pages, Server};
use common::keyring;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Text that no answer contains: an answer is read to its end.
const END: &str = "\0";

/// A page at `/` and `/page`, which answers with the path that it sees.
#[derive(Debug)]
struct Echo;

#[async_trait]
impl Pages for Echo {
    fn claims(&self, path: &str) -> bool {
        ["/", "/page"].contains(&path)
    }

    async fn serve(&self, request: Request<Incoming>, _client: ClientInfo) -> Response<Full<Bytes>> {
        Response::new(Full::from(format!("page at {}", request.uri())))
    }
}

struct Host {
    address: SocketAddr,
    app: String,
    key: String,
}

impl Host {
    async fn at(public_url: Option<&str>) -> Self {
        let store = Arc::new(chatcamp_store::memory::Store::new());
        let accounts = Accounts::new(store.clone(), keyring());
        let app = accounts.create_app("test", AuthPolicy::Open, None).await.unwrap().id;
        let key = accounts.create_api_key(&app, "test").await.unwrap().key;
        let builder = Server::builder(store, keyring());
        let builder =
            public_url.into_iter().fold(builder, |builder, url| builder.public_url(url.parse().unwrap()));
        let door = FrontDoor::bind(builder.start(), "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = door.local_addr().unwrap();
        tokio::spawn(door.mount(Arc::new(Echo)).run());
        Self { address, app: app.to_string(), key }
    }

    /// Sends the head of a request and returns the beginning of the answer, which contains `until`.
    async fn ask(&self, line: &str, headers: &str, until: &str) -> String {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address);
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            let ended = tcp.read_buf(&mut answer).await.unwrap() == 0;
            let text = String::from_utf8_lossy(&answer);
            if ended || text.contains(until) {
                return text.into_owned();
            }
        }
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path}"), "Connection: close\r\n", END).await
    }

    /// Connects over both transports, and calls the API, below `prefix`; asserts that all of it succeeds or is not found.
    async fn assert_serves(&self, prefix: &str, is_served: bool) {
        let app = &self.app;
        let chat = format!("GET {prefix}/chat/2.0?app_id={app}&user_id=alice");
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        // Hyper reads a request with this many headers.
        let by_hyper = format!("{upgrade}{}", "X: y\r\n".repeat(70));
        let poll = format!("iflychat-token: id{}\r\nConnection: close\r\n", prefix.len());
        let call = format!("x-api-key: {}\r\nContent-Length: 0\r\nConnection: close\r\n", self.key);
        let status = if is_served { "200 " } else { "404 " };
        for (line, headers, until, status) in [
            (&chat, upgrade, "users.auth.ack", if is_served { "101 " } else { "404 " }),
            (&chat, &*by_hyper, "\r\n\r\n", if is_served { "101 " } else { "404 " }),
            (&chat, &*poll, END, status),
            (&format!("POST {prefix}/api/2.0/users.list"), &call, END, status),
            (&format!("POST {prefix}//api/1.0/users.list"), &call, END, status),
            (&format!("GET {prefix}/chatcamp.js"), "Connection: close\r\n", END, status),
            (&format!("HEAD {prefix}/chatcamp.tgz"), "Connection: close\r\n", END, status),
            (&format!("GET {prefix}/healthz"), "Connection: close\r\n", END, status),
            (&format!("GET {prefix}/page?a=%20b"), "Connection: close\r\n", END, status),
        ] {
            let answer = self.ask(line, headers, if is_served { until } else { "\r\n\r\n" }).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        }
    }
}

#[tokio::test]
async fn requests_are_answered_with_and_without_the_public_path() {
    for (url, path) in [
        ("https://example.com/talk/", "/talk"),
        ("https://example.com/a/b", "/a/b"),
        // The server's own paths begin with these.
        ("https://example.com/chat", "/chat"),
        ("https://example.com/api", "/api"),
    ] {
        let host = Host::at(Some(url)).await;
        for prefix in ["", path] {
            host.assert_serves(prefix, true).await;
        }
        assert!(host.get(&format!("{path}/page?a=%20b")).await.ends_with("page at /page?a=%20b"));
        for front in [path.to_owned(), format!("{path}/")] {
            assert!(host.get(&front).await.ends_with("page at /"), "{front}");
        }
        for other in [format!("{path}x/healthz"), format!("{path}{path}/page"), format!("{path}/other")] {
            assert!(host.get(&other).await.starts_with("HTTP/1.1 404 "), "{other}");
        }
    }
}

#[tokio::test]
async fn without_a_public_path_there_is_no_other_path() {
    for url in [None, Some("https://example.com")] {
        let host = Host::at(url).await;
        host.assert_serves("", true).await;
        host.assert_serves("/talk", false).await;
    }
}

#[tokio::test]
async fn a_request_that_names_its_whole_url_is_answered() {
    let host = Host::at(Some("https://example.com/talk")).await;
    assert!(host.get("http://example.com/talk/page").await.ends_with("page at http://example.com/page"));
}

#[tokio::test]
async fn the_document_of_the_api_names_the_server() {
    for (url, server) in [(None, ".."), (Some("https://Example.com/talk/"), "https://Example.com/talk")] {
        let host = Host::at(url).await;
        let answer = host.get("/api/openapi.json").await;
        let document: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(document["servers"][0]["url"], server);
    }
}
