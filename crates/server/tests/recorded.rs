//! Compares whole sessions, in each dialect over each transport, with recordings.
//!
//! A recording in `tests/recorded/` contains every message in order; session keys, the app's id and random waits are masked. Each
//! dialect has one recording for all message transports; the published SDK's long-poll has one of requests and answers.
//! `CHATCAMP_RECORD=1 cargo test -p chatcamp-server --test recorded` writes new recordings. Do so only to change the wire on
//! purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

use chatcamp_protocol::AppId;
use chatcamp_server::{NewUser, Recipients};
use chatcamp_transport::{Connection, Message, Transport, long_poll, websocket};
use common::{Adapter, PATIENCE, World, eventually, listen, set_clock, user};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Requests in both dialects: type and body. Each gets one message as its answer.
const REQUESTS: &[(&str, &str)] = &[
    ("users.get", "{}"),
    ("users.get", r#"{"id":"bob"}"#),
    ("users.get", r#"{"id":"nobody"}"#),
    ("users.get", r#"{"id":7}"#),
    ("users.update", r#"{"display_name":"Alice","metadata":{"a":[1,"ä"]},"is_suspended":true}"#),
    ("users.update", r#"{"display_name":"Alice"}"#),
    ("users.update", r#"{"id":"bob","display_name":"Bob"}"#),
    ("users.update", r#"{"profile_url":7}"#),
    ("users.list", "{}"),
    ("users.list", r#"{"limit":1}"#),
    ("users.list", r#"{"limit":1,"reference":"alice","is_online_filter":"OFFLINE"}"#),
    ("users.list", r#"{"user_ids":["bob","nobody","alice","bob"]}"#),
    ("users.list", r#"{"display_name_search":"AL","is_online_filter":"ONLINE"}"#),
    ("users.list", r#"{"is_active_filter":"INACTIVE"}"#),
    ("users.list_count", "{}"),
    ("users.list_count", r#"{"is_online_filter":"ONLINE"}"#),
    ("users.block", r#"{"block_id":"bob"}"#),
    ("users.block", r#"{"block_id":"alice"}"#),
    ("users.block", r#"{"block_id":"nobody"}"#),
    ("users.block_list", "{}"),
    ("users.unblock", r#"{"unblock_id":"bob"}"#),
    ("users.block_list", r#"{"limit":3}"#),
    ("open_channels.get", "{}"),
];

/// Requests that only native clients send.
const NATIVE: &[(&str, &str)] = &[
    ("ping", r#"{"seen":3}"#),
    ("users.refresh", r#"{"access_token":"not this user's token"}"#),
    ("users.refresh", r#"{"access_token":"alice's own token","user_id":"bob"}"#),
    ("users.refresh", r#"{"access_token":"alice's own token"}"#),
];

/// First messages that are refused; `APP` is replaced by the app's id.
const REFUSED: &[&str] = &[
    r#"{"t":"users.auth","d":{"v":1,"client":"t/1","app_id":"unknown","user_id":"alice"},"r":1}"#,
    r#"{"t":"users.auth","d":{"v":1,"client":"t/1","app_id":"no app","user_id":"alice"},"r":1}"#,
    r#"{"t":"users.auth","d":{"v":1,"client":"t/1","app_id":"APP","user_id":""},"r":1}"#,
    r#"{"t":"users.auth","d":{"v":1,"client":"t/1","app_id":"APP","user_id":"bob"},"r":1}"#,
    r#"{"t":"users.auth","d":{"v":1,"client":"t/1","app_id":"APP","user_id":"bob","access_token":"wrong"},"r":1}"#,
    r#"{"t":"users.auth","d":{"v":2,"client":"t/1","app_id":"APP","user_id":"alice"},"r":1}"#,
    r#"{"t":"ping","d":{"seen":0},"r":1}"#,
    "no envelope",
];

/// What was sent and received, masked.
struct Tape {
    app: AppId,
    text: String,
}

impl Tape {
    async fn of(name: &str, at: fn(SocketAddr, &World) -> Box<dyn Transport>, is_native: bool) {
        let world = world().await;
        let address = listen(&world, Adapter::FrontDoor).await;
        let mut tape = Self { app: world.app.clone(), text: String::new() };
        tape.session(&world, &*at(address, &world), is_native).await;
        if is_native {
            tape.refusals(&*at(address, &world)).await;
        }
        tape.compare(name);
    }

    /// Runs a session: every request, an event, a lost connection, an event during the outage, a resume, the end.
    async fn session(&mut self, world: &World, transport: &dyn Transport, is_native: bool) {
        let mut connection = transport.connect().await.unwrap();
        if is_native {
            let hello = json!({ "v": 1, "client": "t/1", "app_id": world.app, "user_id": "alice",
                "access_token": "alice's own token" });
            self.send(&mut connection, 1, "users.auth", &hello.to_string()).await;
        }
        let ack = self.recv(&mut connection).await;
        let requests = REQUESTS.iter().chain(if is_native { NATIVE } else { &[] });
        let mut last = 0;
        for (r, (t, d)) in (1..).zip(requests) {
            self.send(&mut connection, r, t, d).await;
            self.recv(&mut connection).await;
            last = r;
        }
        publish(world, "here").await;
        let seen = self.recv(&mut connection).await["s"].clone();
        if is_native {
            drop(connection);
            eventually(|| world.server.load().detached == 1).await;
            publish(world, "away").await;
            let key = ack["d"]["session"]["key"].clone();
            let hello = json!({ "v": 1, "client": "t/1", "app_id": world.app, "user_id": "alice",
                "access_token": "alice's own token", "resume": { "key": key, "seen": seen, "sent": last } });
            connection = transport.connect().await.unwrap();
            self.send(&mut connection, 1, "users.auth", &hello.to_string()).await;
            self.recv(&mut connection).await;
            self.recv(&mut connection).await;
        }
        world.accounts.set_suspended(&world.app, &user("alice"), true).await.unwrap();
        self.recv(&mut connection).await;
        self.closed(&mut connection).await;
    }

    async fn refusals(&mut self, transport: &dyn Transport) {
        for first in REFUSED {
            let mut connection = transport.connect().await.unwrap();
            let first = first.replace("APP", self.app.as_str());
            self.note(">", &first);
            connection.send(Message::from(first)).await.unwrap();
            self.recv(&mut connection).await;
            self.closed(&mut connection).await;
        }
    }

    async fn send(&mut self, connection: &mut Connection, r: u64, t: &str, d: &str) {
        let text = format!(r#"{{"t":"{t}","d":{d},"r":{r}}}"#);
        self.note(">", &text);
        connection.send(Message::from(text)).await.unwrap();
    }

    async fn recv(&mut self, connection: &mut Connection) -> Value {
        let message = timeout(PATIENCE, connection.recv()).await.expect("a message").unwrap();
        self.note("<", message.as_str());
        serde_json::from_str(message.as_str()).unwrap()
    }

    async fn closed(&mut self, connection: &mut Connection) {
        let closed = timeout(PATIENCE, connection.recv()).await.expect("the end").unwrap_err();
        self.note("<", &format!("closed {}", closed.code()));
    }

    fn note(&mut self, direction: &str, text: &str) {
        let mut text = text.replace(self.app.as_str(), "APP");
        for (before, after) in
            [(r#""key":""#, '"'), (r#""session_key":""#, '"'), (r#""retry_after_ms":"#, '}')]
        {
            text = masked(&text, before, after);
        }
        writeln!(self.text, "{direction} {text}").unwrap();
    }

    fn compare(&self, name: &str) {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recorded/{name}.txt"));
        if std::env::var_os("CHATCAMP_RECORD").is_some() {
            std::fs::write(&file, &self.text).unwrap();
        }
        let recorded = std::fs::read_to_string(&file).unwrap();
        for (n, (now, then)) in self.text.lines().zip(recorded.lines()).enumerate() {
            assert_eq!(now, then, "{name}, line {}", n + 1);
        }
        assert_eq!(self.text.lines().count(), recorded.lines().count(), "{name}: as many messages");
    }
}

/// Replaces the text between `before` and the next `after` by a star.
fn masked(text: &str, before: &str, after: char) -> String {
    let mut parts = text.split(before);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let rest = part.find(after).map_or("", |at| &part[at..]);
        format!("{all}{before}*{rest}")
    })
}

/// Creates an open app whose clients may list users, with alice and bob, at a fixed time.
async fn world() -> World {
    let world = World::open_at(set_clock(1_800_000_000).0).await;
    world.accounts.set_directory(&world.app, true).await.unwrap();
    let token = Some(chatcamp_protocol::AccessToken::new("alice's own token"));
    let alice = NewUser { token, check_access_token: false, ..NewUser::default() };
    world.accounts.create_user(&world.app, &user("alice"), alice).await.unwrap();
    world.user("bob").await;
    world
}

async fn publish(world: &World, text: &str) {
    let to = Recipients::Users(vec![user("alice")]);
    world.server.publish(&world.app, &to, "said", &json!({ "text": text })).await.unwrap();
}

#[tokio::test]
async fn native_over_memory() {
    Tape::of("native", |_, world| Box::new(world.transport.clone()), true).await;
}

#[tokio::test]
async fn native_over_websocket() {
    let transport = |address, _: &World| -> Box<dyn Transport> {
        Box::new(websocket::Transport::new(&format!("ws://{address}/chat/2.0")).unwrap())
    };
    Tape::of("native", transport, true).await;
}

#[tokio::test]
async fn native_over_long_poll() {
    let transport = |address, _: &World| -> Box<dyn Transport> {
        Box::new(long_poll::Transport::new(&format!("http://{address}/chat/2.0")).unwrap())
    };
    Tape::of("native", transport, true).await;
}

#[tokio::test]
async fn published_over_memory() {
    let transport = |_, world: &World| -> Box<dyn Transport> {
        let query = format!("app_id={}&user_id=alice", world.app);
        Box::new(world.transport.clone().with_query(&query))
    };
    Tape::of("published", transport, false).await;
}

#[tokio::test]
async fn published_over_websocket() {
    let transport = |address, world: &World| -> Box<dyn Transport> {
        let url = format!("ws://{address}/chat/2.0?app_id={}&user_id=alice", world.app);
        Box::new(websocket::Transport::new(&url).unwrap())
    };
    Tape::of("published", transport, false).await;
}

/// Records the published SDK's long-poll, request by request with all headers.
#[tokio::test]
async fn published_over_long_poll() {
    let world = world().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let mut tape = Tape { app: world.app.clone(), text: String::new() };
    let target = format!("/chat/2.0?app_id={}&user_id=alice", world.app);
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let mut exchange = async |method: &str, body: Option<String>| {
        let body = body.map(|body| {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        });
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nOrigin: http://page.example\r\niflychat-token: t1\r\n{}",
            body.unwrap_or_else(|| "\r\n".to_owned())
        );
        tape.note(">", &one_line(&request));
        tcp.write_all(request.as_bytes()).await.unwrap();
        let answer = timeout(PATIENCE, answer(&mut tcp)).await.expect("an answer");
        tape.note("<", &one_line(&answer));
    };
    exchange("OPTIONS", None).await;
    exchange("GET", None).await;
    for (r, (t, d)) in (1..).zip(REQUESTS) {
        exchange("POST", Some(format!(r#"{{"t":"{t}","d":{d},"r":{r}}}"#))).await;
        exchange("GET", None).await;
    }
    publish(&world, "here").await;
    exchange("GET", None).await;
    world.accounts.set_suspended(&world.app, &user("alice"), true).await.unwrap();
    exchange("GET", None).await;
    exchange("GET", None).await;
    tape.compare("published_long_poll");
}

/// Returns the text in one line, with its quotes unchanged.
fn one_line(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\r\n", "\\r\\n")
}

/// Reads one answer with its head.
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
        assert_ne!(tcp.read_buf(&mut read).await.unwrap(), 0, "closed instead of an answer");
    }
}
