//! The number of sessions that a user may have, and which one is evicted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use chatcamp_protocol::Code;
use chatcamp_server::{AccountError, AuthPolicy, Limits, SessionPolicy};
use common::{Peer, World, user};
use serde_json::{Value, json};

/// Resumes the session of `peer`.
async fn resume(world: &World, peer: &Peer) -> Value {
    use chatcamp_transport::Transport as _;
    let mut again =
        Peer { connection: world.transport.connect().await.unwrap(), requests: 0, ack: Value::Null };
    let hello = json!({"t": "users.auth", "r": 1, "d": {
        "v": 1, "client": "test/1", "app_id": world.app, "user_id": "alice",
        "resume": {"key": peer.ack["session"]["key"], "seen": 0, "sent": 0},
    }});
    again.send(hello.to_string()).await;
    again.recv().await["d"].clone()
}

#[tokio::test(start_paused = true)]
async fn one_more_is_refused_until_another_ends() {
    let world = World::open().await;
    world.accounts.set_sessions(&world.app, SessionPolicy::RejectNew(2)).await.unwrap();
    let (mut first, _second) = (world.connect("alice").await, world.connect("alice").await);
    assert_eq!(world.try_connect("alice", None).await.unwrap_err(), "SESSION_LIMIT");
    world.connect("bob").await;
    first.connection.close(chatcamp_transport::Close::NORMAL).await;
    world.connect("alice").await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_oldest_session_is_evicted_and_its_client_is_told() {
    let world = World::open().await;
    world.accounts.set_sessions(&world.app, SessionPolicy::EvictOldest(2)).await.unwrap();
    let (mut first, mut second) = (world.connect("alice").await, world.connect("alice").await);
    let mut third = world.connect("alice").await;
    first.ended_with(Code::SessionEvicted).await;
    let mut fourth = world.connect("alice").await;
    second.ended_with(Code::SessionEvicted).await;
    for peer in [&mut third, &mut fourth] {
        assert_eq!(peer.request("ping", json!({ "seen": 0 })).await["ok"], true);
    }
    assert_eq!(world.server.sessions(&world.app, Some(&user("alice"))).await.unwrap().len(), 2);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_resumed_session_counts_towards_the_limit() {
    for (policy, refused) in [(SessionPolicy::RejectNew(1), true), (SessionPolicy::EvictOldest(1), false)] {
        let world = World::open().await;
        world.accounts.set_sessions(&world.app, policy).await.unwrap();
        let first = world.connect("alice").await;
        let took_over = resume(&world, &first).await;
        assert_eq!(took_over["ok"], true, "a takeover does not count as one more session");
        drop(first);
        common::eventually(|| world.server.load().detached == 1).await;
        let waiting = Peer { ack: took_over, ..world.connect("alice").await };
        let again = resume(&world, &waiting).await;
        assert_eq!(again["error"]["code"] == "SESSION_LIMIT", refused, "{policy}: {again}");
        drop(waiting);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_server_applies_whatever_the_policy_of_the_app() {
    let mut limits = Limits::default();
    limits.sessions_per_user = 1;
    let world = World::new(AuthPolicy::Open, limits).await;
    world.accounts.set_sessions(&world.app, SessionPolicy::RejectNew(50)).await.unwrap();
    let _first = world.connect("alice").await;
    assert_eq!(world.try_connect("alice", None).await.unwrap_err(), "SESSION_LIMIT");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_outside_of_its_range_is_rejected() {
    let world = World::open().await;
    for policy in
        [SessionPolicy::RejectNew(0), SessionPolicy::EvictOldest(0), SessionPolicy::EvictOldest(101)]
    {
        let result = world.accounts.set_sessions(&world.app, policy).await;
        assert!(matches!(result, Err(AccountError::InvalidSessionPolicy(_))), "{policy}: {result:?}");
    }
    world.connect("alice").await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_allows_no_session_refuses_each_connect() {
    let mut limits = Limits::default();
    limits.sessions_per_user = 0;
    let world = World::new(AuthPolicy::Open, limits).await;
    for policy in [SessionPolicy::Unlimited, SessionPolicy::EvictOldest(1)] {
        world.accounts.set_sessions(&world.app, policy).await.unwrap();
        assert_eq!(world.try_connect("alice", None).await.unwrap_err(), "SESSION_LIMIT");
    }
    world.close().await;
}
