//! The rate of Platform API calls with one key, over the `tower` service and in paused time.

#![cfg(feature = "api")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use chatcamp_server::{ApiService, AuthPolicy, Limits, Rate};
use common::{World, user};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower_service::Service as _;

/// A caller with an API key.
struct Caller {
    api: ApiService,
    key: String,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Caller {
    async fn new(world: &World) -> Self {
        let key = world.accounts.create_api_key(&world.app, "test").await.unwrap().key;
        Self { api: ApiService::new(world.server.clone()), key }
    }

    async fn call(&mut self, method: &str, body: Value) -> Answer {
        self.send(Request::post(format!("/api/2.0/{method}")), body).await
    }

    async fn send(&mut self, request: http::request::Builder, body: Value) -> Answer {
        let request = request.header("x-api-key", &self.key).header("content-type", "application/json");
        let request = request.body(Full::<Bytes>::from(body.to_string())).unwrap();
        let (head, body) = self.api.call(request).await.unwrap().into_parts();
        let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts that the call was refused for the rate, and returns the time to wait.
    fn assert_too_fast(&self) -> Duration {
        assert_eq!(
            (self.status, &self.body["error"]["code"]),
            (429, &json!("RATE_LIMITED")),
            "{}",
            self.body
        );
        assert_eq!(self.body["ok"], false);
        let wait = self.header("retry-after").unwrap().parse().unwrap();
        assert!(wait > 0);
        assert_eq!(self.header("ratelimit").unwrap(), format!(r#""key";r=0;t={wait}"#));
        Duration::from_secs(wait)
    }
}

async fn world(api_calls: Option<Rate>) -> World {
    let mut limits = Limits::default();
    limits.api_calls = api_calls;
    World::new(AuthPolicy::Open, limits).await
}

#[tokio::test(start_paused = true)]
async fn calls_above_the_rate_are_refused_and_not_carried_out() {
    let world = World::open().await;
    let mut backend = Caller::new(&world).await;
    for n in 0..1000 {
        let answer = backend.call("users.upsert", json!({"id": "ann", "display_name": n.to_string()})).await;
        assert_eq!(answer.status, 200, "{n}: {}", answer.body);
        assert_eq!(answer.header("ratelimit-policy"), Some(r#""key";q=1000;w=2"#));
        let rate = format!(r#""key";r={};t={}"#, 999 - n, (n + 500) / 500);
        assert_eq!(answer.header("ratelimit"), Some(rate.as_str()), "{n}");
        assert_eq!(answer.header("retry-after"), None);
    }
    let refused = backend.call("users.upsert", json!({"id": "ann", "display_name": "too much"})).await;
    let wait = refused.assert_too_fast();
    assert_eq!(wait, Duration::from_secs(1));
    assert_eq!(refused.header("ratelimit-policy"), Some(r#""key";q=1000;w=2"#));
    let stored = world.accounts.user(&world.app, &user("ann")).await.unwrap();
    assert_eq!(stored.profile.display_name, "999");

    sleep(wait).await;
    for _ in 0..500 {
        assert_eq!(backend.call("users.get", json!({"id": "ann"})).await.status, 200);
    }
    backend.call("users.get", json!({"id": "ann"})).await.assert_too_fast();
    drop(backend);
    world.close().await;
}

/// A refusal for the rate may be answered differently later, so it is not what a repeated call gets.
#[tokio::test(start_paused = true)]
async fn a_refused_call_with_an_idempotency_key_is_carried_out_when_it_is_repeated() {
    let world = world(Some(Rate { per_second: 1, burst: 1 })).await;
    let mut backend = Caller::new(&world).await;
    let create = || Request::post("/api/2.0/users.create").header("idempotency-key", "one");
    assert_eq!(backend.call("app.get", json!({})).await.status, 200);
    let wait = backend.send(create(), json!({"id": "ann"})).await.assert_too_fast();
    sleep(wait).await;
    let created = backend.send(create(), json!({"id": "ann"})).await;
    assert_eq!((created.status, created.header("idempotency-replayed")), (200, None), "{}", created.body);
    sleep(wait).await;
    let repeated = backend.send(create(), json!({"id": "ann"})).await;
    assert_eq!((repeated.status, repeated.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(repeated.header("ratelimit"), Some(r#""key";r=0;t=1"#), "its own, and not those of the first");
    drop(backend);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_rate_and_calls_that_fail_count() {
    let world = world(Some(Rate { per_second: 1, burst: 2 })).await;
    let (mut one, mut two) = (Caller::new(&world).await, Caller::new(&world).await);
    for backend in [&mut one, &mut two] {
        assert_eq!(backend.call("no.such.method", json!({})).await.status, 404);
        assert_eq!(backend.call("users.get", json!({"id": "nobody"})).await.status, 404);
        backend.call("app.get", json!({})).await.assert_too_fast();
    }
    // Callers without a valid key have no rate, and learn none.
    for key in ["", "ck1_wrong"] {
        let mut stranger = Caller { api: one.api.clone(), key: key.into() };
        let answer = stranger.call("app.get", json!({})).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (401, None));
    }
    drop((one, two));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_calls_can_be_switched_off() {
    let world = world(None).await;
    let mut backend = Caller::new(&world).await;
    for _ in 0..2500 {
        let answer = backend.call("app.get", json!({})).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
    }
    drop(backend);
    world.close().await;
}
