//! The rates of connects and failed credentials, over memory and in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use chatcamp_protocol::{AccessToken, Code};
use chatcamp_server::{AuthPolicy, ChatService, Limits, Rate};
use chatcamp_transport::{Connection, memory};
use common::{Peer, World, set_clock, user};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};
use tower_service::Service as _;

const OFFICE: &str = "192.0.2.1";
const WRONG: &str = "a wrong token, but long enough";

/// Returns limits without rates.
fn no_rates() -> Limits {
    let mut limits = Limits::default();
    limits.connections_per_address = None;
    limits.failed_credentials = None;
    limits.connects_per_user = None;
    limits
}

fn connections(per_second: u32, burst: u32) -> Limits {
    let mut limits = no_rates();
    limits.connections_per_address = Some(Rate { per_second, burst });
    limits
}

fn failures(per_second: u32, burst: u32) -> Limits {
    let mut limits = no_rates();
    limits.failed_credentials = Some(Rate { per_second, burst });
    limits
}

/// Opens a connection from an address.
fn dial(world: &World, address: &str, query: Option<String>) -> Connection {
    let (client, server) = memory::pair();
    let (carrier, mut info) = server.into_parts();
    info.peer = Some(SocketAddr::new(address.parse().unwrap(), 1));
    info.query = query;
    tokio::spawn(world.server.serve(Connection::from_parts(carrier, info)));
    client
}

async fn connect(world: &World, address: &str, id: &str, token: Option<&str>) -> Result<Peer, String> {
    Peer::native(dial(world, address, None), &world.app, id, token.map(AccessToken::from).as_ref()).await
}

/// Connects in the published dialect. Returns the first message; `None` if the connection is closed without one.
async fn published(world: &World, address: &str, query: String) -> Option<Value> {
    let mut client = dial(world, address, Some(query));
    let message = client.recv().await.ok()?;
    Some(serde_json::from_str(message.as_str()).unwrap())
}

fn seconds(since: Instant) -> u64 {
    since.elapsed().as_millis().div_ceil(1000) as u64
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_over_the_rate_of_its_address_is_told_when_to_return() {
    let world = World::new(AuthPolicy::Open, connections(10, 3)).await;
    for n in 0..3 {
        connect(&world, OFFICE, &format!("user{n}"), None).await.unwrap();
    }
    // Each refused client gets another time.
    for wait in [100, 200, 300] {
        let mut client = Peer { connection: dial(&world, OFFICE, None), requests: 0, ack: Value::Null };
        let close = client.recv().await;
        assert_eq!((&close["t"], &close["d"]["code"]), (&json!("session.close"), &json!("RATE_LIMITED")));
        assert_eq!((&close["d"]["advice"], &close["d"]["retry_after_ms"]), (&json!("retry"), &json!(wait)));
        client.closed_with(Code::RateLimited).await;
    }
    let query = format!("app_id={}&user_id=user9", world.app);
    assert_eq!(
        published(&world, OFFICE, query.clone()).await,
        None,
        "the published SDK retries after a close"
    );

    for other in ["192.0.2.2", "2001:db8::1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "::1"] {
        connect(&world, other, "user9", None).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(published(&world, OFFICE, query).await.unwrap()["d"]["ok"], true);
    connect(&world, OFFICE, "user9", None).await.unwrap();
    assert_eq!(connect(&world, OFFICE, "user9", None).await.unwrap_err(), "RATE_LIMITED");
}

#[tokio::test(start_paused = true)]
async fn an_exempt_network_has_no_rate() {
    let mut limits = connections(10, 1);
    let exempt = ["192.0.2.0/24", "2001:db8:1::/48", "::ffff:198.51.100.0/120"];
    limits.rate_exempt = exempt.map(|network| network.parse().unwrap()).to_vec();
    let world = World::new(AuthPolicy::Open, limits).await;
    for address in [OFFICE, "::ffff:192.0.2.1", "2001:db8:1::7", "198.51.100.9"] {
        for _ in 0..3 {
            connect(&world, address, "alice", None).await.unwrap();
        }
    }
    connect(&world, "2001:db8:2::7", "alice", None).await.unwrap();
    let refused = connect(&world, "2001:db8:2::8", "alice", None).await.unwrap_err();
    assert_eq!(refused, "RATE_LIMITED", "a /64 is one address");
}

async fn poll(
    service: &mut ChatService,
    world: &World,
    id: &str,
    user: &str,
) -> Response<Full<bytes::Bytes>> {
    let target = format!("/chat/2.0?app_id={}&user_id={user}", world.app);
    let request = Request::get(target).header("iflychat-token", id).header("origin", "https://a.example");
    service.call(request.body(Full::<bytes::Bytes>::default()).unwrap()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_connection_counts_once_and_is_refused_with_a_time_to_wait() {
    let world = World::new(AuthPolicy::Open, connections(1, 2)).await;
    let mut service =
        ChatService::new(world.server.clone()).for_peer(SocketAddr::new(OFFICE.parse().unwrap(), 1));
    for id in ["one", "two"] {
        assert_eq!(poll(&mut service, &world, id, id).await.status(), 200);
    }
    let refused = poll(&mut service, &world, "three", "three").await;
    assert_eq!(refused.status(), 429);
    let header = |name: &str| refused.headers()[name].to_str().unwrap();
    assert_eq!(header("retry-after"), "1");
    assert_eq!(header("access-control-allow-origin"), "https://a.example");
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"], "RATE_LIMITED");
    // Polls of a connection that exists are not counted: the next connection is allowed after a second.
    for _ in 0..5 {
        world.server.publish(&world.app, &chatcamp_server::Recipients::All, "x", &json!(1)).await.unwrap();
        assert_eq!(poll(&mut service, &world, "one", "one").await.status(), 200);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(poll(&mut service, &world, "four", "four").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn connects_of_one_user_over_the_rate_are_deferred() {
    let mut limits = no_rates();
    limits.connects_per_user = Some(Rate { per_second: 5, burst: 2 });
    let world = World::new(AuthPolicy::Open, limits).await;
    for _ in 0..2 {
        world.connect("alice").await;
    }
    assert_eq!(world.try_connect("alice", None).await.unwrap_err(), "RATE_LIMITED");
    let query = format!("app_id={}&user_id=alice", world.app);
    assert_eq!(published(&world, OFFICE, query).await, None);
    world.connect("bob").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.connect("alice").await;
}

/// Wrong tokens for one user, from one address or from many.
#[tokio::test(start_paused = true)]
async fn guesses_are_answered_slowly_and_the_right_token_at_once() {
    for of_one_user in [true, false] {
        let world = World::new(AuthPolicy::Open, failures(5, 10)).await;
        let token = world.user("alice").await;
        let began = Instant::now();
        let mut guesses = JoinSet::new();
        for n in 0..30_u8 {
            let (id, address) = if of_one_user {
                ("alice".to_owned(), format!("192.0.2.{n}"))
            } else {
                (format!("user{n}"), OFFICE.to_owned())
            };
            let (client, app) = (dial(&world, &address, None), world.app.clone());
            guesses.spawn(async move {
                let token = AccessToken::from(WRONG);
                (Peer::native(client, &app, &id, Some(&token)).await.unwrap_err(), began.elapsed())
            });
        }
        tokio::task::yield_now().await;
        let own = connect(&world, OFFICE, "alice", Some(token.expose())).await.unwrap();
        assert_eq!((began.elapsed(), &own.ack["ok"]), (Duration::ZERO, &json!(true)));
        let mut answers = guesses.join_all().await;
        answers.sort_by_key(|answer| answer.1);
        assert!(answers.iter().all(|answer| answer.0 == "ACCESS_TOKEN_INVALID"), "{answers:?}");
        let at_once = answers.iter().filter(|answer| answer.1.is_zero()).count();
        assert_eq!((at_once, seconds(began)), (10, 4), "the burst, and then five a second");
        let spaces = answers[10..].windows(2).map(|two| (two[1].1 - two[0].1).as_millis());
        assert!(spaces.clone().all(|space| space == 200), "{:?}", spaces.collect::<Vec<_>>());
        // Guessing one at a time is slow too.
        for _ in 0..5 {
            connect(&world, OFFICE, "alice", Some(WRONG)).await.unwrap_err();
        }
        assert_eq!(seconds(began), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_guess_is_slow() {
    let world = World::new(AuthPolicy::Open, failures(1, 1)).await;
    let (token, app) = (world.user("alice").await, world.app.clone());
    let began = Instant::now();
    connect(&world, OFFICE, "alice", Some(WRONG)).await.unwrap_err();
    assert!(began.elapsed().is_zero());
    // The published SDK: a wrong token, a missing token, a forged session key.
    for (query, code) in [
        (format!("app_id={app}&user_id=alice&access_token=wrong-but-long-enough"), "ACCESS_TOKEN_INVALID"),
        (format!("app_id={app}&user_id=alice"), "ACCESS_TOKEN_REQUIRED"),
        ("session_key=forged".to_owned(), "SESSION_KEY_INVALID"),
    ] {
        let began = Instant::now();
        let ack = published(&world, OFFICE, query).await.unwrap();
        assert_eq!((&ack["d"]["error"]["reason"], seconds(began)), (&json!(code), 1), "{ack}");
    }
    // A refresh on a live session.
    let mut alice = connect(&world, "192.0.2.2", "alice", Some(token.expose())).await.unwrap();
    for delay in [0, 1] {
        let began = Instant::now();
        let refused = alice.request("users.refresh", json!({ "access_token": WRONG })).await;
        assert_eq!((&refused["error"]["code"], seconds(began)), (&json!("TOKEN_REFUSED"), delay));
    }
    let began = Instant::now();
    let accepted = alice.request("users.refresh", json!({ "access_token": token.expose() })).await;
    assert_eq!((&accepted["ok"], seconds(began)), (&json!(true), 0));
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_valid_before_is_refused_at_once() {
    let (clock, now) = set_clock(1_800_000_000);
    let store = std::sync::Arc::new(chatcamp_store::memory::Store::new());
    let world = World::at(clock, common::keyring(), store, AuthPolicy::Open, failures(1, 1)).await;
    world.user("alice").await;
    let expiring = world.accounts.issue_token(&world.app, &user("alice"), Some(10), 0).await.unwrap();
    now.fetch_add(3600, std::sync::atomic::Ordering::Relaxed);
    connect(&world, OFFICE, "alice", Some(WRONG)).await.unwrap_err();
    let began = Instant::now();
    for _ in 0..5 {
        let refused = connect(&world, OFFICE, "alice", Some(expiring.expose())).await.unwrap_err();
        assert_eq!((refused.as_str(), seconds(began)), ("ACCESS_TOKEN_EXPIRED", 0));
    }
}

#[tokio::test(start_paused = true)]
async fn delayed_answers_are_bounded_in_number_and_time() {
    let world = World::new(AuthPolicy::Open, failures(5, 20)).await;
    let token = world.user("alice").await;
    let began = Instant::now();
    let mut guesses = JoinSet::new();
    for n in 0..2_000_u32 {
        let address = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)).to_string();
        let (client, app) = (dial(&world, &address, None), world.app.clone());
        guesses.spawn(async move {
            let token = AccessToken::from(WRONG);
            (Peer::native(client, &app, "alice", Some(&token)).await.unwrap_err(), began.elapsed())
        });
    }
    let answers = guesses.join_all().await;
    let refused = answers.iter().filter(|answer| answer.0 == "RATE_LIMITED").collect::<Vec<_>>();
    assert_eq!(refused.len(), 2_000 - 20 - 1024);
    assert!(refused.iter().all(|answer| answer.1.is_zero()), "no place, no delay");
    assert!(answers.iter().all(|answer| answer.1 <= Duration::from_secs(5)));
    connect(&world, OFFICE, "alice", Some(token.expose())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_delayed_answers() {
    let world = World::new(AuthPolicy::Open, failures(1, 1)).await;
    world.user("alice").await;
    let began = Instant::now();
    let mut guesses = JoinSet::new();
    for _ in 0..3 {
        let (client, app) = (dial(&world, OFFICE, None), world.app.clone());
        guesses.spawn(async move {
            Peer::native(client, &app, "alice", Some(&AccessToken::from(WRONG))).await.err()
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.server.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    guesses.join_all().await;
}
