//! Queries that select users.

use chatcamp_protocol::{AppId, Profile};

use super::{app_id, open_app, plain_user, rename, user_id};
use crate::{Store, User, UserQuery};

/// Tests the queries of a store; `make` creates an empty one.
pub(super) async fn suite<S: Store>(make: &impl AsyncFn() -> S) {
    users_are_found_by_a_text_inside_their_id_or_name(&make().await).await;
    users_are_found_by_what_restricts_them(&make().await).await;
    users_are_found_among_ids(&make().await).await;
    found_users_are_returned_in_pages(&make().await).await;
    users_are_found_as_they_are_now(&make().await).await;
}

async fn users_are_found_by_a_text_inside_their_id_or_name(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let other = open_app(store, "other").await;
    let longest = "w".repeat(255);
    for (id, name) in [
        ("a1", "Mary Ann"),
        ("ANN-2", ""),
        ("b%c", "50% off"),
        ("b_c", "back\\slash"),
        ("bxc", "Änne"),
        ("é", "[ann]*?"),
        (&longest, ""),
    ] {
        store.create_user(named_user(&app, id, name)).await.unwrap();
    }
    store.create_user(named_user(&other, "ann", "Ann")).await.unwrap();
    for (text, expected) in [
        ("ann", &["ANN-2", "a1", "é"][..]),
        ("aNN", &["ANN-2", "a1", "é"]),
        ("n-2", &["ANN-2"]),
        ("y a", &["a1"]),
        ("%", &["b%c"]),
        ("b_c", &["b_c"]),
        ("_", &["b_c"]),
        ("\\", &["b_c"]),
        ("b%", &["b%c"]),
        ("ä", &[]),
        ("Ä", &["bxc"]),
        ("É", &[]),
        ("é", &["é"]),
        ("*?", &["é"]),
        ("'", &[]),
        ("ann\0", &[]),
        ("\0", &[]),
        (&longest, &[&longest]),
        (&"w".repeat(256), &[]),
        (&"%".repeat(100_000), &[]),
    ] {
        let query = UserQuery { text: text.to_owned(), ..UserQuery::default() };
        let (ids, total) = find(store, &app, &query, 0, 100).await;
        assert_eq!(
            (ids, total),
            (owned(expected), expected.len() as u64),
            "{:?}",
            &text[..text.len().min(9)]
        );
    }
    let all = UserQuery::default();
    assert_eq!(find(store, &app, &all, 0, 100).await.1, 7);
    assert_eq!(find(store, &app_id("nowhere"), &all, 0, 100).await, (Vec::new(), 0));
}

async fn users_are_found_by_what_restricts_them(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    for (id, check_access_token, is_suspended) in
        [("a", false, false), ("b", false, true), ("c", true, false), ("d", true, true)]
    {
        let user = User { check_access_token, is_suspended, ..plain_user(&app, id) };
        store.create_user(user).await.unwrap();
    }
    for (check_access_token, is_suspended, text, expected) in [
        (None, None, "", &["a", "b", "c", "d"][..]),
        (Some(true), None, "", &["c", "d"]),
        (Some(false), None, "", &["a", "b"]),
        (None, Some(true), "", &["b", "d"]),
        (None, Some(false), "", &["a", "c"]),
        (Some(true), Some(false), "", &["c"]),
        (Some(true), None, "D", &["d"]),
        (Some(true), None, "a", &[]),
    ] {
        let query = UserQuery { text: text.into(), check_access_token, is_suspended, ids: None };
        let found = find(store, &app, &query, 0, 100).await;
        assert_eq!(found, (owned(expected), expected.len() as u64), "{query:?}");
    }
}

async fn users_are_found_among_ids(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    for id in ["a", "b\"'", "c", "é"] {
        store.create_user(named_user(&app, id, "Ann")).await.unwrap();
    }
    for (ids, text, expected) in [
        (&["c", "a", "nobody", "c"][..], "", &["a", "c"][..]),
        (&["é", "b\"'"], "ann", &["b\"'", "é"]),
        (&["a", "c"], "C", &["c"]),
        (&[], "", &[]),
    ] {
        let ids = Some(ids.iter().map(|id| user_id(id)).collect());
        let query = UserQuery { text: text.into(), ids, ..UserQuery::default() };
        let found = find(store, &app, &query, 0, 100).await;
        assert_eq!(found, (owned(expected), expected.len() as u64), "{query:?}");
    }
}

async fn found_users_are_returned_in_pages(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    for id in ["b", "a", "Z", "é", "a0"] {
        store.create_user(plain_user(&app, id)).await.unwrap();
    }
    let all = UserQuery::default();
    for (skip, limit, expected) in [
        (0, 2, &["Z", "a"][..]),
        (2, 2, &["a0", "b"]),
        (4, 2, &["é"]),
        (5, 2, &[]),
        (usize::MAX, usize::MAX, &[]),
        (0, 0, &[]),
        (1, usize::MAX, &["a", "a0", "b", "é"]),
    ] {
        assert_eq!(find(store, &app, &all, skip, limit).await, (owned(expected), 5), "{skip} {limit}");
    }
    let some = UserQuery { text: "A".into(), ..UserQuery::default() };
    assert_eq!(find(store, &app, &some, 1, 1).await, (owned(&["a0"]), 2));
}

async fn users_are_found_as_they_are_now(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    for id in ["1", "2"] {
        store.create_user(named_user(&app, id, "Ann")).await.unwrap();
    }
    store.edit_user(&app, &user_id("1"), rename("Zoe")).await.unwrap();
    store.delete_user(&app, &user_id("2")).await.unwrap();
    let query = |text: &str| UserQuery { text: text.into(), ..UserQuery::default() };
    assert_eq!(find(store, &app, &query("ann"), 0, 9).await, (Vec::new(), 0));
    assert_eq!(find(store, &app, &query("zoe"), 0, 9).await, (owned(&["1"]), 1));
    let found = store.find_users(&app, &query("zoe"), 0, 9).await.unwrap();
    assert_eq!(store.user(&app, &user_id("1")).await.unwrap().as_ref(), found.users.first());
}

fn named_user(app: &AppId, id: &str, name: &str) -> User {
    let profile = Profile { display_name: name.into(), ..Profile::default() };
    User { profile, ..plain_user(app, id) }
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

/// Returns the ids of a page, and the number of users that the query selects.
async fn find(
    store: &dyn Store,
    app: &AppId,
    query: &UserQuery,
    skip: usize,
    limit: usize,
) -> (Vec<String>, u64) {
    let found = store.find_users(app, query, skip, limit).await.unwrap();
    (found.users.iter().map(|user| user.id.to_string()).collect(), found.total)
}
