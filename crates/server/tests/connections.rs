//! HTTP connections that are half-closed, dropped, idle or kept alive, or whose heads are refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_backend;
mod common;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use api_backend::Backend;
use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_server::{ApiService, AuthPolicy, ClientInfo, FrontDoor, Limits, Pages};
use chatcamp_transport::{Transport, websocket};
use common::{Adapter, PATIENCE, Peer, World, eventually, gated::Gated, listen, user};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

const POLL: &str = "/chat/2.0?app_id={APP}&user_id=alice";

/// Pages that wait for a permit before they answer.
#[derive(Debug)]
struct Page(Arc<Semaphore>);

#[async_trait]
impl Pages for Page {
    fn claims(&self, path: &str) -> bool {
        path == "/page"
    }

    async fn serve(&self, _request: Request<Incoming>, _client: ClientInfo) -> Response<Full<Bytes>> {
        self.0.acquire().await.unwrap().forget();
        Response::new(Full::from("a page"))
    }
}

/// Starts a server with pages beside the chat; they answer as often as the semaphore has permits.
fn with_page(world: &World) -> (SocketAddr, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let door = FrontDoor::bind(world.server.clone(), any).unwrap().mount(Arc::new(Page(permits.clone())));
    let address = door.local_addr().unwrap();
    tokio::spawn(door.run());
    (address, permits)
}

/// Sends the bytes over a new connection.
async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    // The server may refuse before it has read everything.
    _ = tcp.write_all(bytes.as_ref()).await;
    tcp
}

/// Reads until the server closes the connection.
async fn rest(tcp: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = timeout(PATIENCE, tcp.read_to_end(&mut all)).await;
    assert!(read.is_ok(), "the connection stays open after {:?}", String::from_utf8_lossy(&all));
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads one answer from a kept-alive connection.
async fn answer(tcp: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text.into_owned();
            }
        }
        let n = timeout(PATIENCE, tcp.read_buf(&mut read)).await.expect("an answer comes").unwrap_or(0);
        assert_ne!(n, 0, "closed instead of an answer: {:?}", String::from_utf8_lossy(&read));
    }
}

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n")
}

fn post(target: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn a_request_whose_client_half_closes_is_answered() {
    let backend = Backend::new().await;
    let (address, permits) = with_page(&backend.world);
    permits.add_permits(1);
    let poll = POLL.replace("{APP}", backend.world.app.as_str());
    let key = format!("x-api-key: {}\r\n", backend.key);
    let hello = json!({"t": "users.auth", "r": 1, "d": {"v": 1, "client": "t/1", "app_id": backend.world.app, "user_id": "bob"}});
    for (request, expected) in [
        (get("/healthz", ""), "{\"ok\":true}"),
        (get("/chatcamp.js", ""), "VERSION"),
        (get("/page", ""), "a page"),
        (post("/api/2.0/users.create", &key, r#"{"id":"u"}"#), "\"claimed\":false"),
        (
            format!(
                "POST /api/2.0/users.get HTTP/1.1\r\nHost: h\r\n{key}Content-Type: application/json\r\n\
                 Transfer-Encoding: chunked\r\n\r\na\r\n{{\"id\":\"u\"}}\r\n0\r\n\r\n"
            ),
            "\"user\":",
        ),
        (get(&poll, "iflychat-token: one\r\n"), "session_key"),
        // In a form that the front door leaves to hyper.
        (get(&format!("{poll}2"), "iflychat-token: two\r\nExpect: nothing\r\n"), "session_key"),
        (
            post("/chat/2.0", "iflychat-token: three\r\n", &json!([hello.to_string()]).to_string()),
            "heartbeat",
        ),
    ] {
        let mut tcp = send(address, &request).await;
        tcp.shutdown().await.unwrap();
        let answer = rest(&mut tcp).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(expected), "{request}: {answer}");
    }
    backend.world.close().await;
}

#[tokio::test]
async fn a_half_closed_poll_is_answered_and_messages_wait_for_the_next_poll() {
    // Once the front door reads the request, and once hyper.
    for headers in ["", "Expect: nothing\r\n"] {
        let world = World::open().await;
        let address = listen(&world, Adapter::FrontDoor).await;
        let target = POLL.replace("{APP}", world.app.as_str());
        let poll = get(&target, &format!("iflychat-token: id\r\n{headers}"));
        let mut tcp = send(address, &poll).await;
        assert!(answer(&mut tcp).await.contains("session_key"));
        // The connection of the first poll stays open, so this poll is held.
        let mut held = send(address, &poll).await;
        held.shutdown().await.unwrap();
        let empty = rest(&mut held).await;
        assert!(empty.starts_with("HTTP/1.1 200 ") && empty.ends_with("\r\n\r\n[]"), "{empty}");

        assert_eq!(world.tell("alice", 1..=1).await.delivered, 1);
        tcp.write_all(poll.as_bytes()).await.unwrap();
        assert!(answer(&mut tcp).await.contains("app.event.pub"), "{headers}");
        world.close().await;
    }
}

/// A call that changes something.
struct Call {
    method: &'static str,
    body: Value,
    done: fn(&Changed) -> bool,
}

/// The state that the calls change.
struct Changed {
    users: Vec<String>,
    renamed: bool,
    app: String,
    keys: Vec<String>,
    sessions: usize,
}

async fn changed(world: &World) -> Changed {
    let users = world.store.users(&world.app, None, 100).await.unwrap();
    Changed {
        renamed: users.iter().any(|user| user.profile.display_name == "Renamed"),
        users: users.iter().map(|user| user.id.to_string()).collect(),
        app: world.store.app(&world.app).await.unwrap().unwrap().name.clone(),
        keys: world.store.api_keys(&world.app).await.unwrap().into_iter().map(|key| key.name).collect(),
        sessions: world.server.load().sessions,
    }
}

#[tokio::test]
async fn a_call_runs_even_if_its_client_closes_at_once() {
    for is_mounted in [false, true] {
        let backend = Backend::of(World::open().await).await;
        let world = &backend.world;
        let address = if is_mounted { mount_api(world).await } else { backend.address };
        let spare = world.accounts.create_api_key(&world.app, "spare").await.unwrap().id;
        let mut live = world.connect("live").await;
        for Call { method, body, done } in [
            Call {
                method: "users.create",
                body: json!({"id": "a"}),
                done: |c| c.users.contains(&"a".into()),
            },
            Call {
                method: "users.upsert",
                body: json!({"id": "b"}),
                done: |c| c.users.contains(&"b".into()),
            },
            Call {
                method: "users.update",
                body: json!({"id": "a", "display_name": "Renamed"}),
                done: |c| c.renamed,
            },
            Call {
                method: "users.delete",
                body: json!({"id": "b"}),
                done: |c| !c.users.contains(&"b".into()),
            },
            Call { method: "users.disconnect", body: json!({"id": "live"}), done: |c| c.sessions == 0 },
            Call { method: "app.update", body: json!({"name": "Named"}), done: |c| c.app == "Named" },
            Call {
                method: "app.keys.create",
                body: json!({"name": "k"}),
                done: |c| c.keys.contains(&"k".into()),
            },
            Call {
                method: "app.keys.revoke",
                body: json!({"id": spare}),
                done: |c| !c.keys.contains(&"spare".into()),
            },
        ] {
            let headers = format!("x-api-key: {}\r\n", backend.key);
            drop(send(address, post(&format!("/api/2.0/{method}"), &headers, &body.to_string())).await);
            let deadline = tokio::time::Instant::now() + PATIENCE;
            while !done(&changed(world).await) {
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "{method} is not carried out, mounted: {is_mounted}"
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        live.ended_with(chatcamp_protocol::Code::Disconnected).await;
        backend.world.close().await;
    }
}

/// Serves the API in another HTTP server, which cancels a request when its client half-closes the connection.
async fn mount_api(world: &World) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route_service("/api/{*path}", ApiService::new(world.server.clone()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn a_shutdown_waits_for_a_call_whose_client_has_closed() {
    let store = Gated::new();
    let world = World::over(Arc::new(store.clone()), AuthPolicy::Open, Limits::default()).await;
    world.user("a").await;
    let backend = Backend::of(world).await;
    store.hold("edit_user");
    let headers = format!("x-api-key: {}\r\n", backend.key);
    let body = json!({"id": "a", "display_name": "Renamed"}).to_string();
    let tcp = send(mount_api(&backend.world).await, post("/api/2.0/users.update", &headers, &body)).await;
    store.holds(1).await;
    drop(tcp);
    let server = backend.world.server.clone();
    let down = tokio::spawn(async move { server.shutdown().await });
    // Wait until the server has noticed the end of the connection, which could cancel the call.
    assert!(timeout(Duration::from_millis(200), store.holds(0)).await.is_err(), "the call was cancelled");
    assert!(!down.is_finished());
    store.release();
    timeout(PATIENCE, down).await.expect("the shutdown comes to its end").unwrap();
    assert!(changed(&backend.world).await.renamed);
}

#[tokio::test]
async fn an_idle_connection_outlives_the_deadline_of_a_handshake() {
    let mut limits = Limits::default();
    limits.handshake = Duration::from_millis(100);
    limits.drain = Duration::from_millis(250);
    let backend = Backend::of(World::new(AuthPolicy::Open, limits).await).await;
    let poll = get(&POLL.replace("{APP}", backend.world.app.as_str()), "iflychat-token: id\r\n");
    let list = post("/api/2.0/users.list", &format!("x-api-key: {}\r\n", backend.key), "{}");
    let preflight = "OPTIONS /chat/2.0 HTTP/1.1\r\nHost: h\r\nOrigin: http://page.example\r\n\r\n".to_owned();
    let mut idle = Vec::new();
    for request in [get("/healthz", ""), list, preflight] {
        let mut tcp = send(backend.address, &request).await;
        assert!(answer(&mut tcp).await.starts_with("HTTP/1.1 20"));
        idle.push((tcp, request));
    }
    // A poll that has got its acknowledgement.
    let mut tcp = send(backend.address, &poll).await;
    assert!(answer(&mut tcp).await.contains("session_key"));
    // The server closes connections without a request, and those with an unfinished one.
    for begun in ["", "GET /healthz HTTP/1.1\r\n"] {
        assert_eq!(rest(&mut send(backend.address, begun).await).await, "");
    }
    for (mut tcp, request) in idle {
        tcp.write_all(request.as_bytes()).await.unwrap();
        assert!(answer(&mut tcp).await.starts_with("HTTP/1.1 20"), "{request}");
        // The head of the next request has the same deadline as the first one.
        tcp.write_all(b"GET /healthz HTT").await.unwrap();
        assert_eq!(rest(&mut tcp).await, "", "{request}");
    }
    backend.world.close().await;
}

#[tokio::test]
async fn an_answer_during_a_shutdown_announces_the_close() {
    let mut limits = Limits::default();
    limits.drain = PATIENCE;
    let world = World::new(AuthPolicy::Open, limits).await;
    let (address, permits) = with_page(&world);
    let mut tcp = send(address, get("/page", "")).await;
    let mut idle = send(address, get("/healthz", "")).await;
    assert!(!answer(&mut idle).await.contains("connection: close"));
    eventually(|| world.server.load().connections == 2).await;
    let server = world.server.clone();
    let down = tokio::spawn(async move { server.shutdown().await });
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed at once");
    permits.add_permits(1);
    let answer = rest(&mut tcp).await;
    assert!(answer.contains("connection: close") && answer.ends_with("a page"), "{answer}");
    timeout(PATIENCE, down).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_ipv4_client_of_a_listener_for_both_families_counts_as_one_of_ipv4() {
    let mut limits = Limits::default();
    limits.unverified_per_address = 1;
    limits.drain = Duration::from_millis(250);
    let world = World::new(AuthPolicy::Open, limits).await;
    let door = FrontDoor::bind(world.server.clone(), "[::]:0".parse().unwrap()).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, door.local_addr().unwrap().port()));
    tokio::spawn(door.run());
    // Loopback is exempt from the limit per address.
    let silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    eventually(|| world.server.load().unverified == 2).await;
    let transport = websocket::Transport::new(&format!("ws://{address}/chat/2.0")).unwrap();
    let alice = Peer::native(transport.connect().await.unwrap(), &world.app, "alice", None).await.unwrap();
    let sessions = world.server.sessions(&world.app, Some(&user("alice"))).await.unwrap();
    assert_eq!(sessions[0].address, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    drop((silent, alice));
    world.close().await;
}

#[tokio::test]
async fn a_page_can_read_the_answer_to_a_refused_head() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let long = "x".repeat(20_000);
    let origin = "Origin: http://page.example\r\n";
    let echoed =
        ["access-control-allow-origin: http://page.example", "access-control-allow-credentials: true"];
    let any = ["access-control-allow-origin: *", "vary: Origin"];
    for (request, status, named) in [
        (get("/chat/2.0?x=y", &format!("{origin}Bad Header: x\r\n")), "400", echoed),
        (get("/chat/2.0", &format!("{origin}X: {long}\r\n")), "431", echoed),
        // The bytes after the target were not read.
        (get(&format!("/chat/2.0?user_id={long}"), origin), "431", any),
        (format!("GET /chat/2.0 HTTP/9.9\r\n{origin}\r\n"), "400", echoed),
    ] {
        // On a new connection, and after another request that hyper has answered.
        for before in ["", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"] {
            let mut tcp = send(address, before).await;
            if !before.is_empty() {
                assert!(answer(&mut tcp).await.starts_with("HTTP/1.1 200 "));
            }
            _ = tcp.write_all(request.as_bytes()).await;
            let refusal = answer(&mut tcp).await;
            assert!(refusal.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.60}: {refusal}");
            for header in named {
                assert!(refusal.contains(header), "{header} in {refusal}, asked {request:.60}");
            }
            assert!(refusal.contains("\"error\":{\"code\":\""), "{refusal}");
            assert!(refusal.contains("connection: close"), "{refusal}");
        }
    }
    for request in [
        get("/api/2.0/users.get", &format!("{origin}Bad Header: x\r\n")),
        format!("nonsense\r\n{origin}\r\n"),
    ] {
        let refusal = answer(&mut send(address, &request).await).await;
        assert!(refusal.starts_with("HTTP/1.1 400 ") && !refusal.contains("access-control"), "{refusal}");
    }
    world.close().await;
}

#[tokio::test]
async fn a_request_without_exactly_one_host_is_refused_on_every_path() {
    let backend = Backend::new().await;
    let (address, permits) = with_page(&backend.world);
    let poll = POLL.replace("{APP}", backend.world.app.as_str());
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let targets = [
        ("/healthz", ""),
        ("/chatcamp.js", ""),
        ("/page", ""),
        ("/api/openapi.json", ""),
        (poll.as_str(), "iflychat-token: one\r\n"),
        (poll.as_str(), upgrade),
    ];
    for (target, headers) in targets {
        for hosts in ["", "Host: h\r\nHost: h\r\n", "Host: h, i\r\n", "Host: user@h\r\n"] {
            let request =
                format!("GET {target} HTTP/1.1\r\n{hosts}{headers}Origin: http://page.example\r\n\r\n");
            let refusal = answer(&mut send(address, &request).await).await;
            assert!(
                refusal.starts_with("HTTP/1.1 400 ") && refusal.contains("\"HOST\""),
                "{request}: {refusal}"
            );
            let is_chat = target.starts_with("/chat/2.0");
            assert_eq!(
                refusal.contains("access-control-allow-origin: http://page.example"),
                is_chat,
                "{refusal}"
            );
        }
    }
    permits.add_permits(2);
    for (target, status) in [("/healthz", "200"), ("/page", "200"), ("/chat/2.0", "426")] {
        let request = format!("GET {target} HTTP/1.0\r\n\r\n");
        let answer = rest(&mut send(address, &request).await).await;
        assert!(answer.split(' ').nth(1) == Some(status), "{request}: {answer}");
        let request = format!("GET {target} HTTP/1.0\r\nHost: h\r\nHost: i\r\n\r\n");
        let answer = rest(&mut send(address, &request).await).await;
        assert!(answer.split(' ').nth(1) == Some("400"), "{request}: {answer}");
    }
    backend.world.close().await;
}
