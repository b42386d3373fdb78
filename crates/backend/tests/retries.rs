//! Failures between backend and server, and how a call handles them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chatcamp_backend::{Backend, Disconnect, Error, TokenFields, UserFields, code};
use chatcamp_server::Rate;
use common::{PATIENCE, World, published};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

/// Maximum number of recorded requests and answers.
const SEEN: usize = 64;

/// A proxy that forwards requests to the server and cuts the connection instead of returning the first answers.
struct Cutter {
    address: SocketAddr,
    /// The recorded requests and answers.
    exchanges: mpsc::Receiver<(String, String)>,
}

impl Cutter {
    /// Creates a proxy that cuts `cuts` answers.
    async fn new(world: &World, cuts: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, exchanges) = mpsc::channel(SEEN);
        let (server, cuts) = (world.address, Arc::new(AtomicUsize::new(cuts)));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, cuts.clone(), seen.clone()));
            }
        });
        Self { address, exchanges }
    }

    async fn next(&mut self) -> (String, String) {
        timeout(PATIENCE, self.exchanges.recv()).await.unwrap().unwrap()
    }

    /// Returns the number of requests since the last look.
    fn more(&mut self) -> usize {
        std::iter::from_fn(|| self.exchanges.try_recv().ok()).count()
    }
}

async fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    cuts: Arc<AtomicUsize>,
    seen: mpsc::Sender<(String, String)>,
) {
    let mut server = TcpStream::connect(server).await.unwrap();
    while let Some(request) = message(&mut client).await {
        server.write_all(request.as_bytes()).await.unwrap();
        let answer = message(&mut server).await.unwrap();
        seen.send((request, answer.clone())).await.unwrap();
        if cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return;
        }
        client.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Reads one whole request or answer.
async fn message(tcp: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text.into_owned());
            }
        }
        if tcp.read_buf(&mut read).await.unwrap() == 0 {
            return None;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Returns the idempotency key of a request.
fn key(request: &str) -> String {
    header(request, "idempotency-key").expect("the request has an idempotency key").to_owned()
}

#[tokio::test]
async fn a_creation_is_retried_after_a_lost_answer_and_runs_once() {
    let world = World::new().await;
    let mut cutter = Cutter::new(&world, 2).await;
    let backend = world.at(cutter.address).build().unwrap();

    let created = backend.create_user("alice", UserFields::default()).await.unwrap();
    let exchanges = [cutter.next().await, cutter.next().await, cutter.next().await];
    assert_eq!(key(&exchanges[0].0).len(), 32);
    for (request, answer) in &exchanges {
        assert_eq!(request, &exchanges[0].0, "every attempt is the same request");
        let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        assert_eq!(body(answer), body(&exchanges[0].1));
        assert!(answer.contains(created.access_token.expose()));
    }
    assert_eq!(header(&exchanges[0].1, "idempotency-replayed"), None);
    assert_eq!(header(&exchanges[2].1, "idempotency-replayed"), Some("true"));

    // Another call has another key.
    let error = backend.create_user("alice", UserFields::default()).await.unwrap_err();
    assert_eq!(error.code(), Some(code::USER_EXISTS));
    assert_ne!(key(&cutter.next().await.0), key(&exchanges[0].0));

    let new = backend.create_api_key("second").await.unwrap();
    assert_eq!(backend.api_keys().await.unwrap().len(), 2);
    assert!(cutter.next().await.1.contains(new.key.expose()));
}

/// The tasks of an import, and the users that each creates.
const TASKS: usize = 8;
const EACH: usize = 20;

#[tokio::test]
async fn an_import_at_full_speed_waits_for_the_rate_and_creates_every_user_once() {
    let world = World::with_api_calls(Rate { per_second: 50, burst: 50 }).await;
    let Cutter { address, mut exchanges } = Cutter::new(&world, 0).await;
    let counting = tokio::spawn(async move {
        let (mut answered, mut refused) = (0, 0);
        while let Some((_, answer)) = exchanges.recv().await {
            answered += 1;
            refused += usize::from(answer.starts_with("HTTP/1.1 429"));
            if answered - refused == TASKS * EACH {
                break;
            }
        }
        refused
    });
    let backend = world.at(address).build().unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let backend = backend.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    backend.create_user(format!("user {task} {n}"), UserFields::default()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let refused = timeout(PATIENCE, counting).await.unwrap().unwrap();
    assert!(refused > 0, "the server refused none, so nothing was tested");
    assert!(refused < TASKS * EACH, "{refused}: the calls did not wait");
}

#[tokio::test]
async fn an_event_is_retried_after_a_lost_answer_and_delivered_once() {
    let world = World::new().await;
    let (_alice, mut events) = world.connect("alice").await;
    let mut cutter = Cutter::new(&world, 2).await;
    let backend = world.at(cutter.address).build().unwrap();

    assert_eq!(backend.publish("alice", "first", &1).await.unwrap().delivered, 1);
    let exchanges = [cutter.next().await, cutter.next().await, cutter.next().await];
    assert!(exchanges.iter().all(|(request, _)| key(request) == key(&exchanges[0].0)));
    assert_eq!(backend.publish("alice", "second", &2).await.unwrap().delivered, 1);
    assert_ne!(key(&cutter.next().await.0), key(&exchanges[0].0));
    assert_eq!(published(&mut events).await.0, "first");
    assert_eq!(published(&mut events).await.0, "second", "no event between the two");
}

#[tokio::test]
async fn a_token_is_issued_once_after_a_lost_answer() {
    let world = World::new().await;
    world.backend().create_user("alice", UserFields::default()).await.unwrap();
    let mut cutter = Cutter::new(&world, 1).await;
    let issued = world.at(cutter.address).build().unwrap().issue_token("alice", TokenFields::default()).await;
    let issued = issued.unwrap().access_token;
    assert!(cutter.next().await.1.contains(issued.expose()), "the token is that of the first attempt");
    assert_eq!(world.backend().user("alice").await.unwrap().unwrap().access_token, Some(issued));
}

#[tokio::test]
async fn a_call_that_could_run_twice_is_not_retried() {
    let world = World::new().await;
    let (_alice, _events) = world.connect("alice").await;
    let mut cutter = Cutter::new(&world, usize::MAX).await;
    let backend = world.at(cutter.address).build().unwrap();
    let error = backend.disconnect("alice", Disconnect::default()).await.unwrap_err();
    assert!(matches!(error, Error::Broken(_)) && error.is_retryable() && error.may_have_run(), "{error:?}");
    assert!(cutter.next().await.1.contains(r#""ended":1"#), "the call ran");
    assert_eq!(cutter.more(), 0);
}

#[tokio::test]
async fn a_deletion_succeeds_after_a_lost_answer() {
    let world = World::new().await;
    world.backend().create_user("alice", UserFields::default()).await.unwrap();
    let mut cutter = Cutter::new(&world, 1).await;
    let backend = world.at(cutter.address).build().unwrap();
    backend.delete_user("alice").await.unwrap();
    assert_eq!(cutter.more(), 2);
    assert_eq!(backend.delete_user("alice").await.unwrap_err().code(), Some(code::USER_NOT_FOUND));

    let second = world.backend().create_api_key("second").await.unwrap();
    let cutter = Cutter::new(&world, 1).await;
    let backend = world.at(cutter.address).build().unwrap();
    backend.revoke_api_key(&second.id).await.unwrap();
    let again = backend.revoke_api_key(&second.id).await.unwrap_err();
    assert_eq!(again.code(), Some(code::API_KEY_NOT_FOUND));
}

#[tokio::test]
async fn attempts_are_bounded() {
    let world = World::new().await;
    let mut cutter = Cutter::new(&world, usize::MAX).await;
    let backend = world.at(cutter.address).retries(2).build().unwrap();
    let error = backend.app().await.unwrap_err();
    assert!(matches!(error, Error::Broken(_)), "{error:?}");
    assert_eq!(cutter.more(), 3);
}

/// Returns these answers in turn and records the requests.
async fn scripted(answers: Vec<String>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::channel(SEEN);
    tokio::spawn(async move {
        for answer in answers {
            let (mut tcp, _) = listener.accept().await.unwrap();
            seen.send(message(&mut tcp).await.unwrap()).await.unwrap();
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, requests)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

fn backend(address: SocketAddr) -> Backend {
    Backend::builder(format!("http://{address}"), "ck1_hunter2").build().unwrap()
}

const DONE: &str = r#"{"ok":true,"request_id":"x"}"#;

#[tokio::test]
async fn temporary_failures_are_retried_after_the_asked_delay() {
    let busy = r#"{"ok":false,"error":{"code":"BUSY","message":"later"},"request_id":"1"}"#;
    let (address, mut requests) = scripted(vec![
        answer("503 Service Unavailable", "retry-after: 0\r\n", "<html>no server behind the proxy</html>"),
        answer("429 Too Many Requests", "retry-after: 0\r\n", busy),
        answer("200 OK", "", DONE),
    ])
    .await;
    backend(address).delete_user("alice").await.unwrap();
    let first = requests.recv().await.unwrap();
    assert!(first.starts_with("POST /api/2.0/users.delete HTTP/1.1\r\n"), "{first}");
    assert_eq!(header(&first, "x-api-key"), Some("ck1_hunter2"));
    assert_eq!(header(&first, "content-type"), Some("application/json"));
    assert!(first.ends_with(r#"{"id":"alice"}"#), "{first}");

    let (address, _requests) =
        scripted(vec![answer("503 Service Unavailable", "retry-after: 3600\r\n", busy)]).await;
    let error = backend(address).app().await.unwrap_err();
    let Error::Refused(refusal) = &error else { panic!("{error:?}") };
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(3600)));
    assert!(error.is_retryable() && error.may_have_run());
}

#[tokio::test]
async fn answers_of_other_services_are_errors() {
    for (text, status) in [
        (answer("200 OK", "", "<html>welcome</html>"), 200),
        (answer("200 OK", "", r#"{"app":"ck1_hunter2"}"#), 200),
        (answer("308 Permanent Redirect", "location: http://192.0.2.1/\r\n", ""), 308),
        (answer("404 Not Found", "", "<html>no such page</html>"), 404),
    ] {
        let (address, _requests) = scripted(vec![text.clone()]).await;
        let error = backend(address).app().await.unwrap_err();
        let is_so = matches!(error, Error::NotTheApi { status: said, .. } if said == status);
        assert!(is_so && !error.is_retryable(), "{text}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn an_answer_that_is_not_ok_is_an_error_with_any_status() {
    let refusal = r#"{"ok":false,"error":{"code":"USER_NOT_FOUND","message":"none"},"request_id":"1"}"#;
    let (address, _requests) = scripted(vec![answer("200 OK", "", refusal)]).await;
    let error = backend(address).delete_user("alice").await.unwrap_err();
    assert_eq!(error.code(), Some(code::USER_NOT_FOUND));
    for body in [r#"{"ok":false}"#, "{}", r#"{"ok":1}"#] {
        let (address, _requests) = scripted(vec![answer("200 OK", "", body)]).await;
        let error = backend(address).delete_user("alice").await.unwrap_err();
        assert!(matches!(error, Error::NotTheApi { status: 200, .. }) && error.may_have_run(), "{error:?}");
    }
}

#[tokio::test]
async fn a_refused_retry_reports_that_the_first_attempt_may_have_run() {
    let exists = r#"{"ok":false,"error":{"code":"USER_EXISTS","message":"there"},"request_id":"1"}"#;
    for (first, may_have_run) in [
        (vec![answer("502 Bad Gateway", "retry-after: 0\r\n", "no server")], true),
        (vec![answer("429 Too Many Requests", "retry-after: 0\r\n", "slower")], false),
        (vec![], false),
    ] {
        let script = first.into_iter().chain([answer("409 Conflict", "", exists)]).collect();
        let (address, _requests) = scripted(script).await;
        let error = backend(address).create_user("alice", UserFields::default()).await.unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (Some(code::USER_EXISTS), may_have_run));
    }
}

#[tokio::test]
async fn errors_contain_no_secret() {
    let secrets = ["hunter2", "my-own-access-token"];
    let echo =
        r#"{"ok":false,"error":{"code":"X","message":"you sent ck1_hunter2\n"},"request_id":"ck1_hunter2"}"#;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut addresses = vec![nobody];
    for text in [
        answer("400 Bad Request", "", echo),
        "HTTP/1.1 200 O".into(),
        "garbage\r\n\r\n".into(),
        String::new(),
    ] {
        // Keep the receiver: the server stops when it is dropped.
        let (address, requests) = scripted(vec![text]).await;
        addresses.push(address);
        tokio::spawn(async move {
            let mut requests = requests;
            while requests.recv().await.is_some() {}
        });
    }
    for address in addresses {
        let backend =
            Backend::builder(format!("http://{address}"), "ck1_hunter2").retries(0).build().unwrap();
        let fields = UserFields { access_token: Some("my-own-access-token".into()), ..UserFields::default() };
        let error = backend.create_user("alice", fields).await.unwrap_err();
        let mut shown = format!("{error}\n{error:?}\n{error:#?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            shown = format!("{shown}\n{next}\n{next:?}");
            cause = next.source();
        }
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
        if address == nobody {
            let text = format!("cannot reach http://{address}: connection refused; is the server running?");
            assert_eq!(error.to_string(), text);
        }
    }
}

#[tokio::test]
async fn an_attempt_has_a_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limit = Duration::from_millis(50);
    let backend = Backend::builder(format!("http://{address}"), "ck1_key").attempt_timeout(limit).retries(1);
    let error = backend.build().unwrap().app().await.unwrap_err();
    assert!(matches!(error, Error::TimedOut(time) if time == limit), "{error:?}");
    assert!(error.is_retryable() && error.may_have_run());
}
