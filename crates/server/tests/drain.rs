//! The shutdown of a server with many clients: each is told, and they do not all reconnect at once.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod common;

use std::time::Duration;

use chatcamp_protocol::Code;
use chatcamp_server::{AuthPolicy, Limits};
use common::{AT_REST, World};
use serde_json::json;
use tokio::time::Instant;

const CLIENTS: usize = 2000;

#[tokio::test(start_paused = true)]
async fn many_native_clients_are_told_at_once_and_reconnect_spread_over_time() {
    let world = World::new(AuthPolicy::Open, Limits::default()).await;
    let mut peers = Vec::new();
    for n in 0..CLIENTS {
        peers.push(world.connect(&format!("user {n}")).await);
    }
    let (server, begun) = (world.server.clone(), Instant::now());
    let draining = tokio::spawn(async move { server.shutdown().await });
    let mut waits = Vec::new();
    for peer in &mut peers {
        let close = peer.recv().await;
        assert_eq!((&close["t"], &close["d"]["code"]), (&json!("session.close"), &json!("SHUTTING_DOWN")));
        waits.push(close["d"]["retry_after_ms"].as_u64().unwrap());
        peer.closed_with(Code::ShuttingDown).await;
    }
    draining.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 0, "nobody waits for another");
    // 500 a second, and one to two seconds before the first.
    waits.sort_unstable();
    assert!(waits[0] >= 1000 && waits[CLIENTS - 1] <= 6000, "{} to {}", waits[0], waits[CLIENTS - 1]);
    let busiest = (0..60).map(|n| waits.iter().filter(|&&wait| wait / 100 == n).count()).max();
    assert!(busiest < Some(CLIENTS / 10), "{busiest:?} of {CLIENTS} come within one tenth of a second");
    assert_eq!(world.server.load(), AT_REST);
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_many_published_sdks_are_closed_spread_over_time() {
    let world = World::new(AuthPolicy::Open, Limits::default()).await;
    let mut peers = Vec::new();
    for n in 0..CLIENTS {
        let mut peer = world.published(&format!("app_id={}&user_id=user{n}", world.app)).await;
        assert_eq!(peer.recv().await["d"]["ok"], true);
        peers.push(peer);
    }
    let (server, begun) = (world.server.clone(), Instant::now());
    let draining = tokio::spawn(async move { server.shutdown().await });
    let ends = peers.into_iter().map(|mut peer| {
        tokio::spawn(async move {
            peer.closed_with(Code::ShuttingDown).await;
            begun.elapsed()
        })
    });
    let mut ended = Vec::new();
    for end in ends.collect::<Vec<_>>() {
        ended.push(end.await.unwrap());
    }
    draining.await.unwrap();
    let last = ended.iter().max().unwrap();
    assert!((Duration::from_secs(3)..Duration::from_secs(5)).contains(last), "{last:?}");
    for second in 0..4 {
        let count = ended.iter().filter(|end| end.as_secs() == second).count();
        assert!((300..=700).contains(&count), "{count} in second {second}");
    }
    assert_eq!(world.server.load(), AT_REST);
}

#[tokio::test(start_paused = true)]
async fn clients_that_do_not_confirm_the_close_are_disconnected_in_time() {
    let world = World::new(AuthPolicy::Open, Limits::default()).await;
    let peers: Vec<_> = [world.connect("alice").await, world.connect("bob").await].into();
    let begun = Instant::now();
    world.server.shutdown().await;
    assert!(begun.elapsed() <= Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(world.server.load(), AT_REST);
    drop(peers);
}
