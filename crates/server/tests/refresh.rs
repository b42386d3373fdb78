//! `users.refresh`: replacing the credential of a live session, over memory and in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chatcamp_protocol::{AccessToken, Code};
use chatcamp_server::{AuthPolicy, Clock, Limits};
use common::{Peer, World, gated::Gated, set_clock, user};
use serde_json::json;

const NOW: u64 = 1_800_000_000;

/// Advances the time by `seconds`, during which the client sends pings.
async fn pass(now: &AtomicU64, seconds: u64, peer: &mut Peer) {
    for _ in 0..seconds / 10 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        now.fetch_add(10, Ordering::Relaxed);
        peer.receives_nothing().await;
    }
}

async fn gated(clock: Clock) -> (World, Gated) {
    let store = Gated::new();
    let (held, limits) = (Arc::new(store.clone()), Limits::default());
    (World::at(clock, common::keyring(), held, AuthPolicy::Open, limits).await, store)
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_last_token_expires() {
    let (clock, now) = set_clock(NOW);
    let world = World::open_at(clock).await;
    world.user("alice").await;
    let (accounts, app, id) = (&world.accounts, &world.app, user("alice"));
    let first = accounts.issue_token(app, &id, Some(60), 0).await.unwrap();
    let mut alice = world.connect_with("alice", &first).await;
    assert_eq!(alice.ack["token_expires_in"], 60);
    for _ in 0..3 {
        pass(&now, 50, &mut alice).await;
        let token = accounts.issue_token(app, &id, Some(60), 30).await.unwrap();
        let answer = alice.request("users.refresh", json!({"access_token": token.expose()})).await;
        assert_eq!((&answer["ok"], &answer["token_expires_in"]), (&json!(true), &json!(60)), "{answer}");
        let own = alice.request("users.get", json!({})).await;
        assert_eq!(own["user"]["access_token"], token.expose(), "what it presented last");
    }
    now.fetch_add(70, Ordering::Relaxed);
    alice.ended_with(Code::AccessTokenExpired).await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_expire_removes_the_expiry_of_the_session() {
    let (clock, now) = set_clock(NOW);
    let world = World::open_at(clock).await;
    world.user("alice").await;
    let (accounts, app, id) = (&world.accounts, &world.app, user("alice"));
    let first = accounts.issue_token(app, &id, Some(60), 0).await.unwrap();
    let mut alice = world.connect_with("alice", &first).await;
    let second = accounts.issue_token(app, &id, None, 30).await.unwrap();
    let answer = alice.request("users.refresh", json!({"access_token": second.expose()})).await;
    assert_eq!((&answer["ok"], answer.get("token_expires_in")), (&json!(true), None), "{answer}");
    pass(&now, 200, &mut alice).await;
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_sooner_ends_the_session_sooner() {
    let (clock, now) = set_clock(NOW);
    let world = World::open_at(clock).await;
    world.user("alice").await;
    let (accounts, app, id) = (&world.accounts, &world.app, user("alice"));
    let first = accounts.issue_token(app, &id, Some(3600), 0).await.unwrap();
    let mut alice = world.connect_with("alice", &first).await;
    let second = accounts.issue_token(app, &id, Some(20), 3600).await.unwrap();
    let answer = alice.request("users.refresh", json!({"access_token": second.expose()})).await;
    assert_eq!(answer["token_expires_in"], 20);
    let start = tokio::time::Instant::now();
    now.fetch_add(30, Ordering::Relaxed);
    alice.ended_with(Code::AccessTokenExpired).await;
    assert!(start.elapsed() <= Duration::from_secs(36), "{:?}", start.elapsed());
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_changes_nothing() {
    let (clock, _) = set_clock(NOW);
    let world = World::open_at(clock).await;
    let token = world.user("alice").await;
    let bobs = world.user("bob").await;
    let mut alice = world.connect_with("alice", &token).await;
    let own = token.expose();
    let broken = "ct1_AAAA";
    for (body, code) in [
        (json!({"access_token": "a wrong one, but long enough"}), "TOKEN_REFUSED"),
        (json!({"access_token": broken}), "TOKEN_REFUSED"),
        (json!({"access_token": bobs.expose()}), "TOKEN_REFUSED"),
        (json!({"access_token": ""}), "TOKEN_REFUSED"),
        (json!({"access_token": bobs.expose(), "user_id": "bob"}), "NOT_OWN_USER"),
        (json!({"access_token": own, "user_id": "bob"}), "NOT_OWN_USER"),
        (json!({"access_token": own, "user_id": ""}), "NOT_OWN_USER"),
        (json!({"access_token": 7}), "INVALID_BODY"),
        (json!({"access_token": null}), "INVALID_BODY"),
        (json!({}), "INVALID_BODY"),
        (json!(null), "INVALID_BODY"),
    ] {
        let answer = alice.request("users.refresh", body.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
        for secret in [own, bobs.expose(), broken] {
            assert!(!answer.to_string().contains(secret), "{answer}");
        }
        let shown = alice.request("users.get", json!({})).await;
        assert_eq!(shown["user"]["access_token"], own);
    }
    // The same token again, and the own user id, are accepted.
    for body in [json!({"access_token": own}), json!({"access_token": own, "user_id": "alice"})] {
        assert_eq!(alice.request("users.refresh", body).await["ok"], true);
    }
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_published_session_has_no_refresh() {
    let world = World::open().await;
    let token = world.user("alice").await;
    let query = format!("app_id={}&user_id=alice&access_token={}", world.app, token.expose());
    let mut alice = world.published(&query).await;
    alice.recv().await;
    let answer = alice.request("users.refresh", json!({"access_token": token.expose()})).await;
    assert_eq!(answer["error"]["code"], "UNKNOWN_TYPE");
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_sent_twice_is_answered_once() {
    let (clock, _) = set_clock(NOW);
    let (world, store) = gated(clock).await;
    let token = world.user("alice").await;
    let mut alice = world.connect_with("alice", &token).await;
    store.hold("user");
    let body = json!({"access_token": token.expose()});
    let r = alice.send_request("users.refresh", body.clone()).await;
    store.holds(1).await;
    let before = store.calls("user");
    let hint = alice.hint(0);
    let older = alice;
    let mut alice = world.resume("alice", Some(&token), hint).await.unwrap();
    alice.resumed(0, 1);
    let connect = store.calls("user") - before;
    alice.send(json!({"t": "users.refresh", "d": body, "r": r}).to_string()).await;
    store.release();
    let answer = alice.recv().await;
    assert_eq!((&answer["to"], &answer["d"]["ok"], &answer["s"]), (&json!(1), &json!(true), &json!(1)));
    alice.receives_nothing().await;
    // One check for the refresh, and none for its repetition.
    assert_eq!(store.calls("user") - before, connect + 1);
    drop((older, alice));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_refused() {
    let world = World::open().await;
    world.user("alice").await;
    world.accounts.set_locked(&world.app, &user("alice"), false).await.unwrap();
    let old = world.accounts.issue_token(&world.app, &user("alice"), None, 0).await.unwrap();
    let new = world.accounts.issue_token(&world.app, &user("alice"), None, 0).await.unwrap();
    let mut alice = world.connect("alice").await;
    let answer = alice.request("users.refresh", json!({"access_token": old.expose()})).await;
    assert_eq!(answer["error"]["code"], "TOKEN_REFUSED");
    alice.receives_nothing().await;
    let answer = alice.request("users.refresh", json!({"access_token": new.expose()})).await;
    assert_eq!(answer["ok"], true);
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_turns_a_session_by_id_into_one_by_token() {
    let world = World::open().await;
    let token = world.user("alice").await;
    world.accounts.set_locked(&world.app, &user("alice"), false).await.unwrap();
    let (mut raised, mut by_id) = (world.connect("alice").await, world.connect("alice").await);
    let answer = raised.request("users.refresh", json!({"access_token": token.expose()})).await;
    assert_eq!(answer["ok"], true);
    world.accounts.set_locked(&world.app, &user("alice"), true).await.unwrap();
    by_id.ended_with(Code::AccessTokenRequired).await;
    raised.receives_nothing().await;
    drop((raised, by_id));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_refresh_takes_effect() {
    for (what, code) in [
        ("revocation", Code::CredentialRevoked),
        ("suspension", Code::UserSuspended),
        ("deletion", Code::UserDeleted),
    ] {
        let (clock, _) = set_clock(NOW);
        let (world, store) = gated(clock).await;
        let token = world.user("alice").await;
        let mut alice = world.connect_with("alice", &token).await;
        store.hold("user");
        alice.send_request("users.refresh", json!({"access_token": token.expose()})).await;
        // The authenticator has read the user and has not returned its verdict yet.
        store.holds(1).await;
        let (accounts, app, id) = (&world.accounts, &world.app, user("alice"));
        match what {
            "revocation" => accounts.revoke_tokens(app, &id).await.unwrap(),
            "suspension" => accounts.set_suspended(app, &id, true).await.unwrap(),
            _ => accounts.delete_user(app, &id).await.unwrap(),
        }
        assert_eq!(alice.recv().await["d"]["code"], code.as_str());
        store.release();
        alice.closed_with(code).await;
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_with_an_old_record_does_not_apply_to_a_newer_token() {
    // The check has an older record of the user than the refresh, or a newer one.
    for refreshed_by in ["refresh", "resume"] {
        let (clock, _) = set_clock(NOW);
        let (world, store) = gated(clock).await;
        let old = world.user("alice").await;
        let mut alice = world.connect_with("alice", &old).await;
        let (accounts, app, id) = (&world.accounts, &world.app, user("alice"));
        store.hold("user");
        // A change without effect causes a check of the session, which has read the user and is held.
        accounts.set_locked(app, &id, false).await.unwrap();
        store.holds(1).await;
        let new = accounts.issue_token(app, &id, None, 3600).await.unwrap();
        if refreshed_by == "refresh" {
            let answer = alice.request("users.refresh", json!({"access_token": new.expose()})).await;
            assert_eq!(answer["ok"], true);
        } else {
            let hint = alice.hint(0);
            world.cut(alice).await;
            alice = world.resume("alice", Some(&new), hint).await.unwrap();
            alice.resumed(0, 0);
        }
        store.release();
        tokio::time::sleep(Duration::from_secs(1)).await;
        alice.receives_nothing().await;
        drop(alice);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refreshed_session_can_be_resumed_after_its_first_token_has_expired() {
    let (clock, now) = set_clock(NOW);
    let world = World::open_at(clock).await;
    world.user("alice").await;
    let (accounts, app, id) = (&world.accounts, &world.app, user("alice"));
    let first = accounts.issue_token(app, &id, Some(60), 0).await.unwrap();
    let mut alice = world.connect_with("alice", &first).await;
    let second: AccessToken = accounts.issue_token(app, &id, Some(3600), 60).await.unwrap();
    let answer = alice.request("users.refresh", json!({"access_token": second.expose()})).await;
    assert_eq!(answer["ok"], true);
    pass(&now, 100, &mut alice).await;
    let hint = alice.hint(alice.requests);
    world.cut(alice).await;
    world.tell("alice", 1..=1).await;
    let mut alice = world.resume("alice", Some(&second), hint.clone()).await.unwrap();
    alice.resumed(1, hint.sent);
    alice.receive_events(1..=1, hint.seen + 1).await;
    drop(alice);
    world.close().await;
}
