//! The files for web pages, through both adapters: the front door, and the service mounted in axum.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;

use common::{ADAPTERS, World, listen};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    ask(address, "GET", path, headers).await
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn a_page_of_any_origin_may_import_the_client() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        for (path, kind) in [
            ("/chatcamp.js", "text/javascript; charset=utf-8"),
            ("/compat.js", "text/javascript; charset=utf-8"),
            ("/chatcamp.d.ts", "text/plain; charset=utf-8"),
            ("/chatcamp.tgz", "application/gzip"),
        ] {
            let answer = get(address, path, "Origin: http://page.example\r\nCookie: a=b\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
            for (name, value) in [
                ("content-type", kind),
                ("access-control-allow-origin", "*"),
                ("cross-origin-resource-policy", "cross-origin"),
                ("cache-control", "no-cache"),
                ("x-content-type-options", "nosniff"),
            ] {
                assert_eq!(header(&answer, name), Some(value), "{path}: {name}");
            }
            assert_eq!(header(&answer, "access-control-allow-credentials"), None);
            assert_eq!(header(&answer, "set-cookie"), None);
        }
        world.server.shutdown().await;
    }
}

#[tokio::test]
async fn a_cached_file_is_not_sent_again() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let whole = get(address, "/chatcamp.js", "").await;
        let tag = header(&whole, "etag").unwrap();
        for (has, status) in [
            (tag.to_owned(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            ("\"other\"".to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let answer = get(address, "/chatcamp.js", &format!("If-None-Match: {has}\r\n")).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{has}: {answer:.200}");
            assert_eq!(header(&answer, "etag"), Some(tag), "{has}");
        }
        world.server.shutdown().await;
    }
}

#[tokio::test]
async fn a_file_accepts_get_and_head_only() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        for (method, status) in [("HEAD", 200), ("POST", 405), ("OPTIONS", 405), ("DELETE", 405)] {
            let answer = ask(address, method, "/chatcamp.js", "").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method}: {answer:.200}");
            assert_eq!(header(&answer, "allow"), (status == 405).then_some("GET, HEAD"), "{method}");
        }
        world.server.shutdown().await;
    }
}
