//! A backend for tests: a server with a port, and calls of its Platform API.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::common::{Adapter, PATIENCE, World, listen};

/// A server with a port, and a key for its app.
pub(crate) struct Backend {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

/// A parsed answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Backend {
    pub(crate) async fn new() -> Self {
        Self::of(World::open().await).await
    }

    pub(crate) async fn of(world: World) -> Self {
        let address = listen(&world, Adapter::FrontDoor).await;
        let key = world.accounts.create_api_key(&world.app, "test").await.unwrap().key;
        Self { world, address, key }
    }

    /// Calls a method with JSON.
    pub(crate) async fn call(&self, method: &str, body: Value) -> Answer {
        let (key, body) = (&self.key, body.to_string());
        let headers = format!("x-api-key: {key}\r\ncontent-type: application/json\r\n");
        self.post(&format!("/api/2.0/{method}"), &headers, &body).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.send(&(head + body)).await
    }

    /// Sends a request, with KEY and APP in it replaced.
    pub(crate) async fn send(&self, request: &str) -> Answer {
        let request = request.replace("{KEY}", &self.key).replace("{APP}", self.world.app.as_str());
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        // The server may refuse before it has read everything.
        _ = tcp.write_all(request.as_bytes()).await;
        receive(&mut tcp).await
    }
}

/// Reads one answer.
pub(crate) async fn receive(tcp: &mut TcpStream) -> Answer {
    let mut read = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = header(head, "content-length").unwrap().parse::<usize>().unwrap();
                if body.len() >= length {
                    assert_eq!(body.len(), length, "{text}");
                    return text.into_owned();
                }
            }
            assert_ne!(tcp.read_buf(&mut read).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
        }
    };
    let text = timeout(PATIENCE, reading).await.expect("an answer comes");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let answer = Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap() };
    answer.is_well_formed();
    answer
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl Answer {
    /// Asserts what is true of every answer.
    fn is_well_formed(&self) {
        let Self { head, body, .. } = self;
        assert_eq!(header(head, "x-request-id"), body["request_id"].as_str(), "{head} {body}");
        assert_eq!(body["request_id"].as_str().unwrap().len(), 24);
        assert_eq!(body["ok"], self.status == 200, "{head} {body}");
        assert_eq!(body.get("error").is_some(), self.status != 200, "{body}");
        assert_eq!(header(head, "content-type"), Some("application/json"));
        assert_eq!(header(head, "cache-control"), Some("no-store"));
        assert!(!head.to_ascii_lowercase().contains("access-control-"), "{head}");
    }

    /// Returns a header of the answer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Returns the body of a success.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// Returns the status and the code of a refusal.
    pub(crate) fn refused(&self) -> (u16, &str) {
        (self.status, self.body["error"]["code"].as_str().unwrap_or("none"))
    }
}
