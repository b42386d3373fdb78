//! The rate of the requests of a session, in both dialects, over memory and in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use chatcamp_protocol::{
    Code,
    request::{Ping, Request as _, TYPES},
};
use chatcamp_server::{AuthPolicy, Limits, NewUser, Rate};
use common::{Peer, World, user};
use serde_json::{Value, json};
use tokio::time::sleep;

const BURST: usize = 100;
/// The requests that are refused before the connection ends.
const REFUSED: usize = 3 * BURST;
/// The time for one more request, and for the whole burst.
const INTERVAL: Duration = Duration::from_millis(50);
const WINDOW: Duration = Duration::from_secs(5);

impl World {
    /// Connects in the published dialect; returns the session key too.
    async fn published_user(&self, id: &str) -> (Peer, String) {
        let mut peer = self.published(&format!("app_id={}&user_id={id}", self.app)).await;
        let key = peer.recv().await["d"]["session_key"].as_str().unwrap().to_owned();
        (peer, key)
    }
}

/// Sends a request of this type. Returns the body of its acknowledgement.
async fn request(peer: &mut Peer, t: &str) -> Value {
    let d = match t {
        "users.block" => json!({"block_id": "bob"}),
        "users.unblock" => json!({"unblock_id": "bob"}),
        "users.refresh" => json!({"access_token": "no such token"}),
        _ => json!({}),
    };
    peer.request(t, d).await
}

fn code(d: &Value) -> Option<&str> {
    d["error"]["code"].as_str()
}

/// Asserts that a request was refused for the rate, and returns the time to wait.
fn assert_too_fast(d: &Value) -> Duration {
    assert_eq!((&d["ok"], code(d)), (&json!(false), Some("RATE_LIMITED")), "{d}");
    Duration::from_millis(d["error"]["retry_after_ms"].as_u64().unwrap())
}

/// Sends `count` requests, which are refused for the rate.
async fn send_refused(peer: &mut Peer, count: usize) {
    for _ in 0..count {
        assert_too_fast(&request(peer, "users.get").await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_each_type_is_answered_up_to_the_burst_and_refused_beyond() {
    let mut limits = Limits::default();
    limits.connects_per_user = None;
    // Otherwise wrong tokens are answered more slowly than the rate of requests allows.
    limits.failed_credentials = None;
    let world = World::new(AuthPolicy::Open, limits).await;
    world.accounts.create_user(&world.app, &user("bob"), NewUser::default()).await.unwrap();
    for is_native in [true, false] {
        for t in TYPES.iter().copied().chain(["no.such.type"]).filter(|&t| t != Ping::TYPE) {
            let mut alice =
                if is_native { world.connect("alice").await } else { world.published_user("alice").await.0 };
            let expected = code(&request(&mut alice, t).await).map(str::to_owned);
            assert_ne!(expected.as_deref(), Some("RATE_LIMITED"), "{t}");
            for _ in 1..BURST {
                assert_eq!(code(&request(&mut alice, t).await), expected.as_deref(), "{t}");
            }
            for _ in 0..20 {
                assert_eq!(assert_too_fast(&request(&mut alice, t).await), INTERVAL, "{t}");
            }
            sleep(INTERVAL).await;
            assert_eq!(code(&request(&mut alice, t).await), expected.as_deref(), "{t}");
            assert_too_fast(&request(&mut alice, t).await);
        }
    }
    world.at_rest().await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_not_carried_out() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    for n in 1..=BURST + 1 {
        let d = alice.request("users.update", json!({"display_name": n.to_string()})).await;
        assert_eq!(d["ok"], n <= BURST, "{d}");
    }
    let stored = world.accounts.user(&world.app, &user("alice")).await.unwrap();
    assert_eq!(stored.profile.display_name, BURST.to_string());
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_as_told_is_served() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    let mut served = 0;
    while served < 3 * BURST {
        let d = request(&mut alice, "users.get").await;
        if d["ok"] == true {
            served += 1;
        } else {
            sleep(assert_too_fast(&d)).await;
        }
    }
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_ends_the_connection_and_the_session_resumes_after_the_wait() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    for _ in 0..BURST {
        assert_eq!(request(&mut alice, "users.get").await["ok"], true);
    }
    send_refused(&mut alice, REFUSED).await;
    // The request that ends the connection is acknowledged too.
    send_refused(&mut alice, 1).await;
    let close = alice.recv().await;
    assert_eq!((&close["t"], &close["d"]["code"]), (&json!("session.close"), &json!("RATE_LIMITED")));
    assert_eq!((&close["d"]["advice"], &close["d"]["retry_after_ms"]), (&json!("retry"), &json!(5000)));
    alice.closed_with(Code::RateLimited).await;

    let seen = (BURST + REFUSED + 1) as u64;
    for wait in [Duration::ZERO, WINDOW - Duration::from_millis(1)] {
        sleep(wait).await;
        assert_eq!(world.resume("alice", None, alice.hint(seen)).await.unwrap_err(), "RATE_LIMITED");
    }
    world.tell("alice", 1..=1).await;
    sleep(Duration::from_millis(1)).await;
    let mut again = world.resume("alice", None, alice.hint(seen)).await.unwrap();
    again.resumed(1, seen);
    again.receive_events(1..=1, seen + 1).await;
    for _ in 0..BURST {
        assert_eq!(request(&mut again, "users.get").await["ok"], true);
    }
    send_refused(&mut again, REFUSED).await;
    drop((alice, again));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_refused_a_few_requests_resumes_at_once() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    for _ in 0..BURST {
        request(&mut alice, "users.get").await;
    }
    send_refused(&mut alice, REFUSED - 1).await;
    let hint = alice.hint((BURST + REFUSED - 1) as u64);
    world.cut(alice).await;
    let mut again = world.resume("alice", None, hint).await.unwrap();
    assert_eq!(again.fresh(), None);
    assert_too_fast(&request(&mut again, "users.get").await);
    drop(again);
    world.close().await;
}

/// The published SDK reconnects a second after the close. Any message would make it reconnect every second.
#[tokio::test(start_paused = true)]
async fn a_published_client_that_floods_gets_the_close_alone_until_the_wait_is_over() {
    let world = World::open().await;
    let (mut alice, key) = world.published_user("alice").await;
    for _ in 0..BURST {
        assert_eq!(request(&mut alice, "users.get").await["ok"], true);
    }
    send_refused(&mut alice, REFUSED + 1).await;
    alice.closed_with(Code::RateLimited).await;
    world.tell("alice", 1..=1).await;
    for delay in [1, 2] {
        sleep(Duration::from_secs(delay)).await;
        let mut early = world.published(&format!("session_key={key}")).await;
        early.closed_with(Code::RateLimited).await;
    }
    sleep(Duration::from_secs(4)).await;
    let mut again = world.published(&format!("session_key={key}")).await;
    assert_eq!(again.recv().await["d"]["ok"], true);
    assert_eq!(again.recv().await["d"]["data"], 1, "the session went on");
    assert_eq!(request(&mut again, "users.get").await["ok"], true);
    drop((alice, again));
    world.close().await;
}

/// Such pings are as many as others cause.
#[tokio::test(start_paused = true)]
async fn pings_that_acknowledge_deliveries_do_not_count() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    let mut seen = 0;
    for n in 0..2 * (BURST + REFUSED) as u64 {
        world.tell("alice", 2 * n + 1..=2 * n + 2).await;
        alice.receive_events(2 * n + 1..=2 * n + 2, seen + 1).await;
        seen += 2;
        assert_eq!(alice.request("ping", json!({ "seen": seen })).await["ok"], true);
        seen += 1;
    }
    for _ in 0..BURST {
        assert_eq!(request(&mut alice, "users.get").await["ok"], true);
    }
    assert_too_fast(&request(&mut alice, "users.get").await);
    drop(alice);
    world.close().await;
}

/// Each of these pings acknowledges the acknowledgement of the one before, which only its client caused.
#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_is_answered_and_ends_the_connection() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    for seen in 0..=(BURST + REFUSED) as u64 {
        assert_eq!(alice.request("ping", json!({ "seen": seen })).await["ok"], true);
    }
    alice.ended_with(Code::RateLimited).await;

    let (mut bob, _) = world.published_user("bob").await;
    for _ in 0..=BURST + REFUSED {
        bob.send(r#"{"t":"ping","r":1}"#).await;
    }
    bob.closed_with(Code::RateLimited).await;
    drop((alice, bob));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn each_session_has_its_own_rate_and_the_limit_can_be_changed_and_switched_off() {
    let mut limits = Limits::default();
    limits.requests = Some(Rate { per_second: 1, burst: 2 });
    let world = World::new(AuthPolicy::Open, limits).await;
    let (mut one, mut two) = (world.connect("alice").await, world.connect("alice").await);
    for peer in [&mut one, &mut two] {
        for _ in 0..2 {
            assert_eq!(request(peer, "users.get").await["ok"], true);
        }
        assert_eq!(assert_too_fast(&request(peer, "users.get").await), Duration::from_secs(1));
    }
    drop((one, two));
    world.close().await;

    let world = World::without_request_rate().await;
    let mut alice = world.connect("alice").await;
    for _ in 0..2 * (BURST + REFUSED) {
        assert_eq!(request(&mut alice, "users.get").await["ok"], true);
    }
    drop(alice);
    world.close().await;
}
