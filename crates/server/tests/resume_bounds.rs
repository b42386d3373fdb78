//! The limits of detached sessions, and how others see their users, over memory and in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use chatcamp_protocol::handshake::Resume;
use chatcamp_server::{AuthPolicy, ChatService, Limits, PublishOutcome, Recipients};
use common::{World, eventually, set_clock, user};
use http_body_util::Full;
use serde_json::json;
use tower_service::Service;

/// Connects a user and loses the connection.
async fn leaves(world: &World, id: &str) -> Resume {
    let peer = world.connect(id).await;
    let hint = peer.hint(0);
    drop(peer);
    eventually(|| world.server.load().sessions == 0).await;
    hint
}

#[tokio::test(start_paused = true)]
async fn a_native_session_is_kept_for_two_minutes() {
    for (after, why) in [(1, None), (115, None), (125, Some("too_late")), (3600, Some("too_late"))] {
        let world = World::open().await;
        let hint = leaves(&world, "alice").await;
        world.tell("alice", 1..=2).await;
        tokio::time::sleep(Duration::from_secs(after)).await;
        assert_eq!(world.server.load().detached, usize::from(why.is_none()));
        let mut alice = world.resume("alice", None, hint).await.unwrap();
        assert_eq!(alice.fresh(), why, "after {after} s");
        if why.is_none() {
            alice.receive_events(1..=2, 1).await;
        }
        alice.receives_nothing().await;
        drop(alice);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_resume_restarts_the_two_minutes() {
    let world = World::open().await;
    let mut hint = leaves(&world, "alice").await;
    for n in 1..=5 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        world.tell("alice", n..=n).await;
        let mut alice = world.resume("alice", None, hint).await.unwrap();
        alice.resumed(1, 0);
        alice.receive_events(n..=n, n).await;
        hint = alice.hint(n);
        world.cut(alice).await;
    }
    tokio::time::sleep(Duration::from_secs(125)).await;
    assert_eq!(world.server.load(), common::AT_REST);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_over_its_messages_or_bytes_ends_the_session() {
    let large = "x".repeat(30_000);
    for (what, events, goes_on) in
        [("small", 1000, true), ("small", 1001, false), ("large", 34, true), ("large", 35, false)]
    {
        let world = World::open().await;
        let hint = leaves(&world, "alice").await;
        let data = if what == "small" { json!(0) } else { json!(large) };
        let to = Recipients::Users(vec![user("alice")]);
        for n in 1..=events {
            let told = world.server.publish(&world.app, &to, "x", &data).await.unwrap();
            let queued = usize::from(goes_on || n < events);
            assert_eq!((told.delivered, told.queued), (0, queued), "{what} {n}");
        }
        assert_eq!(world.server.load().detached, usize::from(goes_on), "{what} {events}");
        let mut alice = world.resume("alice", None, hint).await.unwrap();
        if goes_on {
            alice.resumed(events, 0);
            for s in 1..=events {
                assert_eq!(alice.recv().await["s"], s);
            }
        } else {
            assert_eq!(alice.fresh(), Some("too_late"), "{what} {events}");
        }
        alice.receives_nothing().await;
        drop(alice);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_has_eight_detached_sessions_and_the_oldest_is_evicted() {
    let world = World::open().await;
    let mut hints = Vec::new();
    for _ in 0..10 {
        hints.push(leaves(&world, "alice").await);
    }
    let bobs = leaves(&world, "bob").await;
    assert_eq!(world.server.load().detached, 9);
    world.tell("alice", 1..=1).await;
    let mut live = Vec::new();
    for (n, hint) in hints.into_iter().enumerate() {
        let mut alice = world.resume("alice", None, hint).await.unwrap();
        match n {
            0 | 1 => assert_eq!(alice.fresh(), Some("evicted"), "{n}"),
            _ => alice.receive_events(1..=1, 1).await,
        }
        live.push(alice);
    }
    assert_eq!(world.resume("bob", None, bobs).await.unwrap().fresh(), None);
    drop(live);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_has_a_limit_of_detached_sessions_and_the_oldest_is_evicted() {
    let mut limits = Limits::default();
    limits.detached = 3;
    let world = World::new(AuthPolicy::Open, limits).await;
    let mut hints = Vec::new();
    for n in 0..5 {
        hints.push(leaves(&world, &format!("user{n}")).await);
    }
    assert_eq!(world.server.load().detached, 3);
    // A session that was resumed and detached again is the newest.
    let again = world.resume("user2", None, hints[2].clone()).await.unwrap();
    hints[2] = again.hint(0);
    world.cut(again).await;
    hints.push(leaves(&world, "user5").await);
    for (n, hint) in hints.into_iter().enumerate() {
        let peer = world.resume(&format!("user{n}"), None, hint).await.unwrap();
        let expected = if [0, 1, 3].contains(&n) { Some("evicted") } else { None };
        assert_eq!(peer.fresh(), expected, "user{n}");
        peer.connection.into_parts().0.close(chatcamp_transport::Close::NORMAL);
        eventually(|| world.server.load().sessions == 0).await;
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn detached_sessions_do_not_count_towards_the_limit_of_live_ones() {
    let mut limits = Limits::default();
    limits.sessions_per_user = 2;
    let world = World::new(AuthPolicy::Open, limits).await;
    for _ in 0..4 {
        leaves(&world, "alice").await;
    }
    let (_one, _two) = (world.connect("alice").await, world.connect("alice").await);
    assert_eq!(world.try_connect("alice", None).await.unwrap_err(), "SESSION_LIMIT");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_resuming_client_may_use_the_room_of_its_own_session() {
    let mut limits = Limits::default();
    limits.sessions_per_user = 1;
    let world = World::new(AuthPolicy::Open, limits).await;
    let mut alice = world.connect("alice").await;
    world.tell("alice", 1..=2).await;
    alice.receive_events(1..=2, 1).await;
    assert_eq!(alice.request("ping", json!({"seen": 2})).await["ok"], true);
    // Its connection still exists: a valid position takes it over, one that is too old replaces the session.
    let mut next = world.resume("alice", None, alice.hint(3)).await.unwrap();
    next.resumed(0, 1);
    next.receives_nothing().await;
    let late = world.resume("alice", None, next.hint(0)).await.unwrap();
    assert_eq!(late.fresh(), Some("too_late"));
    drop((alice, next, late));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_detached_user_is_offline_and_last_seen_when_it_was_detached() {
    let (clock, now) = set_clock(1_800_000_000);
    let world = World::open_at(clock).await;
    let mut bob = world.connect("bob").await;
    let alice = world.connect("alice").await;
    let one = alice.hint(0);
    let shown = |user: &serde_json::Value| (user["is_online"].clone(), user["last_seen"].clone());
    assert_eq!(world.server.sessions(&world.app, Some(&user("alice"))).await.unwrap().len(), 1);
    now.fetch_add(100, Ordering::Relaxed);
    world.cut(alice).await;
    now.fetch_add(20, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(12)).await;
    let seen = bob.request("users.get", json!({"id": "alice"})).await["user"].clone();
    assert_eq!(shown(&seen), (json!(false), json!(1_800_000_100)));
    assert!(world.server.sessions(&world.app, Some(&user("alice"))).await.unwrap().is_empty());
    assert_eq!(world.tell("alice", 1..=1).await.queued, 1);

    let back = world.resume("alice", None, one).await.unwrap();
    let sessions = world.server.sessions(&world.app, Some(&user("alice"))).await.unwrap();
    assert_eq!((sessions.len(), sessions[0].since), (1, 1_800_000_000), "it is the session it was");
    let seen = bob.request("users.get", json!({"id": "alice"})).await["user"].clone();
    assert_eq!(seen["is_online"], true);
    now.fetch_add(1000, Ordering::Relaxed);
    world.cut(back).await;
    // The end of the detached session changes nothing.
    now.fetch_add(1000, Ordering::Relaxed);
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        bob.receives_nothing().await;
    }
    assert_eq!(world.server.load().detached, 0);
    let seen = bob.request("users.get", json!({"id": "alice"})).await["user"].clone();
    assert_eq!(shown(&seen), (json!(false), json!(1_800_001_120)));
    assert_eq!(world.tell("alice", 1..=1).await, PublishOutcome::default());
    drop(bob);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_detached_sessions_and_leaves_none() {
    let world = World::open().await;
    for n in 0..50 {
        leaves(&world, &format!("user{n}")).await;
        world.tell(&format!("user{n}"), 1..=10).await;
    }
    let hint = leaves(&world, "alice").await;
    let start = tokio::time::Instant::now();
    world.server.shutdown().await;
    assert_eq!(world.server.load(), common::AT_REST);
    assert_eq!(start.elapsed(), Duration::ZERO);
    // A connection that was accepted before is told to reconnect later.
    let (client, server) = chatcamp_transport::memory::pair();
    tokio::spawn(world.server.serve(server));
    let late = common::Peer::hello(client, &world.app, "alice", None, Some(hint)).await;
    assert_eq!(late.unwrap_err(), "SHUTTING_DOWN");
    eventually(|| world.server.load() == common::AT_REST).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_loses_its_connection_during_the_shutdown_is_not_kept() {
    let world = World::open().await;
    let peers = [world.connect("alice").await, world.connect("bob").await];
    let server = world.server.clone();
    let down = tokio::spawn(async move { server.shutdown().await });
    drop(peers);
    down.await.unwrap();
    assert_eq!(world.server.load(), common::AT_REST);
}

/// Opens a connection over polls, and never polls again.
async fn abandons(service: &mut ChatService, world: &World, id: usize) {
    let request = http::Request::get(format!("/chat/2.0?app_id={}&user_id=user{id}", world.app))
        .header("iflychat-token", format!("{id}"));
    let answer = service.call(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Returns a number from the environment variable `name`, or `ordinary` if it is not set (docs/CONTRIBUTING.md).
fn figure(name: &str, ordinary: usize) -> usize {
    std::env::var(name).map_or(ordinary, |figure| figure.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn abandoned_polls_for_an_hour_use_no_more_memory_than_for_a_few_minutes() {
    // The limits of the server are designed for forty a second.
    let rate = figure("CHATCAMP_POLLS", 2);
    let world = World::open().await;
    let mut service = ChatService::new(world.server.clone());
    let mut most = (0, 0);
    for second in 0..3600 {
        for n in 0..rate {
            abandons(&mut service, &world, second * rate + n).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let load = world.server.load();
        most = (most.0.max(load.sessions), most.1.max(load.detached));
    }
    // The loss is noticed after at most forty seconds, and the session ends after five minutes.
    println!("{rate} a second: at most {most:?} sessions with and without a connection");
    assert!(most.0 <= 40 * rate && most.1 <= 303 * rate, "{most:?}");
    tokio::time::sleep(Duration::from_secs(350)).await;
    assert_eq!(world.server.load(), common::AT_REST);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_abandoned_polls_stays_within_the_bounds_and_passes() {
    let burst = figure("CHATCAMP_BURST", 10_000);
    let bound = burst / 10;
    let mut limits = Limits::default();
    limits.detached = bound;
    let world = World::new(AuthPolicy::Open, limits).await;
    let mut service = ChatService::new(world.server.clone());
    for n in 0..burst {
        abandons(&mut service, &world, n).await;
    }
    let mut most = 0;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        most = most.max(world.server.load().detached);
    }
    assert_eq!((most, world.server.load().sessions), (bound, 0));
    tokio::time::sleep(Duration::from_secs(310)).await;
    assert_eq!(world.server.load(), common::AT_REST);
    world.close().await;
}
