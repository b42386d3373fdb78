//! Requests about other users: the directory and blocks, over memory and in paused time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use chatcamp_protocol::{Profile, limits};
use chatcamp_server::{AuthPolicy, Keyring, NewUser, Server};
use chatcamp_store::{App, Edited, MAX_BLOCKS, MockStore, StoreError, User};
use chatcamp_transport::{Transport, memory};
use common::{Peer, World, eventually, user};
use serde_json::{Value, json};

/// The fields of a user that other users see.
const PUBLIC: [&str; 6] = ["avatar_url", "display_name", "id", "is_online", "last_seen", "profile_url"];

/// Creates users that never connect.
async fn keep(world: &World, ids: impl IntoIterator<Item = impl AsRef<str>>) {
    for id in ids {
        let user = User::new(world.app.clone(), user(id.as_ref()), [7; 16], 1);
        world.store.create_user(user).await.unwrap();
    }
}

async fn set_directory(world: &World, directory: bool) {
    let edit = move |app: &mut App| {
        app.directory = directory;
        Edited::Save
    };
    world.store.edit_app(&world.app, Box::new(edit)).await.unwrap().unwrap();
}

/// Connects a user in each dialect.
async fn both(world: &World, id: &str) -> [Peer; 2] {
    let mut published = world.published(&format!("app_id={}&user_id={id}", world.app)).await;
    assert_eq!(published.recv().await["d"]["ok"], true);
    [world.connect(id).await, published]
}

fn ids(d: &Value) -> Vec<&str> {
    assert_eq!(d["ok"], true, "{d}");
    d["users"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect()
}

fn code(d: &Value) -> Option<&str> {
    assert_eq!(d["ok"].as_bool(), Some(d.get("error").is_none()), "{d}");
    d["error"]["code"].as_str()
}

/// Reads all pages of a list like the published SDK: the last user of a page is the next reference.
async fn all_pages(peer: &mut Peer, t: &str, limit: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let mut d = json!({ "limit": limit });
        if let Some(last) = all.last() {
            d["reference"] = json!(last);
        }
        let page = peer.request(t, d).await;
        assert!(page.to_string().len() < limits::MESSAGE);
        let ids = ids(&page);
        assert!(ids.len() <= limit);
        if ids.is_empty() {
            assert_eq!(page.get("reference"), None, "nothing is behind the end");
            return all;
        }
        all.extend(ids.into_iter().map(ToOwned::to_owned));
    }
}

#[tokio::test(start_paused = true)]
async fn users_are_listed_page_by_page_in_the_byte_order_of_their_ids() {
    let world = World::open().await;
    keep(&world, ["b", "a", "Z", "é", "a0", "c"]).await;
    for mut peer in both(&world, "me").await {
        for limit in [1, 2, 7, 8] {
            let all = all_pages(&mut peer, "users.list", limit).await;
            assert_eq!(all, ["Z", "a", "a0", "b", "c", "me", "é"], "{limit} a page");
        }
        let page = peer.request("users.list", json!({"limit": 2})).await;
        assert_eq!((ids(&page), &page["reference"]), (vec!["Z", "a"], &json!("a")));
        let page = peer.request("users.list", json!({"limit": 2, "reference": "a00"})).await;
        assert_eq!(ids(&page), ["b", "c"], "a reference need not be there");
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_page_has_twenty_users_by_default_and_at_most_a_hundred() {
    let world = World::open().await;
    keep(&world, (0..150).map(|n| format!("user {n:03}"))).await;
    let mut me = world.connect("me").await;
    for (d, expected) in [
        (json!({}), Ok(20)),
        (json!({"limit": null}), Ok(20)),
        (json!({"limit": 1}), Ok(1)),
        (json!({"limit": 100}), Ok(100)),
        (json!({"limit": 101}), Ok(100)),
        (json!({"limit": u64::MAX}), Ok(100)),
        (json!({"limit": 0}), Err("INVALID_BODY")),
        (json!({"limit": -1}), Err("INVALID_BODY")),
        (json!({"limit": 1.5}), Err("INVALID_BODY")),
        (json!({"limit": "20"}), Err("INVALID_BODY")),
        (json!({"limit": []}), Err("INVALID_BODY")),
        (json!({"reference": ""}), Err("INVALID_BODY")),
        (json!({"reference": 7}), Err("INVALID_BODY")),
    ] {
        let listed = me.request("users.list", d.clone()).await;
        match expected {
            Ok(length) => assert_eq!(ids(&listed).len(), length, "{d}"),
            Err(refused) => assert_eq!(code(&listed), Some(refused), "{d}"),
        }
        let blocked = me.request("users.block_list", d.clone()).await;
        assert_eq!(code(&blocked), expected.err(), "{d}");
    }
    drop(me);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn lists_show_all_users_as_others_see_them() {
    let world = World::open().await;
    let profile = Profile {
        display_name: "Bob".into(),
        email: "bob@example.com".into(),
        phone_number: "+1 555".into(),
        data: "private".into(),
        avatar_url: "//example.com/b.png".into(),
        ..Profile::default()
    };
    let new = NewUser { profile, ..NewUser::default() };
    let token = world.accounts.create_user(&world.app, &user("bob"), new).await.unwrap();
    let bob = world.connect_with("bob", &token).await;
    for mut alice in both(&world, "alice").await {
        let list = alice.request("users.list", json!({})).await;
        let block = alice.request("users.block", json!({"block_id": "bob"})).await;
        let blocked = alice.request("users.block_list", json!({})).await;
        let unblock = alice.request("users.unblock", json!({"unblock_id": "bob"})).await;
        let [own, other] = &list["users"].as_array().unwrap()[..] else { panic!("{list}") };
        for seen in [own, other, &block["user"], &blocked["users"][0], &unblock["user"]] {
            let fields: Vec<_> = seen.as_object().unwrap().keys().cloned().collect();
            assert_eq!(fields, PUBLIC, "{seen}");
        }
        for seen in [other, &block["user"], &blocked["users"][0], &unblock["user"]] {
            assert_eq!(
                (&seen["id"], &seen["display_name"], &seen["avatar_url"], &seen["is_online"]),
                (&json!("bob"), &json!("Bob"), &json!("//example.com/b.png"), &json!(true))
            );
        }
    }
    drop(bob);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_is_narrowed_by_its_filters() {
    let world = World::open().await;
    keep(&world, ["carol", "Caro", "dave", "erin", "frank"]).await;
    let named = move |user: &mut User| {
        user.profile.display_name = "CARoline".into();
        Edited::Save
    };
    world.store.edit_user(&world.app, &user("dave"), Box::new(named)).await.unwrap();
    world.accounts.set_suspended(&world.app, &user("frank"), true).await.unwrap();
    world.accounts.set_locked(&world.app, &user("erin"), true).await.unwrap();
    let bob = world.connect("bob").await;
    let everybody = ["Caro", "alice", "bob", "carol", "dave", "erin"].as_slice();
    for mut alice in both(&world, "alice").await {
        for (d, expected) in [
            // The default of the published SDK.
            (
                json!({"limit": 20, "order": "ALPHABETICAL", "is_active_filter": "ACTIVE",
                    "is_online_filter": "ALL", "is_check_access_token_filter": "ALL"}),
                Ok(everybody),
            ),
            (json!({"is_active_filter": "ALL"}), Ok(everybody)),
            (json!({"is_online_filter": null, "is_active_filter": null}), Ok(everybody)),
            (json!({"custom_filter": ["x"], "custom_filter_query_type": "OR", "more": 1}), Ok(everybody)),
            (json!({"is_online_filter": "ONLINE"}), Ok(&["alice", "bob"])),
            (json!({"is_online_filter": "OFFLINE"}), Ok(&["Caro", "carol", "dave", "erin"])),
            (json!({"is_online_filter": "OFFLINE", "limit": 1, "reference": "carol"}), Ok(&["dave"])),
            (json!({"display_name_search": ""}), Ok(everybody)),
            (json!({"display_name_search": "cAr"}), Ok(&["Caro", "carol", "dave"])),
            (json!({"display_name_search": "carol"}), Ok(&["carol", "dave"])),
            (json!({"display_name_search": "aro"}), Ok(&[])),
            (json!({"user_ids": []}), Ok(&[])),
            (json!({"user_ids": ["erin", "nobody", "bob", "erin", "frank"]}), Ok(&["bob", "erin"])),
            (json!({"user_ids": ["erin", "bob"], "reference": "bob"}), Ok(&["erin"])),
            (json!({"user_ids": ["erin", "bob"], "is_online_filter": "ONLINE"}), Ok(&["bob"])),
            (json!({"is_active_filter": "INACTIVE"}), Err("INVALID_BODY")),
            (json!({"is_check_access_token_filter": "YES"}), Err("INVALID_BODY")),
            (json!({"is_online_filter": "online"}), Err("INVALID_BODY")),
            (json!({"is_online_filter": true}), Err("INVALID_BODY")),
            (json!({"user_ids": "bob"}), Err("INVALID_BODY")),
            (json!({"user_ids": [7]}), Err("INVALID_BODY")),
            (json!({"user_ids": vec!["bob"; 1001]}), Err("VALUE_TOO_LONG")),
            (json!({"display_name_search": 7}), Err("INVALID_BODY")),
            (json!({"display_name_search": "x".repeat(256)}), Err("VALUE_TOO_LONG")),
            (json!([]), Err("INVALID_BODY")),
            (json!(null), Ok(everybody)),
        ] {
            let listed = alice.request("users.list", d.clone()).await;
            match expected {
                Ok(expected) => assert_eq!(ids(&listed), expected, "{d}"),
                Err(refused) => assert_eq!(code(&listed), Some(refused), "{d}"),
            }
        }
    }
    drop(bob);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_page_fits_into_a_message() {
    let world = World::without_request_rate().await;
    let mut expected: Vec<String> = (0..120).map(|n| format!("user {n:03}")).collect();
    for id in &expected {
        let mut big = User::new(world.app.clone(), user(id), [7; 16], 1);
        big.profile.avatar_url = "\"".repeat(limits::PROFILE_URL);
        big.profile.profile_url = "x".repeat(limits::PROFILE_URL);
        world.store.create_user(big).await.unwrap();
    }
    for mut me in both(&world, "me").await {
        for id in &expected {
            me.request("users.block", json!({"block_id": id})).await;
        }
        let page = me.request("users.list", json!({"limit": 100})).await;
        assert!((2..100).contains(&ids(&page).len()), "{}", ids(&page).len());
        assert_eq!(page["reference"], *ids(&page).last().unwrap());
        assert_eq!(all_pages(&mut me, "users.block_list", 100).await, expected);
        expected.insert(0, "me".into());
        assert_eq!(all_pages(&mut me, "users.list", 100).await, expected);
        expected.remove(0);
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_search_reads_ten_thousand_users_and_returns_where_to_continue() {
    let world = World::open().await;
    keep(&world, (0..10_300).map(|n| format!("user {n:05}"))).await;
    let last = world.connect("zoe").await;
    let mut me = world.connect("me").await;
    let search = |reference: Value| json!({"display_name_search": "ZO", "reference": reference});
    let page = me.request("users.list", search(json!(null))).await;
    assert_eq!(ids(&page), Vec::<&str>::new());
    // After "me" and 9,999 of the others.
    assert_eq!(page["reference"], "user 09998");
    let page = me.request("users.list", search(page["reference"].clone())).await;
    assert_eq!((ids(&page), page.get("reference")), (vec!["zoe"], None));

    let count = me.request("users.list_count", json!({})).await;
    assert_eq!(count["users"], json!({"count": 10_302}), "counting everybody takes no looking");
    let count = me.request("users.list_count", json!({"is_online_filter": "OFFLINE"})).await;
    assert_eq!(count["users"], json!({"count": 9_999, "is_partial": true}));
    drop((me, last));
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn users_are_counted_as_they_are_listed() {
    let world = World::open().await;
    keep(&world, ["carol", "dave", "erin"]).await;
    world.accounts.set_suspended(&world.app, &user("erin"), true).await.unwrap();
    let bob = world.connect("bob").await;
    for mut alice in both(&world, "alice").await {
        for (d, expected) in [
            (json!({}), Ok(4)),
            (
                json!({"is_active_filter": "ACTIVE", "is_online_filter": "ALL",
                    "is_check_access_token_filter": "ALL", "custom_filter": []}),
                Ok(4),
            ),
            (json!({"is_active_filter": "ALL"}), Ok(4)),
            (json!({"is_online_filter": "ONLINE"}), Ok(2)),
            (json!({"is_online_filter": "OFFLINE"}), Ok(2)),
            (json!({"is_active_filter": "INACTIVE"}), Err("INVALID_BODY")),
            (json!({"is_check_access_token_filter": "NONE"}), Err("INVALID_BODY")),
        ] {
            let counted = alice.request("users.list_count", d.clone()).await;
            match expected {
                Ok(count) => assert_eq!(counted["users"], json!({ "count": count }), "{d}"),
                Err(refused) => assert_eq!(code(&counted), Some(refused), "{d}"),
            }
        }
    }
    drop(bob);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_without_directory_refuses_lists_and_counts() {
    let world = World::open().await;
    keep(&world, ["bob"]).await;
    for mut alice in both(&world, "alice").await {
        for is_on in [false, true] {
            set_directory(&world, is_on).await;
            let expected = (!is_on).then_some("DIRECTORY_OFF");
            for (t, d, expected) in [
                ("users.list", json!({}), expected),
                ("users.list", json!({"user_ids": ["bob"]}), expected),
                ("users.list_count", json!({}), expected),
                ("users.get", json!({"id": "bob"}), None),
                ("users.block", json!({"block_id": "bob"}), None),
                ("users.block_list", json!({}), None),
                ("users.unblock", json!({"unblock_id": "bob"}), None),
            ] {
                let d = alice.request(t, d).await;
                assert_eq!(code(&d), expected, "{t}: {d}");
                assert_eq!(expected.is_some(), d.get("users").is_none() && d.get("user").is_none(), "{d}");
            }
        }
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_block_belongs_to_the_blocker_and_stays_until_it_is_ended() {
    let world = World::open().await;
    keep(&world, ["bob", "carol", "dave"]).await;
    for [mut alice, mut again] in [both(&world, "alice").await, {
        let [native, published] = both(&world, "alice").await;
        [published, native]
    }] {
        for (t, d, expected) in [
            ("users.block", json!({"block_id": "carol"}), None),
            ("users.block", json!({"block_id": "bob"}), None),
            ("users.block", json!({"block_id": "bob"}), None),
            ("users.block", json!({"block_id": "nobody"}), Some("USER_NOT_FOUND")),
            ("users.block", json!({"block_id": "alice"}), Some("OWN_USER")),
            ("users.block", json!({"block_id": ""}), Some("INVALID_BODY")),
            ("users.block", json!({"id": "bob"}), Some("INVALID_BODY")),
            ("users.unblock", json!({"unblock_id": "dave"}), None),
            ("users.unblock", json!({"unblock_id": "nobody"}), Some("USER_NOT_FOUND")),
            ("users.unblock", json!({"block_id": "bob"}), Some("INVALID_BODY")),
        ] {
            let answer = alice.request(t, d.clone()).await;
            assert_eq!(code(&answer), expected, "{t} {d}");
            if expected.is_none() {
                let id = d.get("block_id").or_else(|| d.get("unblock_id"));
                assert_eq!(Some(&answer["user"]["id"]), id, "{answer}");
            }
        }
        assert_eq!(all_pages(&mut again, "users.block_list", 1).await, ["bob", "carol"]);
        let mut bob = world.connect("bob").await;
        assert_eq!(ids(&bob.request("users.block_list", json!({})).await), Vec::<&str>::new());

        alice.request("users.unblock", json!({"unblock_id": "bob"})).await;
        assert_eq!(all_pages(&mut again, "users.block_list", 20).await, ["carol"]);
        alice.request("users.unblock", json!({"unblock_id": "carol"})).await;
        assert_eq!(all_pages(&mut again, "users.block_list", 20).await, Vec::<String>::new());
    }
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn deleting_a_user_ends_its_blocks() {
    let world = World::open().await;
    keep(&world, ["bob"]).await;
    let mut alice = world.connect("alice").await;
    alice.request("users.block", json!({"block_id": "bob"})).await;
    world.accounts.delete_user(&world.app, &user("bob")).await.unwrap();
    assert_eq!(all_pages(&mut alice, "users.block_list", 20).await, Vec::<String>::new());
    keep(&world, ["bob"]).await;
    assert_eq!(all_pages(&mut alice, "users.block_list", 20).await, Vec::<String>::new(), "another bob");
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_can_block_at_most_a_thousand_others() {
    let world = World::without_request_rate().await;
    let others: Vec<String> = (0..=MAX_BLOCKS).map(|n| format!("user {n:04}")).collect();
    keep(&world, &others).await;
    let mut alice = world.connect("alice").await;
    let (one_more, others) = others.split_last().unwrap();
    for other in others {
        assert_eq!(code(&alice.request("users.block", json!({"block_id": other})).await), None);
    }
    let block = |id: &str| json!({"block_id": id});
    assert_eq!(code(&alice.request("users.block", block(one_more)).await), Some("TOO_MANY_BLOCKS"));
    assert_eq!(code(&alice.request("users.block", block(&others[0])).await), None);
    alice.request("users.unblock", json!({"unblock_id": others[0]})).await;
    assert_eq!(code(&alice.request("users.block", block(one_more)).await), None);
    assert_eq!(all_pages(&mut alice, "users.block_list", 100).await.len(), 1000);
    drop(alice);
    world.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_failure_fails_the_request_and_not_the_session() {
    let app = chatcamp_protocol::AppId::new("demo").unwrap();
    let alice = Arc::new(User::new(app.clone(), user("alice"), [7; 16], 1));
    let record = Arc::new(App::new(app.clone(), "Demo", AuthPolicy::Open, 1));
    let mut store = MockStore::new();
    let down = || StoreError::unavailable("down, on purpose");
    store.expect_on_change().returning(|_| ());
    store.expect_record_last_seen().returning(|_| Ok(()));
    store.expect_app().returning(move |_| Ok(Some(record.clone())));
    store.expect_user().returning(move |_, id| match id.as_str() {
        "alice" => Ok(Some(alice.clone())),
        _ => Err(down()),
    });
    store.expect_users().returning(move |_, _, _| Err(down()));
    store.expect_active_user_count().returning(move |_| Err(down()));
    store.expect_block().returning(move |_, _, id| if id.as_str() == "bob" { Ok(true) } else { Err(down()) });
    store.expect_unblock().returning(move |_, _, _| Err(down()));
    store.expect_blocked().returning(move |_, _, _, _| Err(down()));

    let server = Server::builder(Arc::new(store), Keyring::new(vec![[7; 32]]).unwrap()).start();
    let (transport, listener) = memory::network();
    let accepting = server.clone();
    tokio::spawn(async move { accepting.listen(listener).await });
    let mut peer = Peer::native(transport.connect().await.unwrap(), &app, "alice", None).await.unwrap();
    for (t, d) in [
        ("users.list", json!({})),
        ("users.list", json!({"user_ids": ["bob"]})),
        ("users.list_count", json!({})),
        ("users.list_count", json!({"is_online_filter": "ONLINE"})),
        ("users.block", json!({"block_id": "bob"})),
        ("users.block", json!({"block_id": "carol"})),
        ("users.unblock", json!({"unblock_id": "bob"})),
        ("users.block_list", json!({})),
    ] {
        let answer = peer.request(t, d.clone()).await;
        assert_eq!(code(&answer), Some("STORE_UNAVAILABLE"), "{t} {d}");
    }
    drop(peer);
    eventually(|| server.load().connections == 0).await;
    server.shutdown().await;
}
