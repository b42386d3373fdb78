//! Resuming a session of the published SDK by its session key, over memory, WebSocket and polls.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use chatcamp_protocol::Code;
use chatcamp_server::ChatService;
use chatcamp_transport::{Close, Transport, websocket};
use common::{ADAPTERS, Peer, World, eventually, listen, user};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower_service::Service;

impl Peer {
    /// Receives the acknowledgement of the handshake. Returns its session key.
    async fn greeted(&mut self) -> String {
        let ack = self.recv().await;
        assert_eq!((&ack["t"], &ack["d"]["ok"]), (&json!("users.auth.ack"), &json!(true)), "{ack}");
        ack["d"]["session_key"].as_str().unwrap().to_owned()
    }

    /// Receives events with these numbers, which have no sequence numbers.
    async fn receive_unnumbered(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        for n in numbers {
            let event = self.recv().await;
            assert_eq!((&event["d"]["data"], event.get("s")), (&json!(n), None), "{event}");
        }
    }
}

fn credentials(world: &World) -> String {
    format!("app_id={}&user_id=alice", world.app)
}

#[tokio::test(start_paused = true)]
async fn messages_queued_while_detached_are_delivered_once_and_in_order() {
    for away in [0, 1, 5, 64, 1000] {
        let world = World::open().await;
        let mut alice = world.published(&credentials(&world)).await;
        let key = alice.greeted().await;
        world.cut(alice).await;
        assert!(away == 0 || world.tell("alice", 1..=away).await.queued == 1);
        let mut alice = world.published(&format!("session_key={key}")).await;
        let key = alice.greeted().await;
        world.tell("alice", away + 1..=away + 2).await;
        alice.receive_unnumbered(1..=away + 2).await;
        world.cut(alice).await;
        let mut alice = world.published(&format!("session_key={key}")).await;
        alice.greeted().await;
        assert_eq!(alice.request("users.get", json!({})).await["ok"], true, "nothing is told twice");
        drop(alice);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_session_key_is_valid_until_a_newer_one_is_used_or_a_request_arrives() {
    let world = World::open().await;
    let by = async |key: &str| world.published(&format!("session_key={key}")).await;
    let mut first = world.published(&credentials(&world)).await;
    let one = first.greeted().await;
    world.cut(first).await;
    for _ in 0..2 {
        // The acknowledgement is lost.
        let lost = by(&one).await;
        eventually(|| world.server.load().sessions == 1).await;
        world.cut(lost).await;
    }
    let mut fourth = by(&one).await;
    let four = fourth.greeted().await;
    // The SDK's heartbeat is enough. It is not answered.
    fourth.send(r#"{"t":"ping","r":1}"#).await;
    fourth.request("users.get", json!({})).await;
    let mut refused = by(&one).await;
    assert_eq!(refused.recv().await["d"]["error"]["message"], "Session Key Invalid");
    refused.closed_with(Code::SessionKeyInvalid).await;
    fourth.request("users.get", json!({})).await;
    let mut fifth = by(&four).await;
    fifth.greeted().await;
    assert_eq!(fourth.recv().await["d"]["error"]["reason"], "REPLACED");
    drop((fourth, fifth));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_published_session_is_kept_for_five_minutes() {
    for (after, goes_on) in [(1, true), (130, true), (295, true), (305, false)] {
        let world = World::open().await;
        let mut alice = world.published(&credentials(&world)).await;
        let key = alice.greeted().await;
        world.cut(alice).await;
        world.tell("alice", 1..=3).await;
        tokio::time::sleep(Duration::from_secs(after)).await;
        assert_eq!(world.server.load().detached, usize::from(goes_on));
        let mut alice = world.published(&format!("session_key={key}")).await;
        alice.greeted().await;
        if goes_on {
            alice.receive_unnumbered(1..=3).await;
        }
        assert_eq!(alice.request("users.get", json!({})).await["ok"], true);
        drop(alice);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_sdk_that_connects_by_its_credentials_gets_a_new_session() {
    let world = World::open().await;
    let mut alice = world.published(&credentials(&world)).await;
    alice.greeted().await;
    world.cut(alice).await;
    world.tell("alice", 1..=3).await;
    let mut alice = world.published(&credentials(&world)).await;
    alice.greeted().await;
    assert_eq!(alice.request("users.get", json!({})).await["ok"], true);
    assert_eq!((world.server.load().sessions, world.server.load().detached), (1, 1));
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_close_code_determines_whether_the_session_is_kept() {
    // The close code, and whether the session is kept; without a code the connection is lost.
    for (is_native, code, waits) in [
        (true, Some(1000), false),
        (true, Some(1001), true),
        (true, Some(1005), true),
        (true, Some(4000), true),
        (true, None, true),
        (false, Some(1000), false),
        (false, Some(1001), false),
        (false, Some(1005), false),
        (false, Some(4000), true),
        (false, None, true),
    ] {
        let world = World::open().await;
        let mut alice = if is_native {
            world.connect("alice").await
        } else {
            world.published(&credentials(&world)).await
        };
        if !is_native {
            alice.greeted().await;
        }
        match code {
            Some(code) => _ = alice.connection.close(Close::new(code, "")).await,
            None => drop(alice),
        }
        eventually(|| world.server.load().connections == 0).await;
        assert_eq!(world.server.load().detached, usize::from(waits), "{is_native} {code:?}");
        world.close().await;
    }
}

#[tokio::test]
async fn a_session_is_kept_if_its_websocket_is_lost_and_not_if_it_is_closed() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        let connect = async |query: &str| {
            let transport = websocket::Transport::new(&format!("ws://{address}/chat/2.0?{query}")).unwrap();
            Peer { connection: transport.connect().await.unwrap(), requests: 0, ack: Value::Null }
        };
        let mut alice = connect(&credentials(&world)).await;
        let key = alice.greeted().await;
        // The connection is lost without a close.
        let broken = chatcamp_transport::testing::Faulty::wrap(
            alice.connection,
            vec![chatcamp_transport::testing::Fault::CutBefore(chatcamp_transport::testing::At::Sent(1))],
        );
        alice = Peer { connection: broken, requests: 0, ack: Value::Null };
        _ = alice.connection.send("x".into()).await;
        eventually(|| world.server.load().detached == 1).await;
        world.tell("alice", 1..=100).await;
        let mut alice = connect(&format!("session_key={key}")).await;
        let key = alice.greeted().await;
        world.tell("alice", 101..=101).await;
        alice.receive_unnumbered(1..=101).await;
        alice.connection.close(Close::NORMAL).await;
        eventually(|| world.server.load().sessions == 0).await;
        assert_eq!(world.server.load().detached, 0, "{adapter:?}");
        let mut alice = connect(&format!("session_key={key}")).await;
        alice.greeted().await;
        assert_eq!(alice.request("users.get", json!({})).await["ok"], true);
        drop(alice);
        world.close().await;
    }
}

/// One request of a page that polls, served without a socket so that time can be paused.
async fn ask(world: &World, query: &str, id: &str, body: Option<Value>) -> (u16, Vec<Value>) {
    let mut service = ChatService::new(world.server.clone());
    let method = if body.is_some() { "POST" } else { "GET" };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("/chat/2.0?{query}"))
        .header("iflychat-token", id)
        .header("content-type", "application/json");
    let body = Full::new(Bytes::from(body.map_or_else(String::new, |body| body.to_string())));
    let answer = service.call(request.body(body).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let texts: Vec<String> = serde_json::from_slice(&body).unwrap_or_default();
    (status, texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect())
}

/// Polls until `count` messages have arrived.
async fn poll(world: &World, query: &str, id: &str, count: usize) -> Vec<Value> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let (status, more) = ask(world, query, id, None).await;
        assert_eq!(status, 200);
        messages.extend(more);
    }
    messages
}

#[tokio::test(start_paused = true)]
async fn a_page_that_stopped_polling_gets_queued_messages_when_it_polls_again() {
    for over_websocket in [false, true] {
        let world = World::open().await;
        let first = credentials(&world);
        let ack = poll(&world, &first, "one", 1).await;
        let key = ack[0]["d"]["session_key"].as_str().unwrap().to_owned();
        eventually(|| world.server.load().sessions == 1).await;
        let mut waited = 0;
        while world.server.load().detached == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            waited += 1;
            assert!(waited <= 40, "the server notices in time");
        }
        world.tell("alice", 1..=1000).await;
        let again = format!("session_key={key}");
        if over_websocket {
            let mut alice = world.published(&again).await;
            alice.greeted().await;
            alice.receive_unnumbered(1..=1000).await;
            assert_eq!(alice.request("users.get", json!({})).await["ok"], true);
        } else {
            let messages = poll(&world, &again, "two", 1001).await;
            assert_eq!(messages[0]["t"], "users.auth.ack");
            for (n, event) in (1..=1000).zip(&messages[1..]) {
                assert_eq!(event["d"]["data"], n);
            }
            let posted = ask(&world, &again, "two", Some(json!({"t": "users.get", "d": {}, "r": 1}))).await;
            assert_eq!(posted.0, 200);
            let next = poll(&world, &again, "two", 1).await;
            assert_eq!((next.len(), &next[0]["to"]), (1, &json!(1)));
            // The page's first connection has ended, its second continues.
            assert_ne!(ask(&world, &first, "one", Some(json!({"t": "ping", "r": 1}))).await.0, 200);
        }
        assert_eq!(world.server.load().detached, 0);
        world.close().await;
    }
}

/// Tests a page that stops polling and resumes its session by its key. Events are published while the first connection still has
/// the session, so they are handed to that connection and wait there for a poll that never arrives.
async fn events_waiting_for_a_poll_are_delivered(notices_loss: bool) {
    let world = World::open().await;
    let first = credentials(&world);
    let ack = poll(&world, &first, "one", 1).await;
    let key = ack[0]["d"]["session_key"].as_str().unwrap().to_owned();
    eventually(|| world.server.load().sessions == 1).await;
    assert_eq!(world.tell("alice", 1..=3).await.delivered, 1);
    assert_eq!(world.server.load().detached, 0, "the connection still has the session");
    if notices_loss {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(world.server.load().detached, 1, "the server gave the connection up");
        world.tell("alice", 4..=4).await;
    }
    let last = if notices_loss { 4 } else { 3 };
    let again = format!("session_key={key}");
    let mut messages = Vec::new();
    // An answer without messages would come after the last of them.
    for _ in 0..3 {
        messages.extend(ask(&world, &again, "two", None).await.1);
    }
    assert_eq!(messages[0]["t"], "users.auth.ack");
    let numbers: Vec<_> = messages[1..].iter().map(|event| event["d"]["data"].clone()).collect();
    assert_eq!(numbers, (1..=last).map(|n| json!(n)).collect::<Vec<_>>());
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn events_that_waited_for_a_poll_survive_the_loss_of_the_connection() {
    events_waiting_for_a_poll_are_delivered(true).await;
}

#[tokio::test(start_paused = true)]
async fn events_that_waited_for_a_poll_move_to_the_connection_that_takes_over() {
    events_waiting_for_a_poll_are_delivered(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_that_polls_again_before_the_server_notices_takes_over_its_session() {
    let world = World::open().await;
    let first = credentials(&world);
    let ack = poll(&world, &first, "one", 1).await;
    let key = ack[0]["d"]["session_key"].as_str().unwrap().to_owned();
    let again = format!("session_key={key}");
    let ack = poll(&world, &again, "two", 1).await;
    assert_eq!(ack[0]["d"]["ok"], true);
    assert_eq!(world.server.load().sessions, 1);
    // A poll of the first connection is told, and later ones are refused.
    let told = poll(&world, &first, "one", 1).await;
    assert_eq!(told[0]["d"]["error"]["reason"], "REPLACED");
    assert_eq!(ask(&world, &first, "one", None).await.0, 403);
    world.tell("alice", 1..=1).await;
    assert_eq!(poll(&world, &again, "two", 1).await[0]["d"]["data"], 1);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_published_sdk_told_to_reconnect_by_a_backend_loses_no_message() {
    let world = World::open().await;
    let mut alice = world.published(&credentials(&world)).await;
    let key = alice.greeted().await;
    assert_eq!(world.server.end_sessions(&world.app, &user("alice"), true).await.unwrap(), 1);
    // After a message the SDK would reconnect without a pause, so it is only sent the close.
    alice.closed_with(Code::Reconnect).await;
    world.tell("alice", 1..=2).await;
    let mut alice = world.published(&format!("session_key={key}")).await;
    alice.greeted().await;
    alice.receive_unnumbered(1..=2).await;
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_connection_of_a_silent_published_sdk_is_closed_and_its_session_is_kept() {
    let world = World::open().await;
    let mut alice = world.published(&credentials(&world)).await;
    let key = alice.greeted().await;
    let start = tokio::time::Instant::now();
    alice.closed_with(Code::IdleTimeout).await;
    assert!((35..=37).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    world.tell("alice", 1..=2).await;
    let mut alice = world.published(&format!("session_key={key}")).await;
    alice.greeted().await;
    alice.receive_unnumbered(1..=2).await;
    drop(alice);
    world.close().await;
}
