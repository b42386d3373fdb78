//! Every call, against the real server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use chatcamp_backend::{
    AppFields, AppPolicy, Backend, Disconnect, Error, TokenFields, UserFields, UserQuery, code,
};
use chatcamp_client::{ConnectError, EndReason, Event};
use chatcamp_protocol::{AccessToken, Code};
use common::{World, published, wait_for};
use serde_json::json;

fn named(name: &str) -> UserFields {
    UserFields { display_name: Some(name.into()), ..UserFields::default() }
}

/// Returns the status and the code of a refusal.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    match result.unwrap_err() {
        Error::Refused(refusal) => {
            assert!(!refusal.message.is_empty() && refusal.request_id.len() == 24, "{refusal:?}");
            (refusal.status, refusal.code)
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_user_is_created_found_changed_and_deleted() {
    let world = World::new().await;
    let backend = world.backend();
    assert_eq!(backend.user("alice").await.unwrap(), None);

    let created = backend.create_user("alice", named("Alice")).await.unwrap();
    assert!(!created.claimed && created.user.check_access_token);
    assert_eq!((created.user.id.as_str(), &*created.user.profile.display_name), ("alice", "Alice"));
    world.connect(("alice", created.access_token.expose())).await;

    let found = backend.user("alice").await.unwrap().unwrap();
    assert_eq!(found.access_token.as_ref(), Some(&created.access_token));
    assert!(found.access_token_set && found.access_token_expires_at.is_none());

    let fields = UserFields {
        first_name: Some("A".into()),
        last_name: Some("L".into()),
        email: Some("a@b.example".into()),
        phone_number: Some("1".into()),
        profile_url: Some("//p".into()),
        avatar_url: Some("//a".into()),
        data: Some("free".into()),
        metadata: Some(json!({"plan": "gold"}).as_object().unwrap().clone()),
        check_access_token: Some(false),
        is_suspended: Some(true),
        ..UserFields::default()
    };
    let user = backend.update_user("alice", fields).await.unwrap().user;
    assert_eq!((user.is_suspended, user.check_access_token), (true, false));
    let profile = user.profile;
    assert_eq!(profile.display_name, "Alice", "a missing field does not change");
    assert_eq!([profile.first_name, profile.last_name, profile.email], ["A", "L", "a@b.example"]);
    assert_eq!([profile.phone_number, profile.profile_url, profile.avatar_url], ["1", "//p", "//a"]);
    assert_eq!((profile.data.as_str(), &profile.metadata["plan"]), ("free", &json!("gold")));

    let again = backend.create_user("alice", UserFields::default()).await;
    assert_eq!(refused(again), (409, code::USER_EXISTS.to_owned()));
    assert_eq!(backend.upsert_user("alice", named("Al")).await.unwrap().user.profile.display_name, "Al");
    assert!(backend.upsert_user("bob", named("Bob")).await.unwrap().access_token.is_some());

    backend.delete_user("alice").await.unwrap();
    assert_eq!(refused(backend.delete_user("alice").await), (404, code::USER_NOT_FOUND.to_owned()));
    assert_eq!(
        refused(backend.update_user("alice", named("A")).await),
        (404, code::USER_NOT_FOUND.to_owned())
    );
}

#[tokio::test]
async fn an_auto_created_user_is_claimed() {
    let world = World::new().await;
    world.connect("alice").await;
    let created = world.backend().create_user("alice", UserFields::default()).await.unwrap();
    assert!(created.claimed);
}

#[tokio::test]
async fn a_token_chosen_by_the_backend_is_kept() {
    let world = World::new().await;
    let token = AccessToken::from("from-the-old-database");
    let fields = UserFields { access_token: Some(token.clone()), ..UserFields::default() };
    assert!(!format!("{fields:?}").contains("from-the-old-database"));
    assert_eq!(world.backend().create_user("alice", fields).await.unwrap().access_token, token);
    let found = world.backend().user("alice").await.unwrap().unwrap();
    assert_eq!((found.access_token, found.access_token_set), (None, true));
    world.connect(("alice", token.expose())).await;
}

#[tokio::test]
async fn tokens_are_issued_and_revoked() {
    let world = World::new().await;
    let backend = world.backend();
    let first = backend.create_user("alice", UserFields::default()).await.unwrap().access_token;
    let fields = TokenFields { expires_in: Some(Duration::from_secs(3600)), grace: Duration::from_secs(600) };
    let issued = backend.issue_token("alice", fields).await.unwrap();
    assert!(issued.access_token != first && issued.expires_at.is_some());
    world.connect(("alice", first.expose())).await;
    let (_chat, mut events) = world.connect(("alice", issued.access_token.expose())).await;

    let account = backend.revoke_tokens("alice").await.unwrap();
    assert_eq!((account.access_token, account.access_token_set), (None, false));
    let reason = wait_for(&mut events, |event| match event {
        Event::Disconnected { reason } => Some(reason),
        _ => None,
    });
    assert!(
        matches!(reason.await, EndReason::Refused(refusal) if refusal.code == Code::CredentialRevoked.as_str())
    );

    let forever = backend.issue_token("alice", TokenFields::default()).await.unwrap();
    assert_eq!(forever.expires_at, None);
    let chat = chatcamp_client::ChatCamp::builder(&world.app).url(format!("http://{}", world.address));
    let stale = chat.build().unwrap().connect(("alice", first.expose())).await;
    assert!(matches!(stale, Err(ConnectError::Refused(_))), "{stale:?}");
    assert_eq!(
        refused(backend.issue_token("nobody", TokenFields::default()).await),
        (404, code::USER_NOT_FOUND.to_owned())
    );
}

#[tokio::test]
async fn users_are_listed_in_pages() {
    let world = World::new().await;
    let backend = world.backend();
    for id in ["a", "b", "c", "d", "e"] {
        backend.create_user(id, named(&format!("user {id}"))).await.unwrap();
    }
    let mut pages = backend.users(UserQuery { limit: Some(2), ..UserQuery::default() });
    let (mut seen, mut positions) = (Vec::new(), Vec::new());
    while let Some(users) = pages.next().await.unwrap() {
        seen.push(users.iter().map(|user| user.id.to_string()).collect::<Vec<_>>().join(""));
        positions.push(pages.position().map(str::to_owned));
    }
    assert_eq!(seen, ["ab", "cd", "e"]);
    assert_eq!((positions[2].as_deref(), pages.next().await.unwrap()), (None, None));

    let after = UserQuery { limit: Some(2), after: positions[0].clone(), ..UserQuery::default() };
    let users = backend.users(after).next().await.unwrap().unwrap();
    assert_eq!(users[0].id.as_str(), "c", "a position can be used by another query");

    let token = backend.user("d").await.unwrap().unwrap().access_token.unwrap();
    let (chat, _) = world.connect(("d", token.expose())).await;
    for (query, expected) in [
        (UserQuery { online: Some(true), ..UserQuery::default() }, "d"),
        (UserQuery { online: Some(false), ..UserQuery::default() }, "abce"),
        (UserQuery { prefix: Some("b".into()), ..UserQuery::default() }, "b"),
        (UserQuery { prefix: Some("user c".into()), ..UserQuery::default() }, "c"),
    ] {
        let mut pages = backend.users(query.clone());
        let mut ids = String::new();
        while let Some(users) = pages.next().await.unwrap() {
            ids.extend(users.iter().map(|user| user.id.as_str()));
        }
        assert_eq!(ids, expected, "{query:?}");
    }
    chat.disconnect().await;

    let wrong = backend.users(UserQuery { limit: Some(0), ..UserQuery::default() }).next().await;
    assert_eq!(refused(wrong), (400, code::INVALID_FIELD.to_owned()));
}

#[tokio::test]
async fn live_sessions_are_listed_and_ended() {
    let world = World::new().await;
    let backend = world.backend();
    let (_one, mut events_of_one) = world.connect("alice").await;
    let (_two, mut events_of_two) = world.connect("alice").await;
    let sessions = backend.sessions("alice").await.unwrap();
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        assert_eq!((session.transport.as_str(), session.address.unwrap().is_loopback()), ("websocket", true));
        assert!(session.since > 1_700_000_000 && session.last_seen >= session.since, "{session:?}");
    }

    let one = Disconnect { session: Some(sessions[0].id.clone()), come_back: false };
    assert_eq!(backend.disconnect("alice", one).await.unwrap(), 1);
    let left = backend.sessions("alice").await.unwrap();
    assert_eq!(left.iter().map(|left| &left.id).collect::<Vec<_>>(), [&sessions[1].id]);

    let all = Disconnect { come_back: true, ..Disconnect::default() };
    assert_eq!(backend.disconnect("alice", all).await.unwrap(), 1);
    let mut gone_and_back = [0, 0];
    for events in [&mut events_of_one, &mut events_of_two] {
        let comes_back = wait_for(events, |event| match event {
            Event::Disconnected { .. } => Some(false),
            Event::Reconnecting { .. } => Some(true),
            _ => None,
        });
        gone_and_back[usize::from(comes_back.await)] += 1;
    }
    assert_eq!(gone_and_back, [1, 1]);
    let unknown = (404, code::USER_NOT_FOUND.to_owned());
    assert_eq!(refused(backend.disconnect("nobody", Disconnect::default()).await), unknown);
    assert_eq!(refused(backend.sessions("nobody").await), unknown);
}

#[tokio::test]
async fn events_reach_one_several_and_all() {
    let world = World::new().await;
    let backend = world.backend();
    let (_alice, mut alice) = world.connect("alice").await;
    let (_bob, mut bob) = world.connect("bob").await;

    assert_eq!(backend.publish("alice", "order.shipped", &json!({"order": 17})).await.unwrap().delivered, 1);
    assert_eq!(published(&mut alice).await, ("order.shipped".into(), r#"{"order":17}"#.into()));
    let to_both = backend.publish_to_users(["alice", "bob", "nobody"], "two", &1).await.unwrap();
    let to_all = backend.publish_to_all("all", &()).await.unwrap();
    for published in [to_both, to_all] {
        assert_eq!((published.delivered, published.queued), (2, 0));
    }
    for events in [&mut alice, &mut bob] {
        assert_eq!(published(events).await, ("two".into(), "1".into()));
        assert_eq!(published(events).await, ("all".into(), "null".into()));
    }
    assert_eq!(refused(backend.publish("alice", "No Type", &1).await), (400, code::INVALID_FIELD.to_owned()));
    let long = "x".repeat(40_000);
    assert_eq!(
        refused(backend.publish("alice", "long", &long).await),
        (400, code::VALUE_TOO_LONG.to_owned())
    );
}

#[tokio::test]
async fn the_app_is_shown_and_changed() {
    let world = World::new().await;
    let backend = world.backend();
    let app = backend.app().await.unwrap();
    assert_eq!((&app.id, app.name.as_str(), app.policy), (&world.app, "test", AppPolicy::Open));
    assert!(app.max_users > 0 && app.created_at > 1_700_000_000);

    let fields = AppFields {
        name: Some("shop".into()),
        policy: Some(AppPolicy::Token),
        directory: Some(!app.directory),
        sessions: Some("evict_oldest:2".into()),
        origins: Some(vec!["HTTPS://Shop.example:443".into(), "https://*.shop.example".into()]),
        require_origin: Some(true),
    };
    let changed = backend.update_app(fields).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.policy), ("shop", AppPolicy::Token));
    assert_eq!((changed.directory, changed.sessions.as_str()), (!app.directory, "evict_oldest:2"));
    assert!((app.origins.is_empty(), app.require_origin) == (true, false) && changed.require_origin);
    assert_eq!(changed.origins, ["https://shop.example", "https://*.shop.example"]);
    assert_eq!(backend.app().await.unwrap(), changed);
}

#[tokio::test]
async fn keys_are_created_listed_and_revoked() {
    let world = World::new().await;
    let backend = world.backend();
    let new = backend.create_api_key("second").await.unwrap();
    assert!(!format!("{new:?}").contains(new.key.expose()));
    let keys = backend.api_keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["default", "second"]);
    assert_eq!(keys[1].id, new.id);

    let second = Backend::builder(format!("http://{}", world.address), new.key).build().unwrap();
    assert_eq!(second.app().await.unwrap().id, world.app);
    backend.revoke_api_key(&new.id).await.unwrap();
    assert_eq!(refused(second.app().await), (401, code::API_KEY_INVALID.to_owned()));
    let gone = backend.revoke_api_key(&new.id).await;
    assert_eq!(refused(gone), (404, code::API_KEY_NOT_FOUND.to_owned()));
    let last = backend.revoke_api_key(&keys[0].id).await;
    assert_eq!(refused(last), (409, code::LAST_API_KEY.to_owned()));
}

#[tokio::test]
async fn invalid_requests_are_not_sent() {
    let nowhere = Backend::builder("http://127.0.0.1:1", "ck1_key").build().unwrap();
    assert!(matches!(nowhere.create_user("", UserFields::default()).await, Err(Error::UserId(_))));
    assert!(matches!(nowhere.publish_to_users(["a", "b\n"], "x", &1).await, Err(Error::UserId(_))));
    let long = nowhere.publish("alice", "x", &"x".repeat(65_536)).await.unwrap_err();
    assert!(matches!(long, Error::TooLarge { limit: 65_536, .. }), "{long:?}");
    let unwritable = std::collections::HashMap::from([((1, 2), 3)]);
    let error = nowhere.publish("alice", "x", &unwritable).await.unwrap_err();
    assert!(matches!(error, Error::Unwritable(_)) && !error.is_retryable() && !error.may_have_run());
}

#[test]
fn outside_a_runtime_a_call_fails_and_does_not_panic() {
    let backend = Backend::builder("http://127.0.0.1:1", "ck1_key").build().unwrap();
    let error = futures_executor::block_on(backend.app()).unwrap_err();
    assert!(
        error.to_string().contains("tokio runtime") && !error.is_retryable() && !error.may_have_run(),
        "{error}"
    );
}
