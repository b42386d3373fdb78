//! `users.list` with all its filters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_backend;
mod common;

use std::sync::Arc;

use api_backend::Backend;
use chatcamp_protocol::Profile;
use chatcamp_server::{AuthPolicy, Limits};
use chatcamp_store::{Created, User, prelude::*};
use common::{World, eventually, user};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Starts a backend whose app has these users, over SQLite.
async fn with_users(users: impl IntoIterator<Item = (String, String)>) -> (Backend, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(chatcamp_store::sqlite::Store::open(folder.path().join("store.db")).unwrap());
    let backend = Backend::of(World::over(store.clone(), AuthPolicy::Open, Limits::default()).await).await;
    let mut creating = JoinSet::new();
    for (id, name) in users {
        let profile = Profile { display_name: name, ..Profile::default() };
        let user = User { profile, ..User::new(backend.world.app.clone(), user(&id), [0; 16], 1) };
        let store = store.clone();
        creating.spawn(async move { store.create_user(user).await });
    }
    for created in creating.join_all().await {
        assert!(matches!(created, Ok(Created::New(_))));
    }
    (backend, folder)
}

fn named(users: &[(&str, &str)]) -> Vec<(String, String)> {
    users.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect()
}

fn ids(page: &Value) -> Vec<&str> {
    page["users"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect()
}

/// Reads a list in pages of `limit`. Returns the ids and the number of pages.
async fn walk(backend: &Backend, filters: &Value, limit: usize) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut reference) = (Vec::new(), 0, Value::Null);
    loop {
        let mut request = filters.clone();
        (request["limit"], request["reference"]) = (json!(limit), reference);
        let page = backend.call("users.list", request).await.ok();
        assert!(ids(&page).len() <= limit);
        found.extend(ids(&page).into_iter().map(str::to_owned));
        pages += 1;
        match page.get("reference") {
            Some(next) => reference = next.clone(),
            None => return (found, pages),
        }
    }
}

#[tokio::test]
async fn users_are_found_by_id_name_and_presence() {
    let users = named(&[
        ("al", ""),
        ("alan", "Zed"),
        ("Al", "Capital"),
        ("bob", "Alice"),
        ("carol", "alan"),
        ("dave", "ALF"),
        ("eve", "Eve al"),
        ("zoe", "Älice"),
    ]);
    let (backend, _folder) = with_users(users).await;
    let online = [backend.world.connect("alan").await, backend.world.connect("carol").await];
    let more = backend.world.connect("eve").await;
    for (filters, expected) in [
        (json!({}), &["Al", "al", "alan", "bob", "carol", "dave", "eve", "zoe"][..]),
        (json!({"prefix": ""}), &["Al", "al", "alan", "bob", "carol", "dave", "eve", "zoe"]),
        (json!({"prefix": "al"}), &["al", "alan", "carol", "dave", "bob"]),
        (json!({"prefix": "AL"}), &["carol", "dave", "bob"]),
        (json!({"prefix": "alan"}), &["alan", "carol"]),
        (json!({"prefix": "Ä"}), &["zoe"]),
        (json!({"prefix": "ä"}), &[]),
        (json!({"prefix": "%"}), &[]),
        (json!({"prefix": "a\u{0}"}), &[]),
        (json!({"prefix": "x".repeat(300)}), &[]),
        (json!({"online": true}), &["alan", "carol", "eve"]),
        (json!({"online": "1", "prefix": "al"}), &["alan", "carol"]),
        (json!({"online": false}), &["Al", "al", "bob", "dave", "zoe"]),
        (json!({"online": false, "prefix": "al"}), &["al", "dave", "bob"]),
    ] {
        for limit in [1, 2, 3, 100] {
            assert_eq!(walk(&backend, &filters, limit).await.0, expected, "{filters} by {limit}");
        }
    }
    let first = backend.call("users.list", json!({"reference": "", "limit": 1})).await.ok();
    assert_eq!(ids(&first), ["Al"], "an empty reference means the first page");
    let last = backend.call("users.list", json!({"online": true, "limit": 3})).await.ok();
    assert_eq!((ids(&last).len(), last.get("reference")), (3, None));
    drop((online, more));
    eventually(|| backend.world.server.load().sessions == 0).await;
    assert_eq!(walk(&backend, &json!({"online": true}), 2).await.0, [""; 0]);
}

#[tokio::test]
async fn a_page_begins_after_the_previous_one_despite_changes() {
    let users =
        named(&[("a1", "x"), ("a2", "x"), ("n1", "Abe"), ("n2", "abe"), ("n3", "Abel"), ("n4", "Abra")]);
    let (backend, _folder) = with_users(users).await;
    let search = |reference: &Value| json!({"prefix": "a", "limit": 2, "reference": reference});
    let first = backend.call("users.list", search(&Value::Null)).await.ok();
    assert_eq!(ids(&first), ["a1", "a2"]);
    backend.call("users.delete", json!({"id": "a2"})).await.ok();
    let second = backend.call("users.list", search(&first["reference"])).await.ok();
    assert_eq!(ids(&second), ["n1", "n2"]);
    // The last user of the page has been renamed or deleted in between.
    backend.call("users.update", json!({"id": "n2", "display_name": "Zoe"})).await.ok();
    let third = backend.call("users.list", search(&second["reference"])).await.ok();
    assert_eq!((ids(&third), third.get("reference")), (vec!["n3", "n4"], None));
    backend.call("users.delete", json!({"id": "n2"})).await.ok();
    let again = backend.call("users.list", search(&second["reference"])).await.ok();
    assert_eq!(ids(&again), ["n3", "n4"]);
}

#[tokio::test]
async fn one_page_examines_a_limited_number_of_users_and_the_next_continues() {
    let users = (0..6000).map(|n| (format!("user {n:04}"), format!("User {n:04}")));
    let (backend, _folder) = with_users(users).await;
    let peer = backend.world.connect("user 5500").await;
    let (found, pages) = walk(&backend, &json!({"online": true, "prefix": "USER"}), 10).await;
    assert_eq!((found, pages), (vec!["user 5500".to_owned()], 1));
    // All users match by id, so none is listed again by name.
    let (found, pages) = walk(&backend, &json!({"prefix": "user"}), 1000).await;
    assert_eq!(found.len(), 6000);
    assert!((7..=9).contains(&pages), "{pages}");
    let (found, pages) = walk(&backend, &json!({"online": false}), 1000).await;
    assert_eq!((found.len(), pages), (5999, 6));
    drop(peer);
}
