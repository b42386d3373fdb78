//! Pages behind the front door: slow pages are evicted early, and a door may serve pages only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{future::pending, net::SocketAddr, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_server::{AuthPolicy, ClientInfo, FrontDoor, Limits, Pages};
use common::{PATIENCE, World};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

/// Pages that answer at `/page`, and never at `/page/slow`; the latter requests are counted.
#[derive(Debug)]
struct Slow(Arc<Semaphore>);

#[async_trait]
impl Pages for Slow {
    fn claims(&self, path: &str) -> bool {
        path.starts_with("/page")
    }

    async fn serve(&self, request: Request<Incoming>, _client: ClientInfo) -> Response<Full<Bytes>> {
        if request.uri().path() == "/page/slow" {
            self.0.add_permits(1);
            pending::<()>().await;
        }
        Response::new(Full::from("a page"))
    }
}

fn bind(world: &World, slow: &Arc<Semaphore>) -> (FrontDoor, SocketAddr) {
    let door = FrontDoor::bind(world.server.clone(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = door.local_addr().unwrap();
    (door.mount(Arc::new(Slow(slow.clone()))), address)
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    ask(address, path).await.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_waiting_page_is_cut_off_soon_after_its_eviction() {
    let mut limits = Limits::default();
    limits.unverified = 2;
    assert!(limits.drain > PATIENCE, "otherwise the test proves nothing");
    let world = World::new(AuthPolicy::Open, limits).await;
    let slow = Arc::new(Semaphore::new(0));
    let (door, address) = bind(&world, &slow);
    tokio::spawn(door.run());
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(ask(address, "/page/slow").await);
        slow.acquire().await.unwrap().forget();
    }
    let mut first = waiting.remove(0);
    let ended = timeout(PATIENCE, first.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "an evicted page keeps its memory until the drain is over");

    let began = Instant::now();
    world.server.shutdown().await;
    assert!(began.elapsed() < PATIENCE, "an evicted page delays the shutdown: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_door_for_pages_only_serves_neither_chat_nor_api() {
    let world = World::open().await;
    let (door, address) = bind(&world, &Arc::new(Semaphore::new(0)));
    tokio::spawn(door.pages_only().run());
    for (path, status) in [
        ("/page", 200),
        ("/healthz", 200),
        ("/chatcamp.js", 404),
        ("/compat.js", 404),
        ("/chat/2.0?app_id=a&user_id=b", 404),
        ("/chat/2.0?x=%20y", 404),
        ("/client-api/2.0/ping", 404),
        ("/api/2.0/users.list", 404),
        ("/api/openapi.json", 404),
    ] {
        let answer = get(address, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let upgrade = format!(
        "GET /chat/2.0?app_id={}&user_id=alice HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        world.app
    );
    tcp.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tcp.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    drop(tcp);
    world.server.shutdown().await;
}
