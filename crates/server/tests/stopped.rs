//! A server whose process is suspended for a while, by a signal or with its machine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use chatcamp_protocol::Code;
use chatcamp_server::{FrontDoor, Keyring, Server};
use common::World;
use serde_json::json;
use tokio::time::{Instant, advance, sleep};

/// Longer than the silence that ends a connection.
const STOPPED: Duration = Duration::from_secs(47);

#[tokio::test(start_paused = true)]
async fn time_during_which_the_process_was_suspended_is_not_silence() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    sleep(Duration::from_secs(20)).await;
    advance(STOPPED).await;
    let mut fresh = world.connect("bob").await;
    sleep(Duration::from_secs(10)).await;
    for peer in [&mut alice, &mut fresh] {
        assert_eq!(peer.request("ping", json!({})).await["ok"], true, "it is still connected");
    }

    // From then on, silence ends a connection as before.
    let start = Instant::now();
    alice.ended_with(Code::IdleTimeout).await;
    let silence = start.elapsed().as_secs();
    assert!((35..=37).contains(&silence), "{silence} s");
    drop(fresh);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_detached_session_can_be_resumed_after_its_server_was_suspended() {
    let world = World::open().await;
    let alice = world.connect("alice").await;
    let hint = alice.hint(0);
    world.cut(alice).await;
    advance(Duration::from_secs(8 * 60 * 60)).await;
    sleep(Duration::from_secs(10)).await;
    let again = world.resume("alice", None, hint).await.unwrap();
    assert_eq!(again.fresh(), None, "the session goes on: {}", again.ack);
    drop(again);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_pending_connection_gets_time_after_its_server_was_suspended() {
    let world = World::open().await;
    let connection = chatcamp_transport::Transport::connect(&world.transport).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    advance(STOPPED).await;
    sleep(Duration::from_secs(5)).await;
    let peer = common::Peer::native(connection, &world.app, "alice", None).await.unwrap();
    let mut silent = chatcamp_transport::Transport::connect(&world.transport).await.unwrap();
    let start = Instant::now();
    assert!(silent.recv().await.is_ok(), "its end is announced");
    assert!((9..=21).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    drop((peer, silent));
    world.close().await;
}

#[test]
fn binding_outside_of_a_runtime_fails_without_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(async {
        let store = std::sync::Arc::new(chatcamp_store::memory::Store::new());
        Server::builder(store, Keyring::new(vec![[7; 32]]).unwrap()).start()
    });
    let error = FrontDoor::bind(server, ([127, 0, 0, 1], 0).into()).unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}
