//! Idempotency keys: a repeated request runs once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_backend;
mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api_backend::{Answer, Backend, receive};
use chatcamp_protocol::AppId;
use chatcamp_server::{AuthPolicy, Clock, Limits};
use chatcamp_store::{ApiKey, App, MockStore, StoreError};
use common::World;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

const REPLAYED: &str = "idempotency-replayed";

/// Calls a method with JSON and an idempotency key.
async fn call(backend: &Backend, method: &str, key: &str, body: &str) -> Answer {
    let headers =
        format!("x-api-key: {{KEY}}\r\ncontent-type: application/json\r\nIdempotency-Key: {key}\r\n");
    backend.post(&format!("/api/2.0/{method}"), &headers, body).await
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    let backend = Backend::new().await;
    let mut peer = backend.world.connect("ann").await;
    for (method, body) in [
        ("users.create", r#"{"id":"zoe"}"#),
        ("users.upsert", r#"{"id":"zed","display_name":"Zed"}"#),
        ("users.issue_token", r#"{"id":"zoe"}"#),
        ("users.issue_token", r#"{"id":"nobody"}"#),
        ("app.keys.create", r#"{"name":"k"}"#),
        ("users.publish", r#"{"id":"ann","type":"x","data":1}"#),
    ] {
        let key = format!("{method}/{body}");
        let first = call(&backend, method, &key, body).await;
        let again = call(&backend, method, &key, body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{method}");
        assert_eq!(again.header("x-request-id"), first.header("x-request-id"));
        assert_eq!(again.header(REPLAYED), Some("true"), "{method}");
    }
    // The request ran once, so its event arrives once.
    assert_eq!(peer.recv().await["t"], "app.event.pub");
    assert_eq!(peer.request("ping", json!({})).await["ok"], true);
    assert_eq!(backend.world.accounts.api_keys(&backend.world.app).await.unwrap().len(), 3);
    let fresh = call(&backend, "users.create", "another", r#"{"id":"zoe"}"#).await;
    assert_eq!((fresh.refused(), fresh.header(REPLAYED)), ((409, "USER_EXISTS"), None));
    drop(peer);
    backend.world.close().await;
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_app() {
    let backend = Backend::new().await;
    let first = call(&backend, "users.create", "k", r#"{"id":"zoe"}"#).await;
    assert_eq!((first.status, first.header(REPLAYED)), (200, None));
    for (method, body) in [
        ("users.create", r#"{"id":"zed"}"#),
        ("users.create", r#"{"id": "zoe"}"#),
        ("users.create", ""),
        ("users.upsert", r#"{"id":"zoe"}"#),
    ] {
        let answer = call(&backend, method, "k", body).await;
        assert_eq!(answer.refused(), (422, "IDEMPOTENCY_KEY_REUSED"), "{method} {body}");
    }
    // A method that accepts no key ignores it.
    for _ in 0..2 {
        let got = call(&backend, "users.get", "k", r#"{"id":"zoe"}"#).await;
        assert_eq!((got.status, got.header(REPLAYED)), (200, None));
    }
    let accounts = &backend.world.accounts;
    let other = accounts.create_app("other", AuthPolicy::Open, None).await.unwrap().api_key.key;
    let headers = format!("x-api-key: {other}\r\ncontent-type: application/json\r\nidempotency-key: k\r\n");
    let answer = backend.post("/api/2.0/users.create", &headers, r#"{"id":"zoe"}"#).await;
    assert_eq!((answer.status, answer.header(REPLAYED)), (200, None), "idempotency keys belong to one app");
    assert_ne!(answer.body["access_token"], first.body["access_token"]);
    // Idempotency keys belong to the app, whichever API key is used. A wrong API key gets no answer.
    let next = accounts.create_api_key(&backend.world.app, "next").await.unwrap().key;
    for (key, status) in [(next.as_str(), 200), ("wrong", 401)] {
        let headers = format!("x-api-key: {key}\r\ncontent-type: application/json\r\nidempotency-key: k\r\n");
        let answer = backend.post("/api/1.0/users.create", &headers, r#"{"id":"zoe"}"#).await;
        assert_eq!(answer.status, status);
    }
    for bad in ["", "a b", &"x".repeat(256), "\u{e9}", "k\r\nIdempotency-Key: k"] {
        let answer = call(&backend, "users.create", bad, r#"{"id":"zac"}"#).await;
        assert_eq!(answer.refused(), (400, "INVALID_IDEMPOTENCY_KEY"), "{bad}");
    }
    let longest = "~".repeat(255);
    assert_eq!(call(&backend, "users.create", &longest, r#"{"id":"zac"}"#).await.status, 200);
    backend.world.close().await;
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let now = Arc::new(AtomicU64::new(1_800_000_000));
    let clock = Clock::new({
        let now = now.clone();
        move || now.load(Ordering::Relaxed)
    });
    let backend = Backend::of(World::open_at(clock).await).await;
    for (later, status) in [(0, 200), (86_399, 200), (1, 409), (86_399, 409)] {
        now.fetch_add(later, Ordering::Relaxed);
        assert_eq!(call(&backend, "users.create", "k", r#"{"id":"zoe"}"#).await.status, status, "{later}");
    }
    backend.world.close().await;
}

#[tokio::test]
async fn a_retryable_failure_is_not_kept() {
    let mut store = MockStore::new();
    store.expect_create_app().returning(|_| Ok(true));
    store.expect_create_api_key().returning(|_| Ok(true));
    store.expect_on_change().returning(|_| ());
    store.expect_app().returning(|id| Ok(Some(Arc::new(App::new(id.clone(), "test", AuthPolicy::Open, 0)))));
    store.expect_api_key_by_digest().returning(|digest| {
        let (id, name, app) = ("k".into(), "k".into(), AppId::new("app").unwrap());
        Ok(Some(ApiKey { id, app, name, digest: *digest, created_at: 0 }))
    });
    let calls = AtomicU64::new(0);
    store.expect_create_user().returning(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Err(StoreError::unavailable("the disk is full")),
        1 => Err(StoreError::UserLimit),
        _ => panic!("it was answered"),
    });
    let mut limits = Limits::default();
    limits.drain = Duration::from_millis(250);
    let backend = Backend::of(World::over(Arc::new(store), AuthPolicy::Open, limits).await).await;
    for (refused, replayed) in [
        ((503, "STORE_UNAVAILABLE"), None),
        ((403, "USER_LIMIT_REACHED"), None),
        ((403, "USER_LIMIT_REACHED"), Some("true")),
    ] {
        let answer = call(&backend, "users.create", "k", r#"{"id":"zoe"}"#).await;
        assert_eq!((answer.refused(), answer.header(REPLAYED)), (refused, replayed));
    }
    backend.world.close().await;
}

#[tokio::test]
async fn a_request_repeated_after_a_lost_connection_gets_the_first_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let store = Arc::new(chatcamp_store::sqlite::Store::open(&file).unwrap());
    let mut limits = Limits::default();
    limits.drain = Duration::from_millis(250);
    let backend = Backend::of(World::over(store, AuthPolicy::Open, limits).await).await;
    // The request waits for the store while another one writes.
    let writer = rusqlite::Connection::open(&file).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();

    let body = r#"{"id":"zoe"}"#;
    let request = format!(
        "POST /api/2.0/users.create HTTP/1.1\r\nHost: h\r\nx-api-key: {}\r\nContent-Type: application/json\r\n\
         Idempotency-Key: k\r\nContent-Length: {}\r\n\r\n{body}",
        backend.key,
        body.len(),
    );
    let mut asking = Vec::new();
    for _ in 0..2 {
        let mut tcp = TcpStream::connect(backend.address).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        asking.push(tcp);
    }
    let [one, other] = &mut asking[..] else { panic!("two ask") };
    let answer = tokio::select! {
        answer = receive(one) => answer,
        answer = receive(other) => answer,
    };
    assert_eq!(answer.refused(), (409, "REQUEST_IN_PROGRESS"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    // The connection of the first request ends without an answer.
    drop(asking);
    writer.execute_batch("COMMIT").unwrap();
    let answer = loop {
        let answer = call(&backend, "users.create", "k", body).await;
        if answer.status != 409 {
            break answer;
        }
        assert_eq!(answer.refused().1, "REQUEST_IN_PROGRESS");
    };
    assert_eq!((answer.status, answer.header(REPLAYED)), (200, Some("true")), "{answer:?}");
    assert_eq!(answer.body["claimed"], false);
    backend.world.close().await;
}
