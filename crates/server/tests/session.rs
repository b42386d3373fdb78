//! Live sessions: requests, limits, expiry and ends, over memory and in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use chatcamp_protocol::{AccessToken, Code, code::Published};
use chatcamp_server::{AuthPolicy, Clock, Limits, NewUser};
use chatcamp_store::{MockStore, StoreError};
use chatcamp_transport::{Carrier, Close, Closed, Connection, ConnectionInfo, Message, Sent, Transport};
use common::{Peer, World, eventually, user};
use serde_json::{Value, json};

/// Returns an object with `levels` levels of nesting.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({"k": 1}), |inner, _| json!({ "k": inner }))
}

#[tokio::test(start_paused = true)]
async fn every_request_is_acknowledged_and_numbered() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    for (t, d, code) in [
        ("group_channels.create", json!({}), Some("UNKNOWN_TYPE")),
        ("", json!(null), Some("UNKNOWN_TYPE")),
        ("users.auth", json!({"v": 1}), Some("UNKNOWN_TYPE")),
        ("users.update", json!({"display_name": 7}), Some("INVALID_BODY")),
        ("users.update", json!([]), Some("INVALID_BODY")),
        ("users.update", json!({"id": "bob", "display_name": "x"}), Some("NOT_OWN_USER")),
        ("users.update", json!({"display_name": "x".repeat(256)}), Some("VALUE_TOO_LONG")),
        ("users.update", json!({"metadata": nested(33)}), Some("VALUE_TOO_LONG")),
        ("users.update", json!({"metadata": nested(32)}), None),
        ("users.update", json!({"data": "a\0b"}), Some("INVALID_BODY")),
        ("users.update", json!({"metadata": {"k": ["\0"]}}), Some("INVALID_BODY")),
        ("users.get", json!({"id": "nobody"}), Some("USER_NOT_FOUND")),
        ("users.get", json!({"id": ""}), Some("INVALID_BODY")),
        ("users.get", json!({}), None),
        ("ping", json!({"seen": 3}), None),
    ] {
        let d = alice.request(t, d).await;
        assert_eq!(d["error"]["code"].as_str(), code, "{t}: {d}");
        assert_eq!(d["ok"], code.is_none());
    }
    alice.send_request("users.get", json!({})).await;
    assert_eq!(alice.recv().await["s"], 16, "one number for each envelope after the acknowledgement");
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_field_that_contains_nul_is_named() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    let d = alice.request("users.update", json!({"data": "a\0b"})).await;
    assert_eq!(d["error"]["message"], "data contains the character NUL (U+0000); remove it");
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_type_is_named() {
    let world = World::open().await;
    let mut alice = world.connect("alice").await;
    let d = alice.request("no.such\"type", json!({})).await;
    assert!(d["error"]["message"].as_str().unwrap().contains("no.such\"type"), "{d}");
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_profile_change_is_acknowledged_and_sent_to_the_users_other_sessions() {
    let world = World::open().await;
    let token = world.user("alice").await;
    let (mut one, mut two) =
        (world.connect_with("alice", &token).await, world.connect_with("alice", &token).await);
    let update = json!({
        "id": "alice", "display_name": "Alice", "metadata": {"k": [1]},
        "email": "not@hers.example", "check_access_token": false, "is_suspended": true, "access_token": "x",
    });
    let user = one.request("users.update", update).await["user"].clone();
    assert_eq!((&user["display_name"], &user["metadata"]), (&json!("Alice"), &json!({"k": [1]})));
    assert_eq!(
        (&user["email"], &user["check_access_token"]),
        (&json!(""), &json!(true)),
        "not a client's to change"
    );
    assert_eq!((&user["is_suspended"], &user["access_token"]), (&json!(false), &json!(token.expose())));

    let told = two.recv().await;
    assert_eq!((&told["t"], &told["d"]["user"]), (&json!("users.update.ack"), &user));
    assert_eq!((told.get("to"), &told["s"]), (None, &json!(1)));

    let mut bob = world.connect("bob").await;
    let public = bob.request("users.get", json!({"id": "alice"})).await["user"].clone();
    let seen: Vec<_> = public.as_object().unwrap().keys().cloned().collect();
    assert_eq!(seen, ["avatar_url", "display_name", "id", "is_online", "last_seen", "profile_url"]);
    assert_eq!((&public["display_name"], &public["is_online"]), (&json!("Alice"), &json!(true)));
    drop((one, two, bob));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_published_session_has_no_numbers_and_its_ping_is_not_answered() {
    let world = World::open().await;
    let mut alice = world.published(&format!("app_id={}&user_id=alice", world.app)).await;
    alice.recv().await;
    alice.send(r#"{"t":"ping","r":7}"#).await;
    alice.send(r#"{"t":"users.update","d":{"id":"alice","display_name":"A"},"r":9}"#).await;
    let ack = alice.recv().await;
    assert_eq!((&ack["t"], &ack["to"], ack.get("s")), (&json!("users.update.ack"), &json!(9), None));
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_envelope_or_number_ends_the_session() {
    let world = World::open().await;
    for (text, code) in [
        ("", Code::Malformed),
        ("[]", Code::Malformed),
        ("{\"t\":7,\"r\":1}", Code::Malformed),
        ("{\"t\":\"ping\",\"r\":2}", Code::OutOfSequence),
        ("{\"t\":\"ping\",\"r\":0}", Code::OutOfSequence),
        ("{\"t\":\"ping\"}", Code::OutOfSequence),
    ] {
        let mut bystander = world.connect("bob").await;
        let mut alice = world.connect("alice").await;
        alice.send(text).await;
        alice.ended_with(code).await;
        assert_eq!(bystander.request("ping", json!({})).await["ok"], true);
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_ends_only_its_connection() {
    let world = World::open().await;
    let (mut alice, mut bob) = (world.connect("alice").await, world.connect("bob").await);
    alice.send("x".repeat(64 * 1024 + 1)).await;
    assert_eq!(alice.connection.recv().await.unwrap_err().code(), Code::MessageTooLarge.number());
    assert_eq!(bob.request("ping", json!({})).await["ok"], true);
    drop(bob);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_and_any_message_keeps_it_open() {
    let world = World::open().await;
    let mut silent = world.connect("alice").await;
    let mut heard = world.connect("bob").await;
    let start = tokio::time::Instant::now();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(25)).await;
        heard.request("ping", json!({})).await;
    }
    silent.ended_with(Code::IdleTimeout).await;
    let mut half_open = world.connect("carol").await;
    half_open.ended_with(Code::IdleTimeout).await;
    let silence = start.elapsed().as_secs() - 50;
    assert!((35..=37).contains(&silence), "{silence} s");
    drop(heard);
    world.close().await;
}

/// A connection whose peer sends its first message and then neither reads nor confirms a close.
#[derive(Debug)]
struct Deaf(Option<Message>);

impl Carrier for Deaf {
    fn poll_recv(&mut self, _: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        self.0.take().map_or(Poll::Pending, |hello| Poll::Ready(Ok(hello)))
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        Sent { taken: batch.len(), flushed: true }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Ready(Ok(()))
    }

    fn close(&mut self, _: Close) {}

    fn arrivals(&self) -> u32 {
        u32::from(self.0.is_none())
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_confirm_the_close_is_disconnected() {
    let world = World::open().await;
    for app in [world.app.as_str(), "unknown"] {
        let hello = json!({"t": "users.auth", "r": 1, "d": {"v": 1, "client": "x/1", "app_id": app, "user_id": "alice"}});
        let deaf = Connection::new(Deaf(Some(hello.to_string().into())), ConnectionInfo::default());
        let (server, start) = (world.server.clone(), tokio::time::Instant::now());
        let served = tokio::spawn(server.serve(deaf));
        if app != "unknown" {
            eventually(|| world.server.load().sessions == 1).await;
            world.accounts.delete_user(&world.app, &user("alice")).await.unwrap();
        }
        served.await.unwrap();
        let took = start.elapsed().as_secs();
        assert!((5..=7).contains(&took), "{took} s");
    }
    world.close().await;
}

/// Changes a user. Returns the codes that end its sessions; `None` for a session that continues.
async fn change(world: &World, what: &str) -> (Option<Code>, Option<Code>) {
    let (accounts, app, alice) = (&world.accounts, &world.app, user("alice"));
    match what {
        "lock" => {
            accounts.set_locked(app, &alice, true).await.unwrap();
            (Some(Code::AccessTokenRequired), None)
        }
        "rotation" => {
            accounts.issue_token(app, &alice, None, 0).await.unwrap();
            (Some(Code::CredentialChanged), Some(Code::CredentialRevoked))
        }
        "rotation with grace" => {
            accounts.issue_token(app, &alice, None, 60).await.unwrap();
            (None, None)
        }
        "revocation" => {
            accounts.revoke_tokens(app, &alice).await.unwrap();
            (Some(Code::CredentialChanged), Some(Code::CredentialRevoked))
        }
        "suspension" => {
            accounts.set_suspended(app, &alice, true).await.unwrap();
            (Some(Code::UserSuspended), Some(Code::UserSuspended))
        }
        "deletion" => {
            accounts.delete_user(app, &alice).await.unwrap();
            (Some(Code::UserDeleted), Some(Code::UserDeleted))
        }
        "policy" => {
            accounts.set_policy(app, AuthPolicy::Token).await.unwrap();
            (Some(Code::AccessTokenRequired), None)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_ends_exactly_the_sessions_whose_credential_it_revokes() {
    for what in ["lock", "rotation", "rotation with grace", "revocation", "suspension", "deletion", "policy"]
    {
        let world = World::open().await;
        let token = world.user("alice").await;
        world.accounts.set_locked(&world.app, &user("alice"), false).await.unwrap();
        let mut by_id = world.connect("alice").await;
        let mut by_token = world.connect_with("alice", &token).await;
        let mut published = world.published(&format!("app_id={}&user_id=alice", world.app)).await;
        published.recv().await;
        let mut bystander = world.connect("bob").await;

        let (id_ends, token_ends) = change(&world, what).await;
        for (peer, ends) in [(&mut by_id, id_ends), (&mut by_token, token_ends)] {
            match ends {
                Some(code) => peer.ended_with(code).await,
                None => assert_eq!(peer.request("ping", json!({})).await["ok"], true, "{what}"),
            }
        }
        if let Some(code) = id_ends {
            if code.published() != Published::Silent {
                let error = published.recv().await["d"]["error"].clone();
                assert_eq!(
                    (&error["code"], &error["reason"]),
                    (&json!("NOT_AUTHORIZED"), &json!(code.as_str()))
                );
            }
            published.closed_with(code).await;
        }
        if what != "policy" {
            assert_eq!(bystander.request("ping", json!({})).await["ok"], true, "{what}");
        }
        drop((by_id, by_token, published, bystander));
        world.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn claiming_a_user_ends_the_session_that_was_opened_by_id_alone() {
    let world = World::open().await;
    let mut squatter = world.connect("alice@example.com").await;
    world.user("alice@example.com").await;
    squatter.ended_with(Code::AccessTokenRequired).await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_automatically_created_user_must_present_its_first_token() {
    let world = World::open().await;
    let mut squatter = world.connect("alice@example.com").await;
    let token = world.accounts.issue_token(&world.app, &user("alice@example.com"), None, 0).await.unwrap();
    squatter.ended_with(Code::AccessTokenRequired).await;
    world.connect_with("alice@example.com", &token).await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn creating_an_existing_user_changes_nothing() {
    let world = World::open().await;
    let token = world.user("alice").await;
    let again = NewUser { token: Some(AccessToken::from("a token of our choice")), ..NewUser::default() };
    let error = world.accounts.create_user(&world.app, &user("alice"), again).await.unwrap_err();
    assert_eq!(error.to_string(), "the user alice exists already");
    world.connect_with("alice", &token).await;
    world.close().await;
}

/// Returns a clock, and the time that it shows.
fn set_clock(to: u64) -> (Clock, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(to));
    let shown = now.clone();
    (Clock::new(move || shown.load(Ordering::Relaxed)), now)
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_grace_period_ends_the_sessions_of_the_old_token() {
    let (clock, now) = set_clock(1_800_000_000);
    let world = World::open_at(clock).await;
    let old = world.user("alice").await;
    let mut before = world.connect_with("alice", &old).await;
    let new = world.accounts.issue_token(&world.app, &user("alice"), None, 20).await.unwrap();
    let mut within = world.connect_with("alice", &old).await;
    assert_eq!(within.ack["token_expires_in"], 20);
    let mut after = world.connect_with("alice", &new).await;
    for peer in [&mut before, &mut within, &mut after] {
        assert_eq!(peer.request("ping", json!({})).await["ok"], true);
    }
    now.fetch_add(30, Ordering::Relaxed);
    before.ended_with(Code::AccessTokenExpired).await;
    within.ended_with(Code::AccessTokenExpired).await;
    assert_eq!(after.request("ping", json!({})).await["ok"], true);
    drop(after);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_expiry_of_a_token_ends_its_sessions() {
    let (clock, now) = set_clock(1_800_000_000);
    let world = World::open_at(clock).await;
    world.user("alice").await;
    let token = world.accounts.issue_token(&world.app, &user("alice"), Some(10), 0).await.unwrap();
    let mut alice = world.connect_with("alice", &token).await;
    assert_eq!(alice.ack["session"]["expires_in"], 10, "the key expires with the token");
    now.fetch_add(16, Ordering::Relaxed);
    alice.ended_with(Code::AccessTokenExpired).await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_created_with_a_deleted_id_is_a_different_user() {
    let world = World::open().await;
    let mut old = world.connect("alice").await;
    world.accounts.delete_user(&world.app, &user("alice")).await.unwrap();
    let new = NewUser { check_access_token: false, ..NewUser::default() };
    world.accounts.create_user(&world.app, &user("alice"), new).await.unwrap();
    let code = old.recv().await["d"]["code"].clone();
    assert!(code == "USER_DELETED" || code == "CREDENTIAL_CHANGED", "{code}");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_that_cannot_be_read_does_not_delay_others() {
    let (broken, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(parking_lot::Mutex::new(None)));
    let mut store = MockStore::new();
    store.expect_create_app().returning(|_| Ok(true));
    store.expect_create_api_key().returning(|_| Ok(true));
    store.expect_record_last_seen().returning(|_| Ok(()));
    store
        .expect_app()
        .returning(|id| Ok(Some(Arc::new(chatcamp_store::App::new(id.clone(), "x", AuthPolicy::Open, 0)))));
    let (breaks, listen) = (broken.clone(), heard.clone());
    store.expect_on_change().returning(move |listener| *listen.lock() = Some(listener));
    store.expect_user().returning(move |app, id| {
        let mut record = chatcamp_store::User::new(app.clone(), id.clone(), [1; 16], 0);
        record.check_access_token = breaks.load(Ordering::Relaxed);
        match (id.as_str(), record.check_access_token) {
            ("corrupt", true) => Err(StoreError::corrupt("a row")),
            ("unavailable", true) => Err(StoreError::unavailable("the disk")),
            _ => Ok(Some(Arc::new(record))),
        }
    });
    let world = World::over(Arc::new(store), AuthPolicy::Open, Limits::default()).await;
    let mut corrupt = world.connect("corrupt").await;
    let mut unavailable = world.connect("unavailable").await;
    let mut locked = world.connect("locked").await;
    broken.store(true, Ordering::Relaxed);
    for id in ["corrupt", "unavailable", "locked"] {
        let change = chatcamp_store::Change { app: world.app.clone(), user: Some(user(id)) };
        heard.lock().as_ref().unwrap()(&change);
    }
    locked.ended_with(Code::AccessTokenRequired).await;
    corrupt.ended_with(Code::StoreUnavailable).await;
    assert_eq!(unavailable.request("ping", json!({})).await["ok"], true, "live sessions continue");
    drop(unavailable);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_change_sent_is_the_stored_one() {
    let world = World::open().await;
    let token = world.user("alice").await;
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(world.connect_with("alice", &token).await);
    }
    for n in 0..10 {
        for (who, peer) in peers.iter_mut().enumerate() {
            peer.send_request("users.update", json!({"data": format!("{who} {n}")})).await;
        }
    }
    for peer in &mut peers {
        let mut last = Value::Null;
        // Its own ten acknowledgements, and the changes of the thirty requests of the others.
        for _ in 0..40 {
            last = peer.recv().await["d"]["user"]["data"].clone();
        }
        let kept = world.store.user(&world.app, &user("alice")).await.unwrap().unwrap();
        assert_eq!(last, kept.profile.data);
    }
    drop(peers);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_ended_and_does_not_delay_others() {
    let world = World::without_request_rate().await;
    let mut slow = world.connect("alice").await;
    let mut other = world.connect("alice").await;
    let big = "x".repeat(4000);
    // Each update is sent to the session that does not read.
    for n in 0..600 {
        let ack = other.request("users.update", json!({"data": format!("{big}{n}")})).await;
        assert_eq!(ack["ok"], true, "{ack}");
        if world.server.load().sessions == 1 {
            break;
        }
    }
    assert_eq!(world.server.load().sessions, 1, "the session that did not read was ended");
    let end = loop {
        if let Err(closed) = slow.connection.recv().await {
            break closed;
        }
    };
    assert_eq!(end.code(), Code::SlowConsumer.number());
    drop(other);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_number_of_sessions_of_a_user_is_limited() {
    let mut limits = Limits::default();
    limits.sessions_per_user = 2;
    let world = World::new(AuthPolicy::Open, limits).await;
    let (_one, two) = (world.connect("alice").await, world.connect("alice").await);
    assert_eq!(world.try_connect("alice", None).await.unwrap_err(), "SESSION_LIMIT");
    let _bob = world.connect("bob").await;
    drop(two);
    eventually(|| world.server.load().sessions == 2).await;
    world.connect("alice").await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_tells_all_clients_and_leaves_no_session() {
    let world = World::open().await;
    let mut native = world.connect("alice").await;
    let mut published = world.published(&format!("app_id={}&user_id=bob", world.app)).await;
    published.recv().await;
    let mut waiting = world.transport.connect().await.unwrap();
    eventually(|| world.server.load().connections == 3).await;

    let server = world.server.clone();
    let down = tokio::spawn(async move { server.shutdown().await });
    let close = native.recv().await;
    assert_eq!((&close["d"]["code"], &close["d"]["advice"]), (&json!("SHUTTING_DOWN"), &json!("retry")));
    assert!((1000..=2000).contains(&close["d"]["retry_after_ms"].as_u64().unwrap()));
    native.closed_with(Code::ShuttingDown).await;
    published.closed_with(Code::ShuttingDown).await;
    assert!(waiting.recv().await.is_ok_and(|words| words.as_str().contains("session.close")));
    down.await.unwrap();
    assert_eq!(world.server.load(), common::AT_REST);
    assert!(world.transport.connect().await.is_err(), "the listener is gone");
}

#[tokio::test(start_paused = true)]
async fn the_last_seen_time_is_written_in_the_background() {
    let world = World::open().await;
    drop(world.connect("alice").await);
    world.at_rest().await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    let record = world.store.user(&world.app, &user("alice")).await.unwrap().unwrap();
    assert!(record.last_seen > 1_700_000_000, "{record:?}");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_key_starts_a_fresh_session() {
    let world = World::open().await;
    let mut peer =
        Peer { connection: world.transport.connect().await.unwrap(), requests: 0, ack: Value::Null };
    let hello = json!({"t": "users.auth", "r": 1, "d": {
        "v": 1, "client": "test/1", "app_id": world.app, "user_id": "alice",
        "resume": {"key": "no key", "seen": 7, "sent": 7},
    }});
    peer.send(hello.to_string()).await;
    assert_eq!(peer.recv().await["d"]["session"]["fresh"], "unknown_key");
    drop(peer);
    world.close().await;
}
