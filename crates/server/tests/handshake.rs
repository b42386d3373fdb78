//! Which connections are admitted, in both dialects, over memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use chatcamp_auth::token;
use chatcamp_protocol::{AccessToken, AppId, Code};
use chatcamp_server::{AuthPolicy, Clock, Keyring, Limits, NewUser};
use chatcamp_store::{AppEdit, Edited, MockStore, StoreError};
use chatcamp_transport::{Close, Message, Transport};
use common::{Peer, World, eventually, user};
use serde_json::{Value, json};

/// The user id, the token, and the code of the refusal; `None` if the connection is admitted.
type Case = (&'static str, Option<&'static str>, Option<Code>);

async fn check(world: &World, cases: &[Case]) {
    for &(id, token, refused) in cases {
        let token = token.map(AccessToken::from);
        let native = world.try_connect(id, token.as_ref()).await.map(|peer| peer.ack);
        assert_eq!(native.err().as_deref(), refused.map(Code::as_str), "native {id} {token:?}");

        let token = token.map_or(String::new(), |t| format!("&access_token={}", t.expose()));
        let mut published = world.published(&format!("app_id={}&user_id={id}{token}", world.app)).await;
        let ack = published.recv().await;
        assert_eq!(ack["t"], "users.auth.ack");
        assert_eq!(ack["d"]["ok"], refused.is_none(), "published {id}: {ack}");
        if let Some(code) = refused {
            assert_eq!(ack["d"]["error"]["reason"], code.as_str(), "published {id}");
            published.closed_with(code).await;
        }
    }
}

const TOKEN: &str = "a token of our choice";

async fn known_users(world: &World) {
    let own = || Some(AccessToken::from(TOKEN));
    for (id, check_access_token) in [("locked", true), ("unlocked", false), ("suspended", true)] {
        let new = NewUser { token: own(), check_access_token, ..NewUser::default() };
        world.accounts.create_user(&world.app, &user(id), new).await.unwrap();
    }
    world.accounts.set_suspended(&world.app, &user("suspended"), true).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_open_app_accepts_ids_and_checks_each_token() {
    let world = World::open().await;
    known_users(&world).await;
    check(
        &world,
        &[
            ("new", None, None),
            ("new", Some("for a user without one"), Some(Code::AccessTokenInvalid)),
            ("unknown", Some("for a user nobody knows"), Some(Code::AccessTokenInvalid)),
            ("locked", None, Some(Code::AccessTokenRequired)),
            ("locked", Some("wrong, but long enough"), Some(Code::AccessTokenInvalid)),
            ("locked", Some("ct1_broken"), Some(Code::AccessTokenInvalid)),
            ("locked", Some(TOKEN), None),
            ("unlocked", None, None),
            ("unlocked", Some("wrong, but long enough"), Some(Code::AccessTokenInvalid)),
            ("unlocked", Some(TOKEN), None),
            ("suspended", None, Some(Code::AccessTokenRequired)),
            ("suspended", Some(TOKEN), Some(Code::UserSuspended)),
        ],
    )
    .await;
    let unknown = world.store.user(&world.app, &user("unknown")).await.unwrap();
    assert!(unknown.is_none(), "a refused token creates nobody");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_app_refuses_all_faults_with_one_code() {
    let world = World::new(AuthPolicy::Token, Limits::default()).await;
    known_users(&world).await;
    let refused = Some(Code::CredentialRefused);
    check(
        &world,
        &[
            ("unknown", None, refused),
            ("unknown", Some("for a user nobody knows"), refused),
            ("locked", None, refused),
            ("locked", Some("wrong, but long enough"), refused),
            ("unlocked", None, refused),
            ("suspended", None, refused),
            ("suspended", Some("wrong, but long enough"), refused),
            ("suspended", Some(TOKEN), Some(Code::UserSuspended)),
            ("locked", Some(TOKEN), None),
            ("unlocked", Some(TOKEN), None),
        ],
    )
    .await;
    assert_eq!(world.store.user_count(&world.app).await.unwrap(), 3, "nobody was created");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_app_is_refused_in_both_dialects() {
    let world = World::open().await;
    let connection = world.transport.connect().await.unwrap();
    let unknown = AppId::new("unknown").unwrap();
    assert_eq!(Peer::native(connection, &unknown, "alice", None).await.unwrap_err(), "APP_NOT_FOUND");

    let mut published = world.published("app_id=unknown&user_id=alice").await;
    assert_eq!(published.recv().await["d"]["error"]["code"], "NOT_FOUND");
    published.closed_with(Code::AppNotFound).await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_id_that_javascript_rounded_is_found() {
    let world = World::open().await;
    let id = Some(AppId::new("6399747348821438464").unwrap());
    world.accounts.create_app("old", AuthPolicy::Open, id).await.unwrap();
    let mut published = world.published("app_id=6399747348821438000&user_id=alice").await;
    assert_eq!(published.recv().await["d"]["ok"], true);
    let real = AppId::new("6399747348821438464").unwrap();
    assert!(world.store.user(&real, &user("alice")).await.unwrap().is_some());
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_shows_exactly_the_token_it_presented() {
    let world = World::open().await;
    let token = world.user("alice").await;
    world.accounts.set_locked(&world.app, &user("alice"), false).await.unwrap();
    let by_token = world.connect_with("alice", &token).await;
    assert_eq!(by_token.ack["user"]["access_token"], token.expose());
    let by_id = world.connect("alice").await;
    assert_eq!(by_id.ack["user"].get("access_token"), None);
    drop((by_token, by_id));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_published_session_is_resumed_by_its_key_with_its_own_token() {
    let world = World::open().await;
    let token = world.user("alice").await;
    let custom = NewUser { token: Some(TOKEN.into()), ..NewUser::default() };
    world.accounts.create_user(&world.app, &user("carol"), custom).await.unwrap();
    for (login, expected) in [
        ("user_id=bob".to_owned(), Value::Null),
        (format!("user_id=carol&access_token={}", TOKEN.replace(' ', "%20")), json!(TOKEN)),
        (format!("user_id=alice&access_token={}", token.expose()), json!(token.expose())),
    ] {
        let mut first = world.published(&format!("app_id={}&{login}", world.app)).await;
        let key = first.recv().await["d"]["session_key"].as_str().unwrap().to_owned();
        let mut again = world.published(&format!("session_key={key}")).await;
        let ack = again.recv().await;
        assert_eq!(ack["d"]["user"]["access_token"], expected, "{ack}");
        // The connection that got the key is replaced.
        assert_eq!(first.recv().await["d"]["error"]["reason"], "REPLACED");
        first.closed_with(Code::Replaced).await;
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_session_key_makes_the_sdk_use_its_credentials() {
    let world = World::open().await;
    let token = world.user("alice").await;
    let custom = NewUser { token: Some(TOKEN.into()), ..NewUser::default() };
    world.accounts.create_user(&world.app, &user("carol"), custom).await.unwrap();
    let key_of = async |login: &str| {
        let mut peer = world.published(&format!("app_id={}&{login}", world.app)).await;
        let key = peer.recv().await["d"]["session_key"].as_str().unwrap().to_owned();
        peer.connection.close(Close::NORMAL).await;
        key
    };
    let revoked = key_of(&format!("user_id=alice&access_token={}", token.expose())).await;
    let locked = key_of("user_id=bob").await;
    let deleted = key_of("user_id=dave").await;
    let custom = key_of(&format!("user_id=carol&access_token={}", TOKEN.replace(' ', "%20"))).await;
    world.accounts.revoke_tokens(&world.app, &user("alice")).await.unwrap();
    world.accounts.set_locked(&world.app, &user("bob"), true).await.unwrap();
    world.accounts.delete_user(&world.app, &user("dave")).await.unwrap();

    for key in [revoked, locked, deleted, custom, "forged".to_owned()] {
        let mut peer = world.published(&format!("session_key={key}")).await;
        let error = peer.recv().await["d"]["error"].clone();
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!("NOT_AUTHORIZED"), &json!("Session Key Invalid"))
        );
        peer.closed_with(Code::SessionKeyInvalid).await;
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn while_master_keys_rotate_the_sdk_connects_by_its_token() {
    let keyring = Keyring::new(vec![[8; 32], [7; 32]]).unwrap();
    let store = Arc::new(chatcamp_store::memory::Store::new());
    let world = World::at(Clock::system(), keyring, store, AuthPolicy::Open, Limits::default()).await;
    world.user("alice").await;
    // Issued while the other key was the signing key.
    let record = world.store.user(&world.app, &user("alice")).await.unwrap().unwrap();
    let stamp = token::Stamp(record.stamp);
    let token = token::derive(&common::keyring(), &world.app, &user("alice"), &stamp, None);
    let mut first =
        world.published(&format!("app_id={}&user_id=alice&access_token={}", world.app, token.expose())).await;
    let ack = first.recv().await;
    assert_eq!(ack["d"]["user"]["access_token"], token.expose());
    first.connection.close(Close::NORMAL).await;
    let mut again =
        world.published(&format!("session_key={}", ack["d"]["session_key"].as_str().unwrap())).await;
    assert_eq!(again.recv().await["d"]["error"]["message"], "Session Key Invalid");
    drop((first, again));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn tokens_rotate_with_grace_and_expire() {
    let world = World::open().await;
    let (app, alice) = (&world.app, user("alice"));
    let first = world.user("alice").await;
    let second = world.accounts.issue_token(app, &alice, Some(3600), 60).await.unwrap();
    for token in [&first, &second] {
        world.connect_with("alice", token).await;
    }
    let third = world.accounts.issue_token(app, &alice, None, 0).await.unwrap();
    for (token, refused) in [(&first, true), (&second, true), (&third, false)] {
        assert_eq!(world.try_connect("alice", Some(token)).await.is_err(), refused);
    }
    // An expired token with the current stamp.
    let record = world.store.user(app, &alice).await.unwrap().unwrap();
    let old = token::derive(&common::keyring(), app, &alice, &token::Stamp(record.stamp), Some(1));
    assert_eq!(world.try_connect("alice", Some(&old)).await.unwrap_err(), "ACCESS_TOKEN_EXPIRED");
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_simultaneous_first_connects_create_one_user() {
    let world = Arc::new(World::open().await);
    let peers: Vec<_> = (0..100)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.connect("alice").await })
        })
        .collect();
    for peer in peers {
        peer.await.unwrap();
    }
    assert_eq!(world.store.user_count(&world.app).await.unwrap(), 1);
    world.at_rest().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_with_the_maximum_number_of_users_defers_the_client() {
    let world = World::open().await;
    let edit: AppEdit = Box::new(|app| {
        app.max_users = 1;
        Edited::Save
    });
    world.store.edit_app(&world.app, edit).await.unwrap();
    world.connect("alice").await;
    assert_eq!(world.try_connect("bob", None).await.unwrap_err(), "USER_LIMIT_REACHED");
    // The published SDK is only sent the close. After a message it would reconnect without a pause.
    let mut published = world.published(&format!("app_id={}&user_id=bob", world.app)).await;
    published.closed_with(Code::UserLimitReached).await;
    world.connect("alice").await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_failure_defers_the_client_and_does_not_refuse_it() {
    let mut store = MockStore::new();
    store.expect_create_app().returning(|_| Ok(true));
    store.expect_create_api_key().returning(|_| Ok(true));
    store.expect_on_change().returning(|_| ());
    let mut made = false;
    store.expect_app().returning(move |id| {
        // The set-up of the test makes the first call.
        if std::mem::replace(&mut made, true) {
            return Err(StoreError::unavailable("the disk is full"));
        }
        let app = chatcamp_store::App::new(id.clone(), "test", AuthPolicy::Open, 0);
        Ok(Some(Arc::new(app)))
    });
    let world = World::over(Arc::new(store), AuthPolicy::Open, Limits::default()).await;
    let mut peer =
        Peer { connection: world.transport.connect().await.unwrap(), requests: 0, ack: Value::Null };
    let hello =
        json!({"t": "users.auth", "r": 1, "d": {"v": 1, "client": "x/1", "app_id": "a", "user_id": "u"}});
    peer.send(hello.to_string()).await;
    let close = peer.recv().await;
    assert_eq!((&close["d"]["code"], &close["d"]["advice"]), (&json!("STORE_UNAVAILABLE"), &json!("retry")));
    assert!((2000..=4000).contains(&close["d"]["retry_after_ms"].as_u64().unwrap()));
    peer.closed_with(Code::StoreUnavailable).await;
    let mut published = world.published("app_id=a&user_id=u").await;
    published.closed_with(Code::StoreUnavailable).await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_handshake_is_ended() {
    let world = World::open().await;
    let mut silent =
        Peer { connection: world.transport.connect().await.unwrap(), requests: 0, ack: Value::Null };
    silent.ended_with(Code::HandshakeTimeout).await;
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_first_message_is_refused() {
    let world = World::open().await;
    for (text, code) in [
        ("", Code::Malformed),
        ("null", Code::Malformed),
        ("{}", Code::Malformed),
        (r#"{"t":"users.update","d":{},"r":1}"#, Code::ConnectionUnknown),
    ] {
        let mut peer =
            Peer { connection: world.transport.connect().await.unwrap(), requests: 0, ack: Value::Null };
        peer.send(text).await;
        let ack = peer.recv().await;
        assert_eq!(ack["d"]["error"]["code"], code.as_str(), "{text}");
        peer.closed_with(code).await;
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_oldest_pending_connection_is_evicted_and_others_are_not_affected() {
    let mut limits = Limits::default();
    limits.unverified = 3;
    let world = World::new(AuthPolicy::Open, limits).await;
    let mut alice = world.connect("alice").await;
    let mut silent = Vec::new();
    for waiting in 1..=3 {
        silent.push(world.transport.connect().await.unwrap());
        eventually(|| world.server.load().unverified == waiting).await;
    }
    silent.push(world.transport.connect().await.unwrap());
    let words = silent[0].recv().await.unwrap();
    assert!(words.as_str().contains("HANDSHAKE_TIMEOUT"), "the oldest left");
    assert_eq!(alice.request("users.get", json!({})).await["user"]["id"], "alice");
    let (app, last) = (&world.app, silent.pop().unwrap());
    Peer::native(last, app, "bob", None).await.unwrap();
    drop(silent);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_at_any_point_leaves_nothing_behind() {
    let world = World::open().await;
    let hello = json!({"t": "users.auth", "r": 1, "d": {"v": 1, "client": "x/1", "app_id": world.app, "user_id": "u"}});
    drop(world.transport.connect().await.unwrap());
    let mut connection = world.transport.connect().await.unwrap();
    connection.send(Message::from(hello.to_string())).await.unwrap();
    drop(connection);
    let peer = world.connect("alice").await;
    drop(peer);
    world.at_rest().await;
}
