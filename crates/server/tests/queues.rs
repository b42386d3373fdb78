//! Clients that do not read: the memory that they may use, and which sessions are ended. Over memory, in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use chatcamp_protocol::{Code, limits};
use chatcamp_server::{AuthPolicy, Limits, Recipients};
use chatcamp_transport::Transport as _;
use common::{Peer, World, eventually, user};
use serde_json::json;

const MIB: usize = 1024 * 1024;

/// Returns a world whose sessions may hold `queued_bytes` in total.
async fn world(queued_bytes: usize) -> World {
    let mut limits = Limits::default();
    limits.queued_bytes = queued_bytes;
    limits.drain = Duration::from_millis(250);
    World::new(AuthPolicy::Open, limits).await
}

/// Publishes events of 30 kB to a user, half a MiB in total.
async fn flood(world: &World, id: &str) {
    let (to, data) = (Recipients::Users(vec![user(id)]), json!("x".repeat(30_000)));
    for _ in 0..17 {
        world.server.publish(&world.app, &to, "x", &data).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn users_that_do_not_read_do_not_prevent_the_resume_of_others() {
    let budget = 4 * MIB;
    let world = world(budget).await;
    // Alice is detached, Bob is connected and reads; both can resume without a gap.
    let alice = world.connect("alice").await;
    let alices = alice.hint(0);
    world.cut(alice).await;
    let mut bob = world.connect("bob").await;
    world.tell("alice", 1..=5).await;
    world.tell("bob", 1..=5).await;
    bob.receive_events(1..=5, 1).await;

    let mut crowd = Vec::new();
    for n in 0..6 * 2 * budget / MIB {
        crowd.push(world.connect(&format!("slow{}", n % 6)).await);
    }
    for n in 0..6 {
        flood(&world, &format!("slow{n}")).await;
        world.tell("alice", 6 + n..=6 + n).await;
    }

    let mut alice = world.resume("alice", None, alices).await.unwrap();
    assert_eq!(alice.fresh(), None);
    alice.resumed(11, 0);
    alice.receive_events(1..=11, 1).await;
    let mut bob = world.resume("bob", None, bob.hint(0)).await.unwrap();
    assert_eq!(bob.fresh(), None);
    bob.receive_events(1..=5, 1).await;
    drop((crowd, alice, bob));
    world.close().await;
}

/// Sends pings for `seconds` without reading.
async fn talks(peer: &mut Peer, seconds: u64) {
    for _ in 0..seconds / 5 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        // The connection may have ended.
        let ping = json!({"t": "ping", "d": {}, "r": peer.requests + 1});
        if peer.connection.send(ping.to_string().into()).await.is_ok() {
            peer.requests += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_but_does_not_read_loses_its_connection() {
    let world = world(256 * MIB).await;
    let mut slow = world.connect("alice").await;
    world.tell("alice", 1..=100).await;
    talks(&mut slow, limits::STALLED.as_secs() - 5).await;
    assert_eq!(world.server.load().sessions, 1);
    talks(&mut slow, 5).await;
    eventually(|| world.server.load().sessions == 0).await;
    assert_eq!(world.server.load().detached, 1);
    let end = loop {
        if let Err(closed) = slow.connection.recv().await {
            break closed;
        }
    };
    assert_eq!(end.code(), Code::SlowConsumer.number());
    // Its session is detached: nothing is lost.
    let mut back = world.resume("alice", None, slow.hint(0)).await.unwrap();
    assert_eq!(back.fresh(), None);
    back.receive_events(1..=100, 1).await;
    drop(back);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_keeps_its_connection() {
    let world = world(256 * MIB).await;
    let mut slow = world.connect("alice").await;
    world.tell("alice", 1..=500).await;
    for n in 1..=6 {
        talks(&mut slow, limits::STALLED.as_secs() - 5).await;
        slow.receive_events(n..=n, n).await;
    }
    assert_eq!(world.server.load().sessions, 1);
    drop(slow);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_message_limit_is_small_before_the_verdict_and_large_after_it() {
    let world = World::open().await;
    let mut stranger = world.transport.connect().await.unwrap();
    stranger.send("x".repeat(limits::HANDSHAKE_MESSAGE + 1).into()).await.unwrap();
    assert_eq!(stranger.recv().await.unwrap_err().code(), Code::MessageTooLarge.number());

    let mut alice = world.connect("alice").await;
    let large = json!({"search": "x".repeat(10 * limits::HANDSHAKE_MESSAGE)});
    assert_eq!(alice.request("ping", large).await["ok"], true);
    drop(alice);
    world.close().await;
}
