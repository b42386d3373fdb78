//! Typed requests about users, against a scripted server.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::time::Duration;

use chatcamp_client::{ChatCamp, ErrorCode, RequestError, UserId, UserQuery};
use serde_json::{Value, json};
use support::{Peer, network, ok};
use tokio::{join, time::timeout};

async fn connected() -> (ChatCamp, Peer) {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let (user, peer) = join!(chat.connect("alice"), server.admit());
    user.unwrap();
    (chat, peer)
}

fn page(ids: &[&str], reference: Option<&str>) -> Value {
    let users: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
    match reference {
        Some(reference) => json!({"ok": true, "users": users, "reference": reference}),
        None => json!({"ok": true, "users": users}),
    }
}

fn rejected(code: ErrorCode) -> Value {
    json!({"ok": false, "error": {"code": code.as_str(), "message": "no", "retry_after_ms": 1500}})
}

/// Answers the next request that is not a heartbeat. Returns its body.
async fn answer(peer: &mut Peer, expected: &str, body: Value) -> Value {
    loop {
        let (t, r, d) = peer.request().await;
        if t == "ping" {
            peer.ack(&t, r, ok()).await;
            continue;
        }
        assert_eq!(t, expected);
        peer.ack(&t, r, body).await;
        return d;
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_requested_when_its_first_user_is_asked_for() {
    let (chat, mut peer) = connected().await;
    let query = UserQuery { online: Some(true), prefix: Some("b".into()), ..UserQuery::default() };
    let mut users = chat.users(query);
    let list = async {
        let mut ids = Vec::new();
        while let Some(user) = users.try_next().await.unwrap() {
            ids.push(user.id.to_string());
        }
        ids
    };
    let serve = async {
        let first = answer(&mut peer, "users.list", page(&["b1", "b2"], Some("b2"))).await;
        let second = answer(&mut peer, "users.list", page(&["b3"], None)).await;
        (first, second)
    };
    let (ids, (first, second)) = join!(list, serve);
    assert_eq!(ids, ["b1", "b2", "b3"]);
    let filters = json!({"limit": 100, "display_name_search": "b", "is_online_filter": "ONLINE"});
    assert_eq!(first, filters);
    assert_eq!(second["reference"], "b2");
    assert!(users.try_next().await.unwrap().is_none(), "the end stays");
}

#[tokio::test(start_paused = true)]
async fn a_list_waits_as_long_as_the_server_asks_and_ends_with_another_error() {
    let (chat, mut peer) = connected().await;
    let mut blocked = chat.blocked();
    let began = tokio::time::Instant::now();
    let serve = async {
        answer(&mut peer, "users.block_list", rejected(ErrorCode::RateLimited)).await;
        answer(&mut peer, "users.block_list", page(&["mallory"], Some("mallory"))).await;
        answer(
            &mut peer,
            "users.block_list",
            json!({"ok": false, "error": {"code": "STORE_UNAVAILABLE", "message": "no"}}),
        )
        .await;
    };
    let list = async {
        assert_eq!(blocked.try_next().await.unwrap().unwrap().id.as_str(), "mallory");
        let error = blocked.try_next().await.unwrap_err();
        assert!(matches!(error, RequestError::Rejected { known: Some(ErrorCode::StoreUnavailable), .. }));
        assert!(blocked.try_next().await.unwrap().is_none());
    };
    join!(serve, list);
    assert_eq!(began.elapsed(), Duration::from_millis(1500));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_loses_no_user() {
    let (chat, mut peer) = connected().await;
    let mut users = chat.users(UserQuery::default());
    assert!(timeout(Duration::from_millis(1), users.try_next()).await.is_err());
    let serve = answer(&mut peer, "users.list", page(&["bob"], None));
    let (user, _) = join!(users.try_next(), serve);
    assert_eq!(user.unwrap().unwrap().id.as_str(), "bob");
}

#[tokio::test(start_paused = true)]
async fn users_are_read_blocked_and_counted() {
    let (chat, mut peer) = connected().await;
    let bob = json!({"ok": true, "user": {"id": "bob", "display_name": "Bob"}});
    let own =
        json!({"ok": true, "user": {"id": "alice", "display_name": "Alice", "check_access_token": false}});
    let count = json!({"ok": true, "users": {"count": 3, "is_partial": true}});

    let (user, d) = join!(chat.user("bob"), answer(&mut peer, "users.get", bob.clone()));
    assert_eq!((user.unwrap().unwrap().display_name.as_str(), d), ("Bob", json!({"id": "bob"})));
    let (user, _) = join!(chat.user("alice"), answer(&mut peer, "users.get", own));
    assert_eq!(user.unwrap().unwrap().display_name, "Alice");
    let (user, _) =
        join!(chat.user("nobody"), answer(&mut peer, "users.get", rejected(ErrorCode::UserNotFound)));
    assert!(user.unwrap().is_none());

    let id = UserId::new("bob").unwrap();
    let (user, d) = join!(chat.block(&id), answer(&mut peer, "users.block", bob.clone()));
    assert_eq!((user.unwrap().id, d), (id.clone(), json!({"block_id": "bob"})));
    let (user, d) = join!(chat.unblock(&id), answer(&mut peer, "users.unblock", bob));
    assert_eq!((user.unwrap().id, d), (id, json!({"unblock_id": "bob"})));

    let (users, _) = join!(chat.count_users(), answer(&mut peer, "users.list_count", count.clone()));
    let users = users.unwrap();
    assert!(users.count == 3 && users.is_partial);
    let (users, d) = join!(chat.count_online_users(), answer(&mut peer, "users.list_count", count));
    assert_eq!((users.unwrap().count, d), (3, json!({"is_online_filter": "ONLINE"})));

    assert!(matches!(chat.block("").await, Err(RequestError::UserId(_))), "nothing is sent");
}
