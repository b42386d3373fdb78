//! Resuming a session over another connection, in the native dialect, over memory and in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{sync::Arc, time::Duration};

use chatcamp_protocol::Code;
use chatcamp_server::{AuthPolicy, Limits, Recipients};
use common::{World, eventually, gated::Gated, user};
use serde_json::json;

/// Returns a world over a store whose answers a test can hold back.
async fn gated() -> (World, Gated) {
    let store = Gated::new();
    let mut limits = Limits::default();
    limits.drain = Duration::from_millis(250);
    limits.connects_per_user = None;
    (World::over(Arc::new(store.clone()), AuthPolicy::Open, limits).await, store)
}

#[tokio::test(start_paused = true)]
async fn a_resumed_client_gets_missed_messages_once_and_in_order_and_then_new_ones() {
    // The number of events before the connection is lost, how many of them are received, and how many follow while detached.
    for (sent, seen, away) in [
        (0, 0, 0),
        (0, 0, 5),
        (5, 5, 0),
        (5, 2, 0),
        (5, 2, 5),
        (5, 0, 5),
        // More messages than the carrier holds, in both directions.
        (63, 0, 1),
        (64, 0, 1),
        (65, 10, 0),
        (200, 10, 300),
        (500, 0, 500),
    ] {
        let world = World::open().await;
        let mut alice = world.connect("alice").await;
        assert_eq!(alice.fresh(), Some("new"));
        assert!(sent == 0 || world.tell("alice", 1..=sent).await.delivered == 1);
        alice.receive_events(1..=seen, 1).await;
        let hint = alice.hint(seen);
        world.cut(alice).await;
        assert!(away == 0 || world.tell("alice", sent + 1..=sent + away).await.queued == 1);

        let mut alice = world.resume("alice", None, hint).await.unwrap();
        alice.resumed(sent - seen + away, 0);
        let last = sent + away;
        // New messages come after the missed ones.
        world.tell("alice", last + 1..=last + 3).await;
        alice.receive_events(seen + 1..=last + 3, seen + 1).await;
        alice.send_request("ping", json!({"seen": last + 3})).await;
        let pong = alice.recv().await;
        assert_eq!((&pong["to"], &pong["s"]), (&json!(1), &json!(last + 4)), "{sent} {seen} {away}");
        drop(alice);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_survives_many_lost_connections() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    let (mut seen, mut told) = (0, 0);
    for round in 1..=20 {
        world.tell("alice", told + 1..=told + 3).await;
        told += 3;
        // Reads none or some of the messages, never all.
        let reads = (told - seen) * (round % 3) / 3;
        alice.receive_events(seen + 1..=seen + reads, seen + 1).await;
        seen += reads;
        let hint = alice.hint(seen);
        world.cut(alice).await;
        world.tell("alice", told + 1..=told + 2).await;
        told += 2;
        alice = world.resume("alice", None, hint).await.unwrap();
        alice.resumed(told - seen, 0);
    }
    alice.receive_events(seen + 1..=told, seen + 1).await;
    alice.receives_nothing().await;
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_is_replayed_and_the_request_is_not_run_twice() {
    let (world, store) = gated().await;
    let mut alice = world.connect("alice").await;
    alice.request("users.update", json!({"data": "one"})).await;
    alice.send_request("users.update", json!({"data": "two"})).await;
    eventually(|| store.calls("edit_user") == 2).await;
    let hint = alice.hint(1);
    world.cut(alice).await;

    let mut alice = world.resume("alice", None, hint).await.unwrap();
    alice.resumed(1, 2);
    let ack = alice.recv().await;
    assert_eq!((&ack["t"], &ack["to"], &ack["s"]), (&json!("users.update.ack"), &json!(2), &json!(2)));
    assert_eq!(ack["d"]["user"]["data"], "two");
    // A request that is sent again anyway is neither acknowledged again nor run.
    for r in [2, 1, 0] {
        if r > 0 {
            alice.send(json!({"t": "users.update", "d": {"data": "again"}, "r": r}).to_string()).await;
        }
    }
    let own = alice.request("users.get", json!({})).await;
    assert_eq!((&own["user"]["data"], store.calls("edit_user")), (&json!("two"), 2));
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_run_when_it_is_sent_again() {
    let (world, store) = gated().await;
    let mut alice = world.connect("alice").await;
    alice.request("users.update", json!({"data": "one"})).await;
    let mut hint = alice.hint(1);
    // Two more requests were sent after the connection was lost.
    hint.sent = 3;
    world.cut(alice).await;
    let mut alice = world.resume("alice", None, hint).await.unwrap();
    alice.resumed(0, 1);
    alice.requests = 1;
    assert_eq!(alice.request("users.update", json!({"data": "two"})).await["user"]["data"], "two");
    assert_eq!(alice.request("users.update", json!({"data": "three"})).await["user"]["data"], "three");
    assert_eq!(store.calls("edit_user"), 3);
    // A gap in the numbers still ends the session.
    alice.requests += 1;
    alice.send_request("ping", json!({})).await;
    alice.ended_with(Code::OutOfSequence).await;
    world.close().await;
}

/// How the connection of a request in progress ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    /// The connection is lost.
    Cut,
    /// The backend tells the client to reconnect.
    Dismissed,
    /// The client resumes before the server notices the loss.
    TakenOver,
}

#[tokio::test(start_paused = true)]
async fn the_acknowledgement_of_a_request_in_progress_waits_for_its_client() {
    for goes in [Goes::Cut, Goes::Dismissed, Goes::TakenOver] {
        for done_while_away in [true, false] {
            let (world, store) = gated().await;
            let mut alice = world.connect("alice").await;
            store.hold("edit_user");
            alice.send_request("users.update", json!({"data": "one"})).await;
            store.holds(1).await;
            let hint = alice.hint(0);
            let mut before = None;
            match goes {
                Goes::Cut => drop(alice),
                Goes::Dismissed => {
                    assert_eq!(world.server.end_sessions(&world.app, &user("alice"), true).await.unwrap(), 1);
                    alice.ended_with(Code::Reconnect).await;
                }
                Goes::TakenOver => before = Some(alice),
            }
            world.tell("alice", 1..=1).await;
            if done_while_away {
                store.release();
                store.holds(0).await;
                let is_away = usize::from(goes != Goes::TakenOver);
                eventually(|| world.server.load().detached == is_away).await;
            }
            let mut alice = world.resume("alice", None, hint).await.unwrap();
            alice.resumed(1 + u64::from(done_while_away), 1);
            alice.receive_events(1..=1, 1).await;
            if !done_while_away {
                alice.send_request("users.get", json!({})).await;
                world.tell("alice", 2..=2).await;
                alice.receive_events(2..=2, 2).await;
                store.release();
            }
            let answer = alice.recv().await;
            let s = if done_while_away { 2 } else { 3 };
            assert_eq!((&answer["to"], &answer["s"]), (&json!(1), &json!(s)), "{goes:?} {answer}");
            if !done_while_away {
                assert_eq!(
                    alice.recv().await["to"],
                    2,
                    "requests are run one after another, over any connection"
                );
            }
            assert_eq!(store.calls("edit_user"), 1);
            alice.receives_nothing().await;
            drop((before, alice));
            world.close().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_is_dropped_when_its_session_is_over() {
    // The session is over because its client was detached too long, its user was deleted, or it was evicted.
    for why in ["window", "deletion", "room"] {
        let (world, store) = gated().await;
        let mut alice = world.connect("alice").await;
        store.hold("edit_user");
        alice.send_request("users.update", json!({"data": "one"})).await;
        store.holds(1).await;
        assert_eq!(world.server.end_sessions(&world.app, &user("alice"), true).await.unwrap(), 1);
        alice.ended_with(Code::Reconnect).await;
        assert_eq!(world.server.load().detached, 1);
        match why {
            "window" => tokio::time::sleep(Duration::from_secs(130)).await,
            "deletion" => {
                world.accounts.delete_user(&world.app, &user("alice")).await.unwrap();
            }
            _ => {
                for _ in 0..8 {
                    drop(world.connect("alice").await);
                    eventually(|| world.server.load().sessions == 0).await;
                }
                assert_eq!(world.server.load().detached, 8);
            }
        }
        drop(alice);
        if why != "room" {
            eventually(|| world.server.load().detached == 0).await;
        }
        // The store answers late, when the session is over.
        store.release();
        tokio::time::sleep(Duration::from_secs(130)).await;
        assert_eq!(world.server.load(), common::AT_REST, "{why}");
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_does_not_block_the_shutdown() {
    for is_away in [false, true] {
        let (world, store) = gated().await;
        let mut alice = world.connect("alice").await;
        store.hold("edit_user");
        alice.send_request("users.update", json!({"data": "one"})).await;
        store.holds(1).await;
        if is_away {
            world.server.end_sessions(&world.app, &user("alice"), true).await.unwrap();
            alice.ended_with(Code::Reconnect).await;
        }
        drop(alice);
        let down = tokio::time::timeout(Duration::from_secs(20), world.server.shutdown()).await;
        assert!(down.is_ok(), "away: {is_away}: {:?}", world.server);
        assert_eq!(world.server.load(), common::AT_REST);
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_key_is_valid_until_a_newer_one_is_used_or_a_request_arrives() {
    let world = World::open().await;
    let first = world.connect("alice").await;
    let one = first.hint(0);
    world.cut(first).await;
    // The acknowledgement with the second key is lost, and so is the one with the third.
    for _ in 0..2 {
        let lost = world.resume("alice", None, one.clone()).await.unwrap();
        assert_eq!(lost.fresh(), None);
        world.cut(lost).await;
    }
    let fourth = world.resume("alice", None, one.clone()).await.unwrap();
    let four = fourth.hint(0);
    world.cut(fourth).await;
    let fifth = world.resume("alice", None, four.clone()).await.unwrap();
    assert_eq!(fifth.fresh(), None, "the newest was used");
    let impostor = world.resume("alice", None, one.clone()).await.unwrap();
    assert_eq!(impostor.fresh(), Some("unknown_key"));
    drop(impostor);
    // The fourth key is valid until a request arrives on the session.
    let mut sixth = world.resume("alice", None, four.clone()).await.unwrap();
    assert_eq!(sixth.fresh(), None);
    sixth.receives_nothing().await;
    let mut six = sixth.hint(1);
    let stale = world.resume("alice", None, four).await.unwrap();
    assert_eq!(stale.fresh(), Some("unknown_key"));
    sixth.receives_nothing().await;
    (six.seen, six.sent) = (2, 2);
    world.cut(sixth).await;
    world.resume("alice", None, six).await.unwrap().resumed(0, 2);
    drop((fifth, stale));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_resume_of_a_live_session_takes_it_over() {
    let world = World::open().await;
    let mut older = world.connect("alice").await;
    world.tell("alice", 1..=5).await;
    older.receive_events(1..=2, 1).await;
    let mut newer = world.resume("alice", None, older.hint(2)).await.unwrap();
    newer.resumed(3, 0);
    world.tell("alice", 6..=6).await;
    newer.receive_events(3..=6, 3).await;
    // The older connection may still read the messages already sent to it, and then the reason of its end.
    older.receive_events(3..=5, 3).await;
    older.ended_with(Code::Replaced).await;
    assert_eq!(world.server.load().sessions, 1);
    newer.receives_nothing().await;
    drop(newer);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_simultaneous_takeovers_one_gets_the_session_and_the_other_is_told() {
    for was_cut in [false, true] {
        let world = World::open().await;
        let first = world.connect("alice").await;
        world.tell("alice", 1..=5).await;
        let hint = first.hint(0);
        let first = if was_cut {
            world.cut(first).await;
            None
        } else {
            Some(first)
        };
        let (one, two) = tokio::join!(
            world.resume("alice", None, hint.clone()),
            world.resume("alice", None, hint.clone())
        );
        let mut both = [one.unwrap(), two.unwrap()];
        for peer in &mut both {
            peer.resumed(5, 0);
        }
        world.tell("alice", 6..=6).await;
        assert_eq!(world.server.load().sessions + world.server.load().detached, 1);
        // Each receives all messages until it loses the session; one receives all.
        let mut winners = 0;
        for peer in &mut both {
            peer.receive_events(1..=5, 1).await;
            let next = peer.recv().await;
            if next["t"] == "session.close" {
                assert_eq!(next["d"]["code"], "REPLACED");
                peer.closed_with(Code::Replaced).await;
            } else {
                assert_eq!((&next["d"]["data"], &next["s"]), (&json!(6), &json!(6)));
                peer.receives_nothing().await;
                winners += 1;
            }
        }
        assert_eq!(winners, 1);
        drop((first, both));
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn acknowledged_messages_are_dropped() {
    let world = World::open().await;
    // How many of ten it acknowledged, from where it resumes, and whether it can.
    for (acknowledged, seen, goes_on) in
        [(0, 0, true), (0, 10, true), (5, 5, true), (5, 4, false), (10, 9, false), (10, 10, true)]
    {
        let mut alice = world.connect("alice").await;
        world.tell("alice", 1..=10).await;
        alice.receive_events(1..=10, 1).await;
        assert_eq!(alice.request("ping", json!({"seen": acknowledged})).await["ok"], true);
        let hint = alice.hint(seen);
        world.cut(alice).await;
        let mut back = world.resume("alice", None, hint).await.unwrap();
        if goes_on {
            back.resumed(11 - seen, 1);
            back.receive_events(seen + 1..=10, seen + 1).await;
            assert_eq!(back.recv().await["to"], 1);
        } else {
            assert_eq!(back.fresh(), Some("too_late"), "{acknowledged} {seen}");
        }
        back.connection.close(chatcamp_transport::Close::NORMAL).await;
        eventually(|| world.server.load().sessions == 0).await;
        assert_eq!(world.server.load().detached, 0);
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_acknowledgement_number_is_refused() {
    let world = World::open().await;
    for (ping, malformed) in [
        (json!({"seen": 3}), false),
        (json!({"seen": 4}), true),
        (json!({"seen": u64::MAX}), true),
        (json!({"seen": 0}), false),
        (json!({}), false),
    ] {
        let mut alice = world.connect("alice").await;
        world.tell("alice", 1..=3).await;
        alice.receive_events(1..=3, 1).await;
        alice.send_request("ping", ping.clone()).await;
        if malformed {
            alice.ended_with(Code::Malformed).await;
        } else {
            assert_eq!(alice.recv().await["d"]["ok"], true, "{ping}");
            // A smaller number than before is harmless.
            assert_eq!(alice.request("ping", json!({"seen": 1})).await["ok"], true);
            alice.connection.close(chatcamp_transport::Close::NORMAL).await;
        }
        eventually(|| world.server.load().sessions == 0).await;
    }
    for seen in [json!(-1), json!("3"), json!(1.5), json!(null), json!([])] {
        let mut alice = world.connect("alice").await;
        let answer = alice.request("ping", json!({"seen": seen})).await;
        assert_eq!(answer["error"]["code"], "INVALID_BODY", "{seen}");
        alice.receives_nothing().await;
        alice.connection.close(chatcamp_transport::Close::NORMAL).await;
    }
    // A message that still waits for room in the carrier was not sent, so it cannot have been received.
    let mut alice = world.connect("alice").await;
    world.tell("alice", 1..=100).await;
    alice.send_request("ping", json!({"seen": 100})).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    alice.receive_events(1..=64, 1).await;
    // The carrier has no room for the reason either.
    alice.closed_with(Code::Malformed).await;
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_acknowledges_gets_all_messages_and_can_resume_from_the_last_thousand() {
    for (seen, goes_on) in [(500, true), (499, false), (1500, true), (0, false)] {
        let world = World::open().await;
        let mut alice = world.connect("alice").await;
        for n in (1..=1500).step_by(50) {
            world.tell("alice", n..=n + 49).await;
            alice.receive_events(n..=n + 49, n).await;
        }
        let hint = alice.hint(seen);
        world.cut(alice).await;
        let mut alice = world.resume("alice", None, hint).await.unwrap();
        if goes_on {
            alice.resumed(1500 - seen, 0);
            alice.receive_events(seen + 1..=1500, seen + 1).await;
        } else {
            assert_eq!(alice.fresh(), Some("too_late"));
        }
        alice.receives_nothing().await;
        drop(alice);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_and_its_session_is_kept() {
    let world = World::open().await;
    let mut silent = world.connect("alice").await;
    let start = tokio::time::Instant::now();
    let hint = silent.hint(0);
    silent.ended_with(Code::IdleTimeout).await;
    assert!((35..=37).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(world.server.load().detached, 1);
    world.tell("alice", 1..=3).await;
    let mut alice = world.resume("alice", None, hint).await.unwrap();
    alice.resumed(3, 0);
    alice.receive_events(1..=3, 1).await;
    // The whole time of silence is allowed again.
    tokio::time::sleep(Duration::from_secs(30)).await;
    alice.receives_nothing().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    alice.receives_nothing().await;
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_of_a_replaced_connection_is_run_at_most_once() {
    let (world, store) = gated().await;
    for round in 1..=20 {
        let mut older = world.connect("alice").await;
        let before = store.calls("edit_user");
        let hint = older.hint(0);
        // Sent over the old connection at the same time as the new one resumes.
        let (mut hint_now, sent) =
            (hint.clone(), older.send_request("users.update", json!({"data": round.to_string()})));
        hint_now.sent = 1;
        let (_, newer) = tokio::join!(sent, world.resume("alice", None, hint_now));
        let mut newer = newer.unwrap();
        let received = newer.ack["session"]["resumed"]["received"].as_u64().unwrap();
        if received == 0 {
            newer
                .send(json!({"t": "users.update", "d": {"data": round.to_string()}, "r": 1}).to_string())
                .await;
        }
        assert_eq!(newer.recv().await["to"], 1);
        newer.receives_nothing().await;
        assert_eq!(store.calls("edit_user") - before, 1);
        newer.connection.close(chatcamp_transport::Close::NORMAL).await;
        eventually(|| world.server.load().sessions == 0).await;
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_resume_needs_as_many_store_calls_as_a_connect() {
    let (world, store) = gated().await;
    let asked = |store: &Gated| store.calls("user") + store.calls("app");
    let start = asked(&store);
    let alice = world.connect("alice").await;
    eventually(|| world.server.load().unverified == 0).await;
    let connect = asked(&store) - start;
    let hint = alice.hint(0);
    world.cut(alice).await;
    world.tell("alice", 1..=100).await;
    let start = asked(&store);
    let mut alice = world.resume("alice", None, hint).await.unwrap();
    alice.receive_events(1..=100, 1).await;
    alice.receives_nothing().await;
    assert_eq!(asked(&store) - start, connect);
    drop(alice);
    world.close().await;
}

/// A client that loses its connection repeatedly, receives each number once and has each request acknowledged once.
async fn loses_connections_and_gets_all_messages(
    world: Arc<World>,
    id: String,
    seed: u64,
    events: u64,
    requests: u64,
) {
    let mut state = seed;
    let mut draw = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut peer = world.connect(&id).await;
    let (mut seen, mut heard, mut answered) = (0, 0, 0);
    while heard < events || answered < requests {
        if peer.requests < requests && draw(4) == 0 {
            // Sometimes after the connection was lost.
            peer.requests += 1;
            let text = json!({"t": "users.get", "d": {}, "r": peer.requests}).to_string();
            _ = peer.connection.send(text.into()).await;
        }
        if draw(20) == 0 {
            let hint = peer.hint(seen);
            let sent = hint.sent;
            // Before or after the server notices.
            let older = peer;
            if draw(2) == 0 {
                drop(older);
                peer = world.resume(&id, None, hint).await.unwrap();
            } else {
                peer = world.resume(&id, None, hint).await.unwrap();
                drop(older);
            }
            let received = peer.ack["session"]["resumed"]["received"].as_u64();
            let received = received.unwrap_or_else(|| panic!("{}", peer.ack));
            for r in received + 1..=sent {
                peer.send(json!({"t": "users.get", "d": {}, "r": r}).to_string()).await;
            }
            continue;
        }
        if heard == events && answered == peer.requests {
            continue;
        }
        let message = peer.recv().await;
        seen += 1;
        assert_eq!(message["s"], seen, "{message}");
        if message["t"] == "app.event.pub" {
            heard += 1;
            assert_eq!(message["d"]["data"], heard);
        } else {
            answered += 1;
            assert_eq!(message["to"], answered, "{message}");
        }
    }
    peer.receives_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_no_client_misses_a_message_when_connections_are_lost() {
    const USERS: u64 = 20;
    const EVENTS: u64 = 300;
    let world = Arc::new(World::open().await);
    let clients: Vec<_> = (0..USERS)
        .map(|n| {
            tokio::spawn(loses_connections_and_gets_all_messages(
                world.clone(),
                format!("user{n}"),
                n,
                EVENTS,
                100,
            ))
        })
        .collect();
    eventually(|| world.server.load().sessions + world.server.load().detached == USERS as usize).await;
    for n in 1..=EVENTS {
        let told = world.server.publish(&world.app, &Recipients::All, "number", &json!(n)).await.unwrap();
        assert_eq!(told.delivered + told.queued, USERS as usize);
    }
    for client in clients {
        client.await.unwrap();
    }
    Arc::into_inner(world).unwrap().close().await;
}
