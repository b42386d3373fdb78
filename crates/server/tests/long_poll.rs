//! Long-poll over real sockets, through both adapters, request by request (`docs/PROTOCOL.md`, "Transports").

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{net::SocketAddr, sync::Arc};

use chatcamp_protocol::Code;
use chatcamp_server::{Accounts, AuthPolicy, ChatService, NewUser, Proxies, Server};
use chatcamp_transport::{Close, Transport, long_poll};
use common::{ADAPTERS, Adapter, PATIENCE, Peer, World, eventually, keyring, listen, user};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A kept-alive connection of a browser.
struct Browser {
    tcp: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Browser {
    async fn open(address: SocketAddr) -> Self {
        Self { tcp: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    async fn send(&mut self, method: &str, target: &str, id: &str, extra: &str, body: Option<&str>) {
        let body = match body {
            Some(body) => {
                format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            None => "\r\n".to_owned(),
        };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nOrigin: http://page.example\r\niflychat-token: {id}\r\n\
             x-csrf-token: undefined\r\n{extra}{body}"
        );
        self.tcp.write_all(head.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> Answer {
        let find = |bytes: &[u8]| bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        let end = loop {
            if let Some(end) = find(&self.read) {
                break end;
            }
            self.more().await;
        };
        let head = String::from_utf8(self.read[..end].to_vec()).unwrap();
        let length =
            head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().unwrap());
        while self.read.len() < end + length {
            self.more().await;
        }
        let body = serde_json::from_slice(&self.read[end..end + length]).unwrap_or(Value::Null);
        self.read.drain(..end + length);
        Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body }
    }

    async fn more(&mut self) {
        let n = timeout(PATIENCE, self.tcp.read_buf(&mut self.read)).await.expect("an answer").unwrap();
        assert_ne!(n, 0, "closed instead of an answer: {}", String::from_utf8_lossy(&self.read));
    }

    async fn get(&mut self, target: &str, id: &str) -> Answer {
        self.send("GET", target, id, "", None).await;
        self.answer().await
    }

    async fn post(&mut self, target: &str, id: &str, body: &str) -> Answer {
        self.send("POST", target, id, "", Some(body)).await;
        self.answer().await
    }
}

impl Answer {
    /// Returns the messages of a poll.
    fn messages(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{self:?}");
        let texts = self.body.as_array().unwrap_or_else(|| panic!("an array of strings: {self:?}"));
        texts.iter().map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect()
    }
}

/// Starts a server with a port, and connects alice over the returned browser, with the returned target and [`ID`].
async fn alice_polls(adapter: Adapter) -> (World, SocketAddr, String, Browser) {
    let world = World::open().await;
    let address = listen(&world, adapter).await;
    let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
    let mut polls = Browser::open(address).await;
    assert_eq!(polls.get(&target, ID).await.messages()[0]["d"]["ok"], true);
    (world, address, target, polls)
}

const ID: &str = "abcdefghijklmnopqrstuvwxy1700000000000";

#[tokio::test]
async fn the_published_sdk_is_served_over_polls() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
        let (mut polls, mut posts) = (Browser::open(address).await, Browser::open(address).await);

        let first = polls.get(&target, ID).await;
        let ack = &first.messages()[0];
        assert_eq!((&ack["t"], &ack["d"]["user"]["id"]), (&json!("users.auth.ack"), &json!("alice")));
        for header in [
            "access-control-allow-origin: http://page.example",
            "access-control-allow-credentials: true",
            "vary: Origin",
            "cache-control: no-store",
            "content-type: application/json",
        ] {
            assert!(first.head.contains(header), "{adapter:?}: {header} in {}", first.head);
        }
        polls.send("GET", &target, ID, "", None).await;
        let posted = posts.post(&target, ID, r#"{"t":"users.update","d":{"display_name":"A"},"r":1}"#).await;
        assert_eq!((posted.status, &posted.body), (200, &json!([])));
        let answered = polls.answer().await.messages();
        assert_eq!((&answered[0]["to"], &answered[0]["d"]["user"]["display_name"]), (&json!(1), &json!("A")));
        // Messages between two polls wait for the next one.
        posts.post(&target, ID, r#"{"t":"users.get","d":{},"r":2}"#).await;
        posts.post(&target, ID, r#"{"t":"x.y","d":{},"r":3}"#).await;
        let mut waited = Vec::new();
        while waited.len() < 2 {
            waited.extend(polls.get(&target, ID).await.messages());
        }
        assert_eq!((&waited[0]["to"], &waited[1]["to"]), (&json!(2), &json!(3)));
        world.server.shutdown().await;
        assert_eq!(world.server.load(), common::AT_REST);
    }
}

#[tokio::test]
async fn a_refusal_is_a_message_and_the_next_poll_fails_for_good() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let mut polls = Browser::open(address).await;
        let target = "/chat/2.0?app_id=unknown&user_id=alice";
        let refused = polls.get(target, ID).await;
        assert_eq!(refused.messages()[0]["d"]["error"]["code"], "NOT_FOUND");
        for _ in 0..2 {
            let after = polls.get(target, ID).await;
            assert_eq!(after.status, 403, "{after:?}");
            assert!(after.head.contains("access-control-allow-origin: http://page.example"));
        }
        // Valid credentials with a new id are accepted.
        let good = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
        assert_eq!(polls.get(&good, "another").await.messages()[0]["d"]["ok"], true);
        world.close().await;
    }
}

#[tokio::test]
async fn a_request_without_the_right_id_and_target_has_no_effect() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
        let other = format!("/chat/2.0?app_id={}&user_id=mallory", world.app);
        let (mut alice, mut mallory) = (Browser::open(address).await, Browser::open(address).await);
        alice.get(&target, ID).await.messages();
        alice.send("GET", &target, ID, "", None).await;
        eventually(|| world.server.load().sessions == 1).await;
        for (method, target, id, status) in [
            ("GET", other.as_str(), ID, 403),
            ("POST", &other, ID, 403),
            ("GET", "/chat/2.0", ID, 403),
            ("POST", "/chat/2.0", ID, 403),
            ("POST", &target, "guessed", 410),
            ("GET", "/chat/2.0", "guessed", 410),
            ("GET", &target, "", 400),
            ("GET", &target, &"x".repeat(200), 400),
        ] {
            let body = (method == "POST").then_some(r#"{"t":"users.get","d":{},"r":1}"#);
            mallory.send(method, target, id, "", body).await;
            let answer = mallory.answer().await;
            assert_eq!(answer.status, status, "{adapter:?} {method} {target} {id:.20}: {answer:?}");
            assert!(answer.head.contains("access-control-allow-origin"), "{answer:?}");
        }
        let mut posts = Browser::open(address).await;
        posts.post(&target, ID, r#"{"t":"users.get","d":{},"r":1}"#).await;
        assert_eq!(alice.answer().await.messages()[0]["d"]["user"]["id"], "alice");
        assert_eq!(world.server.load().sessions, 1, "none of these requests opened a session");
        world.close().await;
    }
}

#[tokio::test]
async fn the_newer_of_two_concurrent_polls_is_served() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
        let (mut older, mut newer) = (Browser::open(address).await, Browser::open(address).await);
        older.get(&target, ID).await.messages();
        older.send("GET", &target, ID, "", None).await;
        let mut posts = Browser::open(address).await;
        // The older poll is held once a later request on its connection has been answered.
        posts.post(&target, ID, "not json").await;
        newer.send("GET", &target, ID, "", None).await;
        assert_eq!(older.answer().await.messages(), Vec::<Value>::new());
        posts.post(&target, ID, r#"{"t":"users.get","d":{},"r":1}"#).await;
        assert_eq!(newer.answer().await.messages()[0]["to"], 1);
        world.close().await;
    }
}

#[tokio::test]
async fn an_invalid_post_is_refused_and_the_connection_stays() {
    for adapter in ADAPTERS {
        let (world, address, target, mut polls) = alice_polls(adapter).await;
        for (body, status) in [
            ("", 400),
            ("null", 400),
            ("false", 400),
            ("0", 400),
            ("{", 400),
            ("[]", 400),
            (&format!("{{\"t\":\"{}\"}}", "x".repeat(64 * 1024)), 413),
            (&"x".repeat(600 * 1024), 413),
        ] {
            let mut posts = Browser::open(address).await;
            let answer = posts.post(&target, ID, body).await;
            assert_eq!(answer.status, status, "{adapter:?} {body:.20}: {answer:?}");
        }
        for (extra, status) in [
            ("Content-Type: text/plain\r\n", 400),
            (&format!("iflychat-token: {ID}\r\n"), 400),
            ("Origin: http://other.example\r\n", 400),
        ] {
            let mut posts = Browser::open(address).await;
            posts.send("POST", &target, ID, extra, Some(r#"{"t":"x","r":1}"#)).await;
            assert_eq!(posts.answer().await.status, status, "{adapter:?} {extra}");
        }
        let mut posts = Browser::open(address).await;
        let text = format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\niflychat-token: {ID}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        posts.tcp.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(posts.answer().await.status, 415, "a body without content type");

        posts.post(&target, ID, r#"{"t":"users.get","d":{},"r":1}"#).await;
        assert_eq!(polls.get(&target, ID).await.messages()[0]["to"], 1);
        world.close().await;
    }
}

#[tokio::test]
async fn pipelined_polls_and_fragmented_bodies_are_read() {
    let (world, _, target, mut browser) = alice_polls(Adapter::FrontDoor).await;
    let post = |r: u32| {
        let body = format!("{{\"t\":\"users.get\",\"d\":{{}},\"r\":{r}}}");
        format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\niflychat-token: {ID}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    browser.tcp.write_all((post(1) + &post(2)).as_bytes()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(browser.answer().await.body, json!([]));
    }
    for byte in post(3).as_bytes() {
        browser.tcp.write_all(&[*byte]).await.unwrap();
        browser.tcp.flush().await.unwrap();
    }
    assert_eq!(browser.answer().await.body, json!([]));
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(browser.get(&target, ID).await.messages().into_iter().map(|m| m["to"].clone()));
    }
    assert_eq!(seen, [json!(1), json!(2), json!(3)]);
    world.close().await;
}

#[tokio::test]
async fn a_native_client_can_poll() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let token = world.user("alice").await;
        let address = listen(&world, adapter).await;
        let transport = long_poll::Transport::new(&format!("http://{address}/chat/2.0")).unwrap();
        let mut alice = Peer::native(transport.connect().await.unwrap(), &world.app, "alice", Some(&token))
            .await
            .unwrap();
        assert_eq!(alice.ack["user"]["access_token"], token.expose());
        let named = alice.request("users.update", json!({"display_name": "A"})).await;
        assert_eq!(named["user"]["display_name"], "A");
        // Refused with a code of the protocol.
        let refused = Peer::native(transport.connect().await.unwrap(), &world.app, "alice", None).await;
        assert_eq!(refused.unwrap_err(), "ACCESS_TOKEN_REQUIRED");
        // Ended by the server, which sends the reason and the close code.
        world.accounts.delete_user(&world.app, &user("alice")).await.unwrap();
        alice.ended_with(Code::UserDeleted).await;
        // Ended by the client.
        let mut bob =
            Peer::native(transport.connect().await.unwrap(), &world.app, "bob", None).await.unwrap();
        bob.connection.close(Close::NORMAL).await;
        eventually(|| world.server.load().sessions == 0).await;
        world.close().await;
    }
}

#[tokio::test]
async fn requiring_tokens_ends_a_published_session_over_polls() {
    let (world, _, target, mut polls) = alice_polls(Adapter::FrontDoor).await;
    polls.send("GET", &target, ID, "", None).await;
    world.accounts.create_user(&world.app, &user("alice"), NewUser::default()).await.unwrap();
    let told = polls.answer().await.messages();
    assert_eq!(told[0]["d"]["error"]["reason"], "ACCESS_TOKEN_REQUIRED");
    assert_eq!(polls.get(&target, ID).await.status, 403);
    world.close().await;
}

#[tokio::test]
async fn a_dropped_poll_loses_no_message() {
    let (world, address, target, mut polls) = alice_polls(Adapter::FrontDoor).await;
    polls.send("GET", &target, ID, "", None).await;
    let held = world.server.load().connections;
    drop(polls);
    eventually(|| world.server.load().connections < held).await;
    let mut again = Browser::open(address).await;
    again.post(&target, ID, r#"{"t":"users.get","d":{},"r":1}"#).await;
    assert_eq!(again.get(&target, ID).await.messages()[0]["to"], 1);
    world.close().await;
}

#[tokio::test]
async fn a_shutdown_answers_held_polls_and_leaves_nothing() {
    let (world, address, target, mut polls) = alice_polls(Adapter::FrontDoor).await;
    polls.send("GET", &target, ID, "", None).await;
    let native = long_poll::Transport::new(&format!("http://{address}/chat/2.0")).unwrap();
    let mut bob = Peer::native(native.connect().await.unwrap(), &world.app, "bob", None).await.unwrap();
    let down = world.server.clone();
    let down = tokio::spawn(async move { timeout(PATIENCE, down.shutdown()).await });
    let close = bob.recv().await;
    assert_eq!(close["d"]["code"], "SHUTTING_DOWN");
    assert_eq!(polls.answer().await.status, 403);
    down.await.unwrap().expect("the shutdown finishes");
    assert_eq!(world.server.load(), common::AT_REST);
}

#[tokio::test]
async fn a_hundred_polls_and_a_hundred_sockets_are_served_at_once() {
    let world = Arc::new(World::open().await);
    let address = listen(&world, Adapter::FrontDoor).await;
    let clients: Vec<_> = (0..200)
        .map(|n| {
            let world = world.clone();
            tokio::spawn(async move {
                let url = format!("http://{address}/chat/2.0");
                let transport: Box<dyn Transport> = match n % 2 {
                    0 => Box::new(long_poll::Transport::new(&url).unwrap()),
                    _ => Box::new(chatcamp_transport::websocket::Transport::new(&url).unwrap()),
                };
                let connection = transport.connect().await.unwrap();
                let mut peer = Peer::native(connection, &world.app, &format!("user{n}"), None).await.unwrap();
                for _ in 0..5 {
                    assert_eq!(peer.request("users.get", json!({})).await["user"]["id"], format!("user{n}"));
                }
                peer
            })
        })
        .collect();
    let mut live = Vec::new();
    for client in clients {
        live.push(client.await.unwrap());
    }
    assert_eq!(world.server.load().sessions, 200);
    for peer in &mut live {
        peer.connection.close(Close::NORMAL).await;
    }
    eventually(|| world.server.load().sessions == 0).await;
    drop(live);
    Arc::into_inner(world).unwrap().close().await;
}

#[tokio::test]
async fn the_service_polls_over_http_2() {
    use tower_service::Service as _;
    let world = World::open().await;
    let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
    let mut service = ChatService::new(world.server.clone());
    let request = http::Request::get(&target).version(http::Version::HTTP_2).header("iflychat-token", ID);
    let body = http_body_util::Full::new(bytes::Bytes::new());
    let answer = service.call(request.body(body).unwrap()).await.unwrap();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    let texts: Vec<String> = serde_json::from_slice(&body).unwrap();
    assert!(texts[0].contains("users.auth.ack"), "{texts:?}");
    world.close().await;
}

#[tokio::test]
async fn the_service_uses_the_address_that_a_trusted_proxy_names() {
    use tower_service::Service as _;
    let store = Arc::new(chatcamp_store::memory::Store::new());
    let app =
        Accounts::new(store.clone(), keyring()).create_app("test", AuthPolicy::Open, None).await.unwrap().id;
    let proxies = Proxies::trusting(["10.0.0.0/8".parse().unwrap()]);
    let server = Server::builder(store, keyring()).behind(proxies).start();
    let service = ChatService::new(server.clone());
    for (id, peer, expected) in [
        ("alice", Some("10.0.0.1:1"), Some("198.51.100.7")),
        ("bob", Some("[::ffff:10.0.0.1]:1"), Some("198.51.100.7")),
        ("carol", Some("192.0.2.1:1"), Some("192.0.2.1")),
        // Without a peer no proxy is known.
        ("dave", None, None),
    ] {
        let peer = peer.map(|peer| peer.parse().unwrap());
        let mut service = peer.into_iter().fold(service.clone(), ChatService::for_peer);
        let request = http::Request::get(format!("/chat/2.0?app_id={app}&user_id={id}"))
            .header("iflychat-token", format!("id-of-{id}"))
            .header("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.0.0.2");
        let answer =
            service.call(request.body(http_body_util::Full::new(bytes::Bytes::new())).unwrap()).await;
        assert_eq!(answer.unwrap().status(), 200);
        let sessions = server.sessions(&app, Some(&user(id))).await.unwrap();
        let address = sessions[0].address.map(|address| address.to_string());
        assert_eq!(address.as_deref(), expected, "{id}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_request_refused_by_its_head_does_not_wait_for_its_body() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        for (headers, status) in [
            (
                format!(
                    "iflychat-token: {ID}\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n"
                ),
                413,
            ),
            (
                format!(
                    "iflychat-token: {ID}\r\nContent-Type: application/json\r\nContent-Length: 300000\r\n"
                ),
                413,
            ),
            (format!("iflychat-token: {ID}\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n"), 415),
            ("Content-Type: application/json\r\nContent-Length: 9\r\n".to_owned(), 426),
        ] {
            let mut browser = Browser::open(address).await;
            let head = format!("POST /chat/2.0 HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
            browser.tcp.write_all(head.as_bytes()).await.unwrap();
            assert_eq!(browser.answer().await.status, status, "{adapter:?} {headers}");
        }
        world.close().await;
    }
}

#[tokio::test]
async fn polls_of_an_http_1_0_proxy_are_held_and_answered() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
    let old = |method: &str, extra: &str| {
        format!(
            "{method} {target} HTTP/1.0\r\nOrigin: http://page.example\r\niflychat-token: {ID}\r\n{extra}\r\n"
        )
    };
    let mut first = Browser::open(address).await;
    first.tcp.write_all(old("GET", "").as_bytes()).await.unwrap();
    let answer = first.answer().await;
    assert!(answer.head.contains("connection: close"), "{answer:?}");
    assert_eq!(answer.messages()[0]["d"]["ok"], true);

    let mut held = Browser::open(address).await;
    held.tcp.write_all(old("GET", "").as_bytes()).await.unwrap();
    // The connection of a held poll does not count as pending, because it has a session.
    eventually(|| world.server.load().unverified == 0 && world.server.load().connections == 2).await;
    let body = r#"{"t":"users.get","d":{},"r":1}"#;
    let post =
        old("POST", &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())) + body;
    let mut posts = Browser::open(address).await;
    posts.tcp.write_all(post.as_bytes()).await.unwrap();
    assert_eq!(posts.answer().await.body, json!([]));
    assert_eq!(held.answer().await.messages()[0]["to"], 1);
    world.close().await;
}

#[tokio::test]
async fn an_answer_grants_the_origin_unless_it_is_repeated() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    for (extra, named) in [("iflychat-token: again\r\n", true), ("Origin: http://other.example\r\n", false)] {
        let mut browser = Browser::open(address).await;
        browser.send("GET", "/chat/2.0", ID, extra, None).await;
        let answer = browser.answer().await;
        assert_eq!(
            (answer.status, answer.head.contains("access-control-allow-origin")),
            (400, named),
            "{extra}"
        );
    }
    let mut browser = Browser::open(address).await;
    browser
        .tcp
        .write_all(b"GET /chat/2.0 HTTP/1.1\r\nHost: h\r\niflychat-token: \xff\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(browser.answer().await.status, 400, "an id that is not UTF-8");
    world.close().await;
}
