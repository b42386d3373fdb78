//! Races, each of which was a fault once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{sync::Arc, time::Duration};

use chatcamp_server::{AuthPolicy, Limits, Recipients, SessionPolicy};
use chatcamp_transport::Transport as _;
use common::{AT_REST, Peer, World, gated::Gated, user};
use serde_json::json;

async fn gated() -> (World, Gated) {
    let store = Gated::new();
    let mut limits = Limits::default();
    limits.drain = Duration::from_millis(250);
    (World::over(Arc::new(store.clone()), AuthPolicy::Open, limits).await, store)
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_times_out_leaves_no_ended_session_waiting() {
    let (world, store) = gated().await;
    let away = world.connect("alice").await;
    world.cut(away).await;
    world.server.end_sessions(&world.app, &user("alice"), false).await.unwrap();
    let mut stuck = world.connect("bob").await;
    store.hold("edit_user");
    stuck.send_request("users.update", json!({"data": "one"})).await;
    store.holds(1).await;
    world.server.shutdown().await;
    assert_eq!(world.server.load(), AT_REST);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_times_out_leaves_no_detached_session() {
    let mut limits = Limits::default();
    limits.drain = Duration::from_millis(150);
    let world = World::new(AuthPolicy::Open, limits).await;
    let mut peers = Vec::new();
    for n in 0..600 {
        let mut peer = world.published(&format!("app_id={}&user_id=u{n}", world.app)).await;
        peer.recv().await;
        peers.push(peer);
    }
    drop(peers);
    common::eventually(|| world.server.load().detached == 600).await;
    world.server.shutdown().await;
    assert_eq!(world.server.load(), AT_REST);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_the_second_check_does_not_block_the_shutdown() {
    let (world, store) = gated().await;
    // The authenticator calls `user` first. The call after the acknowledgement is held.
    drop(world.connect("alice").await);
    tokio::time::sleep(Duration::from_secs(200)).await;
    store.hold("app");
    store.hold("app");
    let connecting = {
        let (t, app) = (world.transport.clone(), world.app.clone());
        tokio::spawn(async move { Peer::native(t.connect().await.unwrap(), &app, "alice", None).await })
    };
    store.holds(1).await;
    store.release();
    let alice = connecting.await.unwrap().unwrap();
    store.holds(1).await;
    drop(alice);
    let down = tokio::time::timeout(Duration::from_secs(600), world.server.shutdown()).await;
    assert!(down.is_ok(), "{:?}", world.server);
    assert_eq!(world.server.load(), AT_REST);
}

#[tokio::test(start_paused = true)]
async fn a_store_failure_after_a_resume_ends_the_connection_and_not_the_session() {
    let (world, store) = gated().await;
    let alice = world.connect("alice").await;
    let hint = alice.hint(0);
    world.cut(alice).await;
    world.tell("alice", 1..=3).await;
    store.fail_user_after(1);
    let mut lost = world.resume("alice", None, hint).await.unwrap();
    lost.resumed(3, 0);
    let hint = lost.hint(0);
    // The client has read no further, so the replay is lost with the connection.
    while lost.connection.recv().await.is_ok() {}
    let mut alice = world.resume("alice", None, hint).await.unwrap();
    assert_eq!(alice.fresh(), None, "three messages are gone for good");
    alice.receive_events(1..=3, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_resume_evicts_no_session() {
    let world = World::open().await;
    world.accounts.set_sessions(&world.app, SessionPolicy::EvictOldest(1)).await.unwrap();
    let away = world.connect("alice").await;
    let id = world.server.sessions(&world.app, None).await.unwrap()[0].id.clone();
    let hint = away.hint(0);
    world.cut(away).await;
    let mut other = world.connect("alice").await;
    assert!(world.server.end_session(&world.app, &id, false).await.unwrap());
    assert_eq!(world.resume("alice", None, hint).await.unwrap_err(), "DISCONNECTED");
    other.receives_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_stale_key_evicts_no_session() {
    let world = World::open().await;
    world.accounts.set_sessions(&world.app, SessionPolicy::EvictOldest(1)).await.unwrap();
    let mut first = world.published(&format!("app_id={}&user_id=alice", world.app)).await;
    let one = first.recv().await["d"]["session_key"].as_str().unwrap().to_owned();
    world.cut(first).await;
    let mut again = world.published(&format!("session_key={one}")).await;
    again.recv().await;
    again.request("users.get", json!({})).await;
    world.cut(again).await;
    let mut other = world.connect("alice").await;
    let mut stale = world.published(&format!("session_key={one}")).await;
    assert_eq!(stale.recv().await["d"]["error"]["message"], "Session Key Invalid");
    other.receives_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_overtaken_by_a_resume_changes_nothing() {
    let (world, store) = gated().await;
    let one = world.user("alice").await;
    let (accounts, app, id) = (&world.accounts, &world.app, user("alice"));
    let mut alice = world.connect_with("alice", &one).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.hold("user");
    alice.send_request("users.refresh", json!({"access_token": one.expose()})).await;
    // The authenticator has read the user: the token is valid.
    store.holds(1).await;
    let two = accounts.issue_token(app, &id, None, 3600).await.unwrap();
    let hint = alice.hint(0);
    let older = alice;
    let mut alice = world.resume("alice", Some(&two), hint).await.unwrap();
    assert_eq!(alice.fresh(), None);
    store.release();
    let answer = alice.recv().await;
    assert_eq!(answer["d"]["ok"], true, "{answer}");
    let own = alice.request("users.get", json!({})).await;
    assert_eq!(own["user"]["access_token"], two.expose(), "the session presented this last");
    drop(older);
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_connection_was_dropped_does_not_block_the_next() {
    let (world, store) = gated().await;
    let (ours, theirs) = chatcamp_transport::memory::pair();
    let served = tokio::spawn(world.server.serve(theirs));
    let mut alice = Peer::native(ours, &world.app, "alice", None).await.unwrap();
    let mut other = world.connect("alice").await;
    store.hold("edit_user");
    alice.send_request("users.update", json!({"data": "one"})).await;
    store.holds(1).await;
    // "Dropping the future closes the connection."
    served.abort();
    let _ = served.await;
    store.release();
    let begun = tokio::time::Instant::now();
    other.send_request("users.update", json!({"data": "two"})).await;
    other.recv().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(alice);
}

#[tokio::test(start_paused = true)]
async fn a_client_disconnected_over_a_dead_network_is_told_when_it_resumes() {
    let world = World::open().await;
    let alice = world.connect("alice").await;
    let hint = alice.hint(0);
    // The connection is half open: the peer neither reads nor sends.
    assert_eq!(world.server.end_sessions(&world.app, &user("alice"), false).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let again = world.resume("alice", None, hint).await;
    assert_eq!(again.map(|p| p.ack).unwrap_err(), "DISCONNECTED");
    drop(alice);
}

#[tokio::test(start_paused = true)]
async fn a_client_evicted_over_a_dead_network_does_not_evict_the_newer_one() {
    let world = World::open().await;
    world.accounts.set_sessions(&world.app, SessionPolicy::EvictOldest(1)).await.unwrap();
    let old = world.connect("alice").await;
    let hint = old.hint(0);
    let mut new = world.connect("alice").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let _back = world.resume("alice", None, hint).await;
    new.receives_nothing().await;
}

#[tokio::test]
async fn a_client_that_never_acknowledges_does_not_end_other_sessions() {
    let world = World::open().await;
    let away = world.connect("alice").await;
    let hint = away.hint(0);
    world.cut(away).await;
    let other = world.connect("bob").await;
    world.cut(other).await;
    let mut tasks = Vec::new();
    let mut hoarders = Vec::new();
    for n in 0..270 {
        let id = format!("hoarder{}", n / 100);
        let mut peer = world.connect(&id).await;
        hoarders.push(user(&id));
        // It reads, and never acknowledges.
        tasks.push(tokio::spawn(async move { while peer.connection.recv().await.is_ok() {} }));
    }
    let to = Recipients::Users(hoarders);
    let data = json!("x".repeat(32_000));
    for _ in 0..34 {
        world.server.publish(&world.app, &to, "x", &data).await.unwrap();
    }
    assert_eq!(world.server.load().detached, 2);
    for _ in 0..2 {
        let to = Recipients::Users(vec![user("alice")]);
        world.server.publish(&world.app, &to, "x", &data).await.unwrap();
    }
    let alice = world.resume("alice", None, hint).await.unwrap();
    assert_eq!(
        (alice.fresh(), world.server.load().detached),
        (None, 1),
        "who acknowledges nothing stays, who is away goes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_late_request_of_an_older_connection_does_not_invalidate_the_current_key() {
    let world = Arc::new(World::open().await);
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let world = world.clone();
            tokio::spawn(async move {
                let id = format!("user{n}");
                let filler = "x".repeat(60_000);
                for round in 0..60 {
                    let peer = world.connect(&id).await;
                    let mut hint = peer.hint(0);
                    hint.sent = 1;
                    // A request on the old connection, at the same moment as the resume on a new one.
                    let mut older = peer.connection;
                    let text = json!({"t": "users.get", "d": {"filler": filler}, "r": 1}).to_string();
                    let (transport, app, resume, id2) =
                        (world.transport.clone(), world.app.clone(), hint.clone(), id.clone());
                    let lost = tokio::spawn(async move {
                        Peer::hello(transport.connect().await.unwrap(), &app, &id2, None, Some(resume))
                            .await
                            .unwrap()
                    });
                    for _ in 0..(round % 50) * 20 {
                        std::hint::spin_loop();
                    }
                    _ = older.send(text.into()).await;
                    let lost = lost.await.unwrap();
                    assert_eq!(lost.fresh(), None);
                    drop(older);
                    // The client acts as if the acknowledgement had not arrived.
                    drop(lost);
                    let back = world.resume(&id, None, hint).await.unwrap();
                    assert_eq!(back.fresh(), None, "round {round}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_eviction_of_the_oldest_no_connect_is_refused() {
    let world = Arc::new(World::open().await);
    world.accounts.set_sessions(&world.app, SessionPolicy::EvictOldest(1)).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                let (mut tried, mut refused) = (0u64, 0u64);
                while tried < 2000 {
                    tried += 1;
                    let mut connection = world.transport.connect().await.unwrap();
                    let hello = json!({"t": "users.auth", "r": 1, "d": {
                    "v": 1, "client": "test/1", "app_id": world.app, "user_id": "alice" }});
                    _ = connection.send(hello.to_string().into()).await;
                    let said = connection.recv().await.map(|m| m.as_str().to_owned()).unwrap_or_default();
                    refused += u64::from(said.contains("SESSION_LIMIT"));
                }
                (tried, refused)
            })
        })
        .collect();
    let mut all = (0, 0);
    for task in tasks {
        let (tried, refused) = task.await.unwrap();
        all = (all.0 + tried, all.1 + refused);
    }
    assert_eq!(all.1, 0, "of {} connects", all.0);
}
