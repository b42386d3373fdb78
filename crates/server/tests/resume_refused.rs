//! Refused resumes, and the codes that clients get, over memory and in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chatcamp_auth::{
    Keyring,
    session_key::{self, Claims},
};
use chatcamp_protocol::{AccessToken, AppId, Code, SessionKey, handshake::Resume};
use chatcamp_server::{AuthPolicy, Limits, PublishOutcome};
use chatcamp_transport::{Close, Transport};
use common::{Peer, World, eventually, gated::Gated, set_clock, user};
use serde_json::json;

const NOW: u64 = 1_800_000_000;

/// A hint as a good client would give, and what was done to it.
type Case = (&'static str, fn(&mut Resume), &'static str);

fn change(hint: &mut Resume, change: impl FnOnce(&mut Claims)) {
    let mut claims = session_key::open(&common::keyring(), &hint.key, NOW).unwrap();
    change(&mut claims);
    hint.key = session_key::seal(&common::keyring(), &claims);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_resume_starts_a_fresh_session_and_affects_no_other() {
    let cases: &[Case] = &[
        ("seen from the future", |hint| hint.seen = 6, "unknown_key"),
        ("seen from far away", |hint| hint.seen = u64::MAX, "unknown_key"),
        ("fewer requests than were heard", |hint| hint.sent = 1, "unknown_key"),
        ("no requests at all", |hint| hint.sent = 0, "unknown_key"),
        ("garbage", |hint| hint.key = SessionKey::new("cs1.garbage"), "unknown_key"),
        ("nothing", |hint| hint.key = SessionKey::new(""), "unknown_key"),
        (
            "forged",
            |hint| {
                let claims = session_key::open(&common::keyring(), &hint.key, NOW).unwrap();
                hint.key = session_key::seal(&Keyring::new(vec![[8; 32]]).unwrap(), &claims);
            },
            "unknown_key",
        ),
        ("of another user", |hint| change(hint, |claims| claims.user = user("mallory")), "unknown_key"),
        (
            "of another app",
            |hint| change(hint, |claims| claims.app = AppId::new("another").unwrap()),
            "unknown_key",
        ),
        ("of a published session", |hint| change(hint, |claims| claims.is_native = false), "unknown_key"),
        ("a serial that never was", |hint| change(hint, |claims| claims.serial = 2), "unknown_key"),
        ("serial zero", |hint| change(hint, |claims| claims.serial = 0), "unknown_key"),
        ("of another process", |hint| change(hint, |claims| claims.incarnation ^= 1), "too_late"),
        ("of a session that is gone", |hint| change(hint, |claims| claims.session ^= 1 << 32), "too_late"),
    ];
    for is_away in [false, true] {
        for (what, spoil, why) in cases {
            let (clock, _) = set_clock(NOW);
            let world = World::open_at(clock).await;
            let mut alice = world.connect("alice").await;
            for _ in 0..2 {
                alice.receives_nothing().await;
            }
            world.tell("alice", 1..=3).await;
            let good = alice.hint(2);
            let mut kept = Some(alice);
            if is_away {
                world.cut(kept.take().unwrap()).await;
            }
            let mut hint = good.clone();
            spoil(&mut hint);
            let mut impostor = world.resume("alice", None, hint).await.unwrap();
            assert_eq!(impostor.fresh(), Some(*why), "{what}");
            impostor.requests = 0;
            // It has a session of its own: numbers begin anew, and nothing of the other is told.
            impostor.receives_nothing().await;
            assert_eq!(impostor.send_request("ping", json!({})).await, 2);
            assert_eq!(impostor.recv().await["s"], 2);
            impostor.connection.close(Close::NORMAL).await;
            let goes_on = world.resume("alice", None, good).await.unwrap();
            goes_on.resumed(3, 2);
            drop((kept, goes_on));
            world.close().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_cannot_be_resumed_by_another_user() {
    let world = World::open().await;
    let other_app = world.accounts.create_app("other", AuthPolicy::Open, None).await.unwrap().id;
    let mut alice = world.connect("alice").await;
    let query = format!("app_id={}&user_id=alice", world.app);
    let mut published = world.published(&query).await;
    let key = published.recv().await["d"]["session_key"].as_str().unwrap().to_owned();

    // Alice's key, used by bob and by the alice of another app.
    let bob = world.resume("bob", None, alice.hint(0)).await.unwrap();
    assert_eq!(bob.fresh(), Some("unknown_key"));
    let connection = world.transport.connect().await.unwrap();
    let other = Peer::hello(connection, &other_app, "alice", None, Some(alice.hint(0))).await.unwrap();
    assert_eq!(other.fresh(), Some("unknown_key"));
    // A key of the other dialect, in both directions.
    let hint = Resume { key: SessionKey::new(key), seen: 0, sent: 0 };
    let native = world.resume("alice", None, hint).await.unwrap();
    assert_eq!(native.fresh(), Some("unknown_key"));
    let mut alone = world.published(&format!("session_key={}", alice.hint(0).key.expose())).await;
    assert_eq!(alone.recv().await["d"]["error"]["message"], "Session Key Invalid");
    alone.closed_with(Code::SessionKeyInvalid).await;

    alice.receives_nothing().await;
    published.send_request("users.get", json!({})).await;
    assert_eq!(published.recv().await["to"], 1);
    drop((alice, published, bob, other, native));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_names_a_session_of_the_other_dialect_does_not_resume_it() {
    // Only a holder of the master keys can make such a key.
    let (clock, _) = set_clock(NOW);
    let world = World::open_at(clock).await;
    let alice = world.connect("alice").await;
    let mut published = world.published(&format!("app_id={}&user_id=alice", world.app)).await;
    let key = published.recv().await["d"]["session_key"].as_str().unwrap().to_owned();
    let (mut of_native, mut of_published) =
        (alice.hint(0), Resume { key: SessionKey::new(key.clone()), seen: 0, sent: 0 });
    world.cut(alice).await;
    world.cut(published).await;
    assert_eq!(world.tell("alice", 1..=2).await.queued, 2);

    change(&mut of_published, |claims| claims.is_native = true);
    let mut native = world.resume("alice", None, of_published).await.unwrap();
    assert_eq!(native.fresh(), Some("unknown_key"));
    native.receives_nothing().await;
    change(&mut of_native, |claims| claims.is_native = false);
    let mut refused = world.published(&format!("session_key={}", of_native.key.expose())).await;
    assert_eq!(refused.recv().await["d"]["error"]["message"], "Session Key Invalid");
    refused.closed_with(Code::SessionKeyInvalid).await;

    let mut published = world.published(&format!("session_key={key}")).await;
    assert_eq!(published.recv().await["d"]["ok"], true);
    for n in 1..=2 {
        assert_eq!(published.recv().await["d"]["data"], n);
    }
    drop((native, published));
    world.close().await;
}

/// Changes alice.
async fn happens(world: &World, what: &str) {
    let (accounts, app, alice) = (&world.accounts, &world.app, user("alice"));
    match what {
        "nothing" => {}
        "lock" => accounts.set_locked(app, &alice, true).await.unwrap(),
        "rotation" => _ = accounts.issue_token(app, &alice, None, 0).await.unwrap(),
        "revocation" => accounts.revoke_tokens(app, &alice).await.unwrap(),
        "suspension" => accounts.set_suspended(app, &alice, true).await.unwrap(),
        "deletion" => accounts.delete_user(app, &alice).await.unwrap(),
        "policy" => accounts.set_policy(app, AuthPolicy::Token).await.unwrap(),
        other => panic!("{other}"),
    }
}

/// The change, and the result of the resume: a code, `fresh`, or nothing if the session continues.
type Change = (&'static str, Option<&'static str>, Option<&'static str>);

const CHANGES: &[Change] = &[
    // The change, and the results by user id alone and by token.
    ("nothing", None, None),
    ("lock", Some("ACCESS_TOKEN_REQUIRED"), None),
    ("rotation", Some("too_late"), Some("ACCESS_TOKEN_INVALID")),
    ("revocation", Some("too_late"), Some("ACCESS_TOKEN_INVALID")),
    ("suspension", Some("USER_SUSPENDED"), Some("USER_SUSPENDED")),
    ("deletion", Some("too_late"), Some("ACCESS_TOKEN_INVALID")),
    ("policy", Some("CREDENTIAL_REFUSED"), None),
];

#[tokio::test(start_paused = true)]
async fn a_resume_checks_the_credential_like_a_connect() {
    for &(what, by_id, by_token) in CHANGES {
        for (has_token, expected) in [(false, by_id), (true, by_token)] {
            let world = World::open().await;
            let token = world.user("alice").await;
            world.accounts.set_locked(&world.app, &user("alice"), false).await.unwrap();
            let token = has_token.then_some(&token);
            let alice = world.try_connect("alice", token).await.unwrap();
            let hint = alice.hint(0);
            world.cut(alice).await;
            world.tell("alice", 1..=1).await;
            happens(&world, what).await;
            let ends = expected.is_some();
            eventually(|| (world.server.load().detached == 0) == ends).await;
            match (world.resume("alice", token, hint).await, expected) {
                (Ok(mut alice), None) => {
                    alice.resumed(1, 0);
                    alice.receive_events(1..=1, 1).await;
                    alice.receives_nothing().await;
                }
                (Ok(mut alice), Some(why)) => {
                    assert_eq!(alice.fresh(), Some(why), "{what}");
                    alice.receives_nothing().await;
                }
                (Err(code), expected) => assert_eq!(Some(code.as_str()), expected, "{what} {has_token}"),
            }
            world.close().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_resume_takes_effect() {
    // The code that ends it, by user id alone and by token.
    for (what, by_id, by_token) in [
        ("lock", Some(Code::AccessTokenRequired), None),
        ("rotation", Some(Code::CredentialChanged), Some(Code::CredentialRevoked)),
        ("revocation", Some(Code::CredentialChanged), Some(Code::CredentialRevoked)),
        ("suspension", Some(Code::UserSuspended), Some(Code::UserSuspended)),
        ("deletion", Some(Code::UserDeleted), Some(Code::UserDeleted)),
        ("policy", Some(Code::AccessTokenRequired), None),
    ] {
        for (has_token, ends) in [(false, by_id), (true, by_token)] {
            let store = Gated::new();
            let world = World::over(Arc::new(store.clone()), AuthPolicy::Open, Limits::default()).await;
            let token = world.user("alice").await;
            world.accounts.set_locked(&world.app, &user("alice"), false).await.unwrap();
            let token = has_token.then_some(token);
            let alice = world.try_connect("alice", token.as_ref()).await.unwrap();
            let hint = alice.hint(0);
            world.cut(alice).await;
            world.tell("alice", 1..=1).await;
            store.hold("user");
            let coming = world.resume("alice", token.as_ref(), hint);
            let meanwhile = async {
                store.holds(1).await;
                happens(&world, what).await;
                eventually(|| (world.server.load().detached == 0) == ends.is_some()).await;
                store.release();
            };
            let (coming, ()) = tokio::join!(coming, meanwhile);
            let mut alice = coming.unwrap();
            match ends {
                Some(code) => {
                    assert_eq!(alice.fresh(), Some("too_late"), "{what}");
                    alice.ended_with(code).await;
                }
                None => {
                    alice.resumed(1, 0);
                    alice.receive_events(1..=1, 1).await;
                    alice.receives_nothing().await;
                }
            }
            drop(alice);
            world.close().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_with_an_expired_token_is_refused_with_that_code() {
    let (clock, now) = set_clock(NOW);
    let world = World::open_at(clock).await;
    world.user("alice").await;
    let token = world.accounts.issue_token(&world.app, &user("alice"), Some(60), 0).await.unwrap();
    let alice = world.connect_with("alice", &token).await;
    let hint = alice.hint(0);
    world.cut(alice).await;
    now.fetch_add(66, Ordering::Relaxed);
    let refused = world.resume("alice", Some(&token), hint).await;
    assert_eq!(refused.unwrap_err(), "ACCESS_TOKEN_EXPIRED");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_can_be_resumed_with_a_newer_token() {
    // The token was renewed while the client was away. The old one is still valid, or has expired.
    for ended in [false, true] {
        let (clock, now) = set_clock(NOW);
        let world = World::open_at(clock).await;
        world.user("alice").await;
        let (app, id) = (&world.app, user("alice"));
        let old = world.accounts.issue_token(app, &id, Some(60), 0).await.unwrap();
        let alice = world.connect_with("alice", &old).await;
        let hint = alice.hint(0);
        world.cut(alice).await;
        world.tell("alice", 1..=1).await;
        let new = world.accounts.issue_token(app, &id, Some(3600), 60).await.unwrap();
        // The rotation is checked during the grace period of the old token.
        tokio::time::sleep(Duration::from_secs(1)).await;
        now.fetch_add(if ended { 70 } else { 30 }, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(70)).await;
        let mut alice = world.resume("alice", Some(&new), hint).await.unwrap();
        alice.resumed(1, 0);
        alice.receive_events(1..=1, 1).await;
        // The new token is now the credential.
        now.fetch_add(100, Ordering::Relaxed);
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            alice.receives_nothing().await;
        }
        drop(alice);
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_with_one_connection_for_more_than_a_day_can_be_resumed() {
    let (clock, now) = set_clock(NOW);
    let world = World::open_at(clock).await;
    let alice = world.connect("alice").await;
    let hint = alice.hint(0);
    now.fetch_add(25 * 60 * 60, Ordering::Relaxed);
    world.cut(alice).await;
    world.tell("alice", 1..=1).await;
    let mut alice = world.resume("alice", None, hint).await.unwrap();
    alice.resumed(1, 0);
    alice.receive_events(1..=1, 1).await;
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn clients_told_to_reconnect_by_a_backend_lose_no_message() {
    let world = World::open().await;
    let (mut one, mut two) = (world.connect("alice").await, world.connect("alice").await);
    let mut bystander = world.connect("bob").await;
    world.tell("alice", 1..=3).await;
    one.receive_events(1..=1, 1).await;
    let hints = [one.hint(1), two.hint(0)];
    assert_eq!(world.server.end_sessions(&world.app, &user("alice"), true).await.unwrap(), 2);
    for (peer, next) in [(&mut one, 2), (&mut two, 1)] {
        peer.receive_events(next..=3, next).await;
        let close = peer.recv().await;
        assert_eq!((&close["d"]["code"], &close["d"]["advice"]), (&json!("RECONNECT"), &json!("retry")));
        assert!((500..=1000).contains(&close["d"]["retry_after_ms"].as_u64().unwrap()), "{close}");
        peer.closed_with(Code::Reconnect).await;
    }
    assert_eq!(
        world.server.end_sessions(&world.app, &user("alice"), true).await.unwrap(),
        0,
        "they are away already"
    );
    world.tell("alice", 4..=4).await;
    for hint in hints {
        let seen = hint.seen;
        let mut back = world.resume("alice", None, hint).await.unwrap();
        back.resumed(4 - seen, 0);
        back.receive_events(seen + 1..=4, seen + 1).await;
    }
    bystander.receives_nothing().await;
    drop((one, two, bystander));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_client_is_told_once_at_once_or_when_it_resumes() {
    let world = World::open().await;
    let (mut live, away) = (world.connect("alice").await, world.connect("alice").await);
    let query = format!("app_id={}&user_id=alice", world.app);
    let mut published = world.published(&query).await;
    let key = published.recv().await["d"]["session_key"].clone();
    let hint = away.hint(0);
    world.cut(away).await;
    world.cut(published).await;
    world.tell("alice", 1..=1).await;
    assert_eq!(world.server.end_sessions(&world.app, &user("alice"), false).await.unwrap(), 3);
    assert_eq!(world.server.end_sessions(&world.app, &user("alice"), false).await.unwrap(), 0);
    assert_eq!(world.tell("alice", 2..=2).await, PublishOutcome::default());
    live.receive_events(1..=1, 1).await;
    live.ended_with(Code::Disconnected).await;

    let refused = world.resume("alice", None, hint.clone()).await;
    assert_eq!(refused.unwrap_err(), "DISCONNECTED");
    let mut again = world.resume("alice", None, hint).await.unwrap();
    assert_eq!(again.fresh(), Some("too_late"));
    again.requests = 0;
    again.receives_nothing().await;

    let by_key = format!("session_key={}", key.as_str().unwrap());
    let mut refused = world.published(&by_key).await;
    assert_eq!(refused.recv().await["d"]["error"]["reason"], "DISCONNECTED");
    refused.closed_with(Code::Disconnected).await;
    let mut again_published = world.published(&by_key).await;
    assert_eq!(again_published.recv().await["d"]["ok"], true);
    drop((again, again_published));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_code_of_an_ended_session_is_kept_only_with_the_session() {
    let world = World::open().await;
    let away = world.connect("alice").await;
    let hint = away.hint(0);
    world.cut(away).await;
    assert_eq!(world.server.end_sessions(&world.app, &user("alice"), false).await.unwrap(), 1);
    tokio::time::sleep(Duration::from_secs(125)).await;
    assert_eq!(world.server.load(), common::AT_REST);
    assert_eq!(world.resume("alice", None, hint).await.unwrap().fresh(), Some("too_late"));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_resume_leaves_the_session_to_its_own_client() {
    let world = World::open().await;
    let token = world.user("alice").await;
    let alice = world.connect_with("alice", &token).await;
    world.tell("alice", 1..=1).await;
    let hint = alice.hint(0);
    world.cut(alice).await;
    // The key was stolen; the token was not.
    for (wrong, code) in [
        (None, "ACCESS_TOKEN_REQUIRED"),
        (Some(AccessToken::from("some other token, long enough")), "ACCESS_TOKEN_INVALID"),
    ] {
        let refused = world.resume("alice", wrong.as_ref(), hint.clone()).await;
        assert_eq!(refused.unwrap_err(), code);
    }
    let mut alice = world.resume("alice", Some(&token), hint).await.unwrap();
    alice.resumed(1, 0);
    alice.receive_events(1..=1, 1).await;
    drop(alice);
    world.close().await;
}
