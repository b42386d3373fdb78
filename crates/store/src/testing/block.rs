//! Blocks.

use chatcamp_protocol::{AppId, UserId};
use futures_util::future::join_all;

use super::{app_id, open_app, plain_user, rename, user_id};
use crate::{MAX_BLOCKS, Store, StoreError};

/// Tests the blocks of a store; `make` creates an empty one.
pub(super) async fn suite<S: Store>(make: &impl AsyncFn() -> S) {
    a_user_blocks_others(&make().await).await;
    blocked_users_are_listed_in_pages_as_they_are_now(&make().await).await;
    blocks_end_with_either_user(&make().await).await;
    a_user_has_a_limit_of_blocks(&make().await).await;
}

async fn a_user_blocks_others(store: &dyn Store) {
    let (app, other) = (open_app(store, "demo").await, open_app(store, "other").await);
    for id in ["alice", "b", "Z", "é", "a0"] {
        store.create_user(plain_user(&app, id)).await.unwrap();
        store.create_user(plain_user(&other, id)).await.unwrap();
    }
    let alice = user_id("alice");
    for (app, user, blocked, is_done) in [
        (&app, "alice", "é", true),
        (&app, "alice", "b", true),
        (&app, "alice", "b", true),
        (&app, "alice", "Z", true),
        (&app, "b", "alice", true),
        (&app, "alice", "nobody", false),
        (&app, "nobody", "alice", false),
        (&app_id("nowhere"), "alice", "b", false),
    ] {
        let done = store.block(app, &user_id(user), &user_id(blocked)).await.unwrap();
        assert_eq!(done, is_done, "{user} blocks {blocked}");
    }
    assert_blocks(store, &app, "alice", &["Z", "b", "é"]).await;
    assert_blocks(store, &app, "b", &["alice"]).await;
    assert_blocks(store, &app, "Z", &[]).await;
    assert_blocks(store, &other, "alice", &[]).await;
    assert_blocks(store, &app_id("nowhere"), "alice", &[]).await;

    for (app, blocked, is_done) in
        [(&app, "b", true), (&app, "b", false), (&other, "Z", false), (&app_id("nowhere"), "Z", false)]
    {
        assert_eq!(store.unblock(app, &alice, &user_id(blocked)).await.unwrap(), is_done, "{blocked}");
    }
    assert_blocks(store, &app, "alice", &["Z", "é"]).await;
    assert_blocks(store, &app, "b", &["alice"]).await;
}

async fn blocked_users_are_listed_in_pages_as_they_are_now(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let alice = user_id("alice");
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    for id in ["b", "Z", "é"] {
        store.create_user(plain_user(&app, id)).await.unwrap();
        store.block(&app, &alice, &user_id(id)).await.unwrap();
    }
    for (after, limit, expected) in [
        (None, 2, &["Z", "b"][..]),
        (Some("Z"), 2, &["b", "é"]),
        (Some("a1"), 1, &["b"]),
        (Some("é"), 5, &[]),
        (None, 0, &[]),
    ] {
        let after = after.map(user_id);
        let page = store.blocked(&app, &alice, after.as_ref(), limit).await.unwrap();
        let ids: Vec<&str> = page.iter().map(|user| user.id.as_str()).collect();
        assert_eq!(ids, expected, "after {after:?}");
    }

    for id in ["alice", "Z"] {
        store.edit_user(&app, &user_id(id), rename("New")).await.unwrap();
    }
    assert_blocks(store, &app, "alice", &["Z", "b", "é"]).await;
    let listed = store.blocked(&app, &alice, None, 1).await.unwrap().remove(0);
    assert_eq!(listed.profile.display_name, "New");
}

async fn blocks_end_with_either_user(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    for id in ["alice", "bob", "carol"] {
        store.create_user(plain_user(&app, id)).await.unwrap();
    }
    for (user, other) in [("alice", "bob"), ("alice", "carol"), ("bob", "alice"), ("carol", "bob")] {
        assert!(store.block(&app, &user_id(user), &user_id(other)).await.unwrap());
    }
    assert!(store.delete_user(&app, &user_id("bob")).await.unwrap());
    store.create_user(plain_user(&app, "bob")).await.unwrap();
    assert_blocks(store, &app, "alice", &["carol"]).await;
    assert_blocks(store, &app, "bob", &[]).await;
    assert_blocks(store, &app, "carol", &[]).await;
}

async fn a_user_has_a_limit_of_blocks(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let ids: Vec<UserId> = (0..MAX_BLOCKS + 2).map(|n| user_id(&format!("user {n}"))).collect();
    join_all(ids.iter().map(|id| store.create_user(plain_user(&app, id.as_str())))).await;
    let [alice, others @ ..] = &ids[..] else { panic!("there are some") };
    let blocked = join_all(others.iter().map(|other| store.block(&app, alice, other))).await;
    let refused: Vec<_> = others.iter().zip(&blocked).filter(|(_, blocked)| blocked.is_err()).collect();
    let [(refused, Err(StoreError::BlockLimit))] = refused[..] else { panic!("{refused:?}") };
    let count = async || store.blocked(&app, alice, None, usize::MAX).await.unwrap().len() as u64;
    assert_eq!(count().await, MAX_BLOCKS);

    let present = others.iter().find(|other| *other != refused).unwrap();
    assert!(store.block(&app, alice, present).await.unwrap(), "an existing block does not count again");
    assert!(!store.block(&app, alice, &user_id("nobody")).await.unwrap());
    assert!(store.block(&app, refused, alice).await.unwrap(), "another user has a limit of its own");
    assert!(store.unblock(&app, alice, present).await.unwrap());
    assert!(store.block(&app, alice, refused).await.unwrap(), "unblocking makes a new block possible");
    assert_eq!(count().await, MAX_BLOCKS);
}

/// Asserts which users a user blocks, in order.
async fn assert_blocks(store: &dyn Store, app: &AppId, user: &str, expected: &[&str]) {
    let blocked = store.blocked(app, &user_id(user), None, usize::MAX).await.unwrap();
    let ids: Vec<&str> = blocked.iter().map(|user| user.id.as_str()).collect();
    assert_eq!(ids, expected, "blocked by {user}");
}
