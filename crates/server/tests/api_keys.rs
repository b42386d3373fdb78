//! Managing API keys over the API, and its protection against wrong keys and endless bodies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_backend;
mod common;

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use api_backend::Backend;
use bytes::Bytes;
use chatcamp_server::{ApiService, AuthPolicy};
use common::World;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_service::Service;

fn request<B>(method: &str, key: &str, body: B) -> Request<B> {
    let request = Request::post(format!("/api/2.0/{method}")).header("x-api-key", key);
    request.header("content-type", "application/json").body(body).unwrap()
}

async fn body(answer: Response<Full<Bytes>>) -> Value {
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn keys_are_created_listed_and_revoked_except_the_last() {
    let mut backend = Backend::new().await;
    let names = async |backend: &Backend| {
        let listed = backend.call("app.keys.list", json!({})).await.ok();
        assert!(!listed.to_string().contains("ck1_"), "{listed}");
        let keys = listed["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&backend).await, ["default", "test"]);
    let created = backend.call("app.keys.create", json!({"name": "the shop"})).await.ok();
    assert_eq!(names(&backend).await, ["default", "test", "the shop"]);

    // The new key revokes all others, and then cannot revoke itself.
    backend.key = created["key"].as_str().unwrap().to_owned();
    let listed = backend.call("app.keys.list", json!({})).await.ok();
    let ids: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
    assert_eq!(ids[2], created["id"]);
    for (id, refused) in [
        (&ids[0], (200, "none")),
        (&ids[0], (404, "API_KEY_NOT_FOUND")),
        (&ids[1], (200, "none")),
        (&ids[1], (404, "API_KEY_NOT_FOUND")),
        (&ids[2], (409, "LAST_API_KEY")),
    ] {
        let answer = backend.call("app.keys.revoke", json!({"id": id})).await;
        assert_eq!(answer.refused(), refused, "{id}");
    }
    assert_eq!(names(&backend).await, ["the shop"]);

    // If another key exists, a key can revoke itself.
    let another = backend.call("app.keys.create", json!({"name": "next"})).await.ok();
    backend.call("app.keys.revoke", json!({"id": ids[2]})).await.ok();
    assert_eq!(backend.call("app.get", json!({})).await.refused(), (401, "API_KEY_INVALID"));
    backend.key = another["key"].as_str().unwrap().to_owned();
    assert_eq!(names(&backend).await, ["next"]);
    for name in ["", &"x".repeat(256)] {
        let answer = backend.call("app.keys.create", json!({"name": name})).await;
        assert_eq!(answer.refused(), (400, "INVALID_FIELD"));
    }
    backend.world.close().await;
}

#[tokio::test]
async fn two_keys_that_revoke_each_other_leave_one_key() {
    let backend = Backend::new().await;
    let listed = backend.call("app.keys.list", json!({})).await.ok();
    let [first, second] = [0, 1].map(|n| json!({"id": listed["keys"][n]["id"]}));
    let (one, other) =
        tokio::join!(backend.call("app.keys.revoke", first), backend.call("app.keys.revoke", second));
    let refused = [one.refused(), other.refused()];
    assert!(refused.contains(&(200, "none")), "{refused:?}");
    assert!(!refused.iter().all(|refused| refused.0 == 200), "{refused:?}");
    assert_eq!(backend.world.accounts.api_keys(&backend.world.app).await.unwrap().len(), 1);
    backend.world.close().await;
}

#[tokio::test]
async fn an_app_has_a_limited_number_of_keys() {
    let backend = Backend::new().await;
    for n in 2..100 {
        backend.call("app.keys.create", json!({"name": n})).await.ok();
    }
    let full = backend.call("app.keys.create", json!({"name": "one more"})).await;
    assert_eq!(full.refused(), (403, "API_KEY_LIMIT_REACHED"));
    assert_eq!(backend.call("app.keys.list", json!({})).await.ok()["keys"].as_array().unwrap().len(), 100);
    backend.world.close().await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_wrong_keys_do_not_delay_a_valid_key() {
    let world = World::open().await;
    let key = world.accounts.create_api_key(&world.app, "test").await.unwrap().key;
    let mut api = ApiService::new(world.server.clone());
    let mut wrong: Vec<_> = (0..10_000)
        .map(|n| api.call(request("app.get", &format!("ck1_wrong{n}"), Full::<Bytes>::default())))
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    let (mut refused, mut too_many) = (0, 0);
    let held = wrong.iter_mut().filter_map(|asking| match asking.as_mut().poll(&mut context) {
        Poll::Ready(answer) => {
            let answer = answer.unwrap();
            match answer.status().as_u16() {
                401 => refused += 1,
                429 => {
                    assert!(answer.headers().contains_key("retry-after"));
                    too_many += 1;
                }
                other => panic!("{other}"),
            }
            None
        }
        Poll::Pending => Some(asking),
    });
    let held: Vec<_> = held.collect();
    // The burst of the rate of failed credentials is answered at once, and a limited number of answers is delayed.
    assert_eq!((refused, held.len(), too_many), (20, 1024, 10_000 - 20 - 1024));

    let began = Instant::now();
    for _ in 0..100 {
        let answer = api.call(request("app.get", &key, Full::<Bytes>::default())).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "a right key does not wait");
    for asking in held {
        let answer = asking.await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    assert_eq!(began.elapsed().as_secs(), 5, "the answer to a wrong key does");
    // The last answers were delayed by 5 s, and the rate allows the next ones after that time.
    for n in 1..=10 {
        let wrong = api.call(request("app.get", "ck1_wrong", Full::<Bytes>::default()));
        assert_eq!(wrong.await.unwrap().status(), 401);
        assert_eq!(began.elapsed().as_millis(), 5000 + 200 * n, "five a second, one after the other");
    }
}

/// A body with this declared length that never arrives.
struct Late(u64);

impl Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn missing_bodies_take_limited_memory_and_time() {
    let world = World::open().await;
    let key = world.accounts.create_api_key(&world.app, "test").await.unwrap().key;
    let mut api = ApiService::new(world.server.clone());
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting = Vec::new();
    let refused = loop {
        let mut asking = api.call(request("app.get", &key, Late(64 * 1024)));
        match asking.as_mut().poll(&mut context) {
            Poll::Pending => waiting.push(asking),
            Poll::Ready(answer) => break answer.unwrap(),
        }
        assert!(waiting.len() < 100_000, "the API accepts bodies without a limit");
    };
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(body(refused).await["error"]["code"], "OVERLOADED");
    let empty = api.call(request("app.get", &key, Full::<Bytes>::default())).await.unwrap();
    assert_eq!(empty.status(), 200, "a request without a body needs no memory for bodies");
    let other = world.accounts.create_app("other", AuthPolicy::Open, None).await.unwrap().id;
    let others = world.accounts.create_api_key(&other, "test").await.unwrap().key;
    let served = api.call(request("app.get", &others, Full::<Bytes>::from("{}"))).await.unwrap();
    assert_eq!(served.status(), 200, "one app can use only half of the memory");

    let late = waiting.pop().unwrap().await.unwrap();
    assert_eq!(late.status(), 400);
    assert_eq!(body(late).await["error"]["code"], "INVALID_BODY");
    let mut asking = api.call(request("app.get", &key, Late(64 * 1024)));
    assert!(asking.as_mut().poll(&mut context).is_pending(), "its memory is free again");
    // The server does not wait for the body of a request with a wrong key.
    let wrong = api.call(request("app.get", "wrong", Late(64 * 1024))).await.unwrap();
    assert_eq!(wrong.status(), 401);
}
