//! Users.

use std::sync::Arc;

use chatcamp_protocol::{AppId, Profile};
use futures_util::future::join_all;
use parking_lot::Mutex;

use super::{app_id, open_app, plain_user, rename, user_id};
use crate::{
    App, Change, Created, Edited, Previous, Store, StoreError, TokenRecord, Upsert, Upserted, User, UserEdit,
};

/// Tests the users of a store; `make` creates an empty one.
pub(super) async fn suite<S: Store>(make: &impl AsyncFn() -> S) {
    users_are_read_as_they_were_saved(&make().await).await;
    no_edit_of_a_user_is_lost(&make().await).await;
    edits_keep_what_they_cannot_change(&make().await).await;
    many_users_are_created_or_edited_in_one_call(&make().await).await;
    every_saved_edit_is_a_new_revision(&make().await).await;
    nul_is_refused_in_every_text(&make().await).await;
    users_are_deleted(&make().await).await;
    users_are_listed_in_the_order_of_their_ids(&make().await).await;
    users_are_found_by_the_beginning_of_their_names(&make().await).await;
    users_are_found_by_their_current_names(&make().await).await;
    active_users_are_counted(&make().await).await;
    one_of_a_hundred_creations_creates_the_user(&make().await).await;
    an_app_has_a_limit_of_users(&make().await).await;
    last_seen_only_rises(&make().await).await;
}

async fn users_are_read_as_they_were_saved(store: &dyn Store) {
    let (app, other) = (open_app(store, "demo").await, open_app(store, "other").await);
    let metadata =
        serde_json::from_str(r#"{"n": -1.5, "s": "ü", "b": true, "z": null, "a": [1, {"k": []}]}"#).unwrap();
    let full = Profile {
        display_name: "Alice \u{1f642}".into(),
        first_name: "Alice".into(),
        last_name: "L'\"".into(),
        email: "alice@example.com".into(),
        phone_number: "+1 555".into(),
        profile_url: "https://example.com/alice".into(),
        avatar_url: "//example.com/a.png".into(),
        data: "{\"free\":\n1}".into(),
        metadata,
    };
    let derived = |expires_at| TokenRecord::Derived { expires_at };
    let custom = TokenRecord::Custom { digest: [9; 32] };
    let previous = |token| Some(Box::new(Previous { stamp: [8; 16], token, grace_until: 1_900_000_000 }));
    let base = |id: &str| plain_user(&app, id);
    let only_name = Profile { display_name: "Bo".into(), ..Profile::default() };
    let only_data = Profile { data: "d".into(), ..Profile::default() };
    for user in [
        base("plain"),
        User { profile: full, stamp: [255; 16], created_at: u64::MAX, last_seen: 1, ..base("名前 full") },
        User { profile: only_name, is_suspended: true, ..base("a@b.example") },
        User { profile: only_data, check_access_token: true, ..base("ALICE") },
        User { auto_created: true, token: derived(None), ..base("alice") },
        User { token: derived(Some(5)), previous: previous(TokenRecord::None), ..base("e\u{301}") },
        User { token: custom, previous: previous(derived(Some(7))), ..base("\u{e9}") },
        User { previous: previous(custom), ..base("'; DROP TABLE users; --") },
    ] {
        assert_eq!(store.user(&app, &user.id).await.unwrap(), None);
        let created = store.create_user(user.clone()).await.unwrap();
        assert_eq!(created, Created::New(Arc::new(user.clone())));
        assert_eq!(store.user(&app, &user.id).await.unwrap().as_deref(), Some(&user));
        let saved = store.edit_user(&app, &user.id, Box::new(|_| Edited::Save)).await.unwrap();
        let user = User { rev: 2, ..user };
        assert_eq!(saved.as_deref(), Some(&user), "read and written again");
        assert_eq!(store.user(&app, &user.id).await.unwrap().as_deref(), Some(&user));
        assert_eq!(store.user(&other, &user.id).await.unwrap(), None, "another app has users of its own");
    }
    let nowhere = store.create_user(plain_user(&app_id("nowhere"), "alice")).await;
    assert!(matches!(nowhere, Err(StoreError::UnknownApp)), "{nowhere:?}");
    assert_eq!(store.user(&app_id("nowhere"), &user_id("alice")).await.unwrap(), None);
}

async fn no_edit_of_a_user_is_lost(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let alice = user_id("alice");
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let count = || -> UserEdit {
        Box::new(|user| {
            user.profile.data.push('+');
            Edited::Save
        })
    };
    let edits = join_all((0..100).map(|_| store.edit_user(&app, &alice, count()))).await;
    assert!(edits.iter().all(|edit| edit.as_ref().unwrap().is_some()));
    let user = store.user(&app, &alice).await.unwrap().unwrap();
    assert_eq!(user.profile.data.len(), 100);
}

async fn edits_keep_what_they_cannot_change(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let alice = user_id("alice");
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    store.create_user(plain_user(&app, "bob")).await.unwrap();

    let overwrite = |user: &mut User| {
        user.app = app_id("other");
        user.id = user_id("mallory");
        user.created_at = 99;
        user.rev = 99;
        user.stamp = [3; 16];
        user.profile = Profile::default();
        Edited::Save
    };
    let edited = store.edit_user(&app, &alice, Box::new(overwrite)).await.unwrap();
    let expected = User { stamp: [3; 16], rev: 2, ..plain_user(&app, "alice") };
    assert_eq!(edited.as_deref(), Some(&expected), "the ids and the time of creation stay");

    let suspend_without_saving = |user: &mut User| {
        user.is_suspended = true;
        Edited::Keep
    };
    let kept = store.edit_user(&app, &alice, Box::new(suspend_without_saving)).await.unwrap();
    assert_eq!(kept.as_deref(), Some(&expected));
    assert_eq!(store.user(&app, &alice).await.unwrap().as_deref(), Some(&expected));

    assert_eq!(store.edit_user(&app, &user_id("nobody"), rename("n")).await.unwrap(), None);
    assert_eq!(store.edit_user(&app_id("nowhere"), &alice, rename("n")).await.unwrap(), None);
    let bob = store.user(&app, &user_id("bob")).await.unwrap();
    assert_eq!(bob.as_deref(), Some(&plain_user(&app, "bob")), "others stay");
    assert_eq!(store.user_count(&app).await.unwrap(), 2);
}

async fn many_users_are_created_or_edited_in_one_call(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let limited = |app: &mut App| {
        app.max_users = 3;
        Edited::Save
    };
    store.edit_app(&app, Box::new(limited)).await.unwrap();
    store.create_user(plain_user(&app, "kept")).await.unwrap();
    let heard: Arc<Mutex<Vec<Change>>> = Arc::default();
    let hear = heard.clone();
    store.on_change(Box::new(move |change| hear.lock().push(change.clone())));

    let keep: fn() -> UserEdit = || Box::new(|_| Edited::Keep);
    let upserts = [
        (plain_user(&app, "a"), rename("never")),
        (plain_user(&app, "kept"), keep()),
        (plain_user(&app_id("nowhere"), "a"), keep()),
        (plain_user(&app, "b"), keep()),
        (plain_user(&app, "c"), keep()),
        (plain_user(&app, "a"), rename("twice")),
    ];
    let upserts = upserts.map(|(new, edit)| Upsert { new, edit });
    let outcomes = store.upsert_users(upserts.into()).await.unwrap();
    let expected = "[Ok(Created), Ok(Kept), Err(UnknownApp), Ok(Created), Err(UserLimit), Ok(Saved)]";
    assert_eq!(format!("{outcomes:?}"), expected);
    assert_eq!(*heard.lock(), [Change { app: app.clone(), user: Some(user_id("a")) }]);
    let named = |id| async move { store.user(&app_id("demo"), &user_id(id)).await.unwrap() };
    assert_eq!(named("a").await.unwrap().profile.display_name, "twice");
    assert_eq!((named("b").await.is_some(), named("c").await), (true, None));
    assert_eq!(store.user_count(&app).await.unwrap(), 3);
    assert!(store.upsert_users(Vec::new()).await.unwrap().is_empty());
}

async fn every_saved_edit_is_a_new_revision(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let alice = user_id("alice");
    let rev = async || store.user(&app, &alice).await.unwrap().unwrap().rev;
    let new = || User { rev: 7, ..plain_user(&app, "alice") };
    let created = store.create_user(new()).await.unwrap();
    assert_eq!((created.user().rev, rev().await), (1, 1), "whatever the caller sets");
    let edit = |edited| -> UserEdit {
        Box::new(move |user| {
            user.rev = 0;
            edited
        })
    };
    for (edited, expected) in [(Edited::Save, 2), (Edited::Keep, 2), (Edited::Save, 3)] {
        let user = store.edit_user(&app, &alice, edit(edited)).await.unwrap().unwrap();
        assert_eq!((user.rev, rev().await), (expected, expected), "{edited:?}");
    }
    store.record_last_seen(&[(app.clone(), alice.clone(), 5)]).await.unwrap();
    assert_eq!(rev().await, 3, "a time at which a user was seen is not an edit");
    for expected in [4, 5] {
        let upsert = Upsert { new: new(), edit: edit(Edited::Save) };
        store.upsert_users(vec![upsert]).await.unwrap();
        assert_eq!(rev().await, expected, "an edit among others");
    }
    store.delete_user(&app, &alice).await.unwrap();
    store.upsert_users(vec![Upsert { new: new(), edit: edit(Edited::Save) }]).await.unwrap();
    assert_eq!(rev().await, 1, "a user that is created again begins again");
}

async fn nul_is_refused_in_every_text(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    store.create_user(plain_user(&app, "present")).await.unwrap();
    let json = |text| serde_json::from_str(text).unwrap();
    let texts: [(&str, Profile); 11] = [
        ("display_name", Profile { display_name: "a\0b".into(), ..Profile::default() }),
        ("first_name", Profile { first_name: "\0".into(), ..Profile::default() }),
        ("last_name", Profile { last_name: "a\0".into(), ..Profile::default() }),
        ("email", Profile { email: "\0a".into(), ..Profile::default() }),
        ("phone_number", Profile { phone_number: "\0".into(), ..Profile::default() }),
        ("profile_url", Profile { profile_url: "\0".into(), ..Profile::default() }),
        ("avatar_url", Profile { avatar_url: "\0".into(), ..Profile::default() }),
        ("data", Profile { data: "\0".into(), ..Profile::default() }),
        ("metadata", Profile { metadata: json(r#"{"a\u0000": 1}"#), ..Profile::default() }),
        ("metadata", Profile { metadata: json(r#"{"a": [1, {"b": "\u0000"}]}"#), ..Profile::default() }),
        ("metadata", Profile { metadata: json(r#"{"a": {"\u0000": null}}"#), ..Profile::default() }),
    ];
    for (field, profile) in texts {
        let is_refused = |error: &StoreError| matches!(error, StoreError::Nul { field: f } if *f == field);
        let edit = |profile: Profile| -> UserEdit {
            Box::new(move |user| {
                user.profile = profile;
                Edited::Save
            })
        };
        let new = |id| User { profile: profile.clone(), ..plain_user(&app, id) };
        let created = store.create_user(new("new")).await.unwrap_err();
        assert!(is_refused(&created), "{field}: {created:?}");
        let edited = store.edit_user(&app, &user_id("present"), edit(profile.clone())).await.unwrap_err();
        assert!(is_refused(&edited), "{field}: {edited:?}");
        let upserts = [
            Upsert { new: new("new"), edit: edit(Profile::default()) },
            Upsert { new: plain_user(&app, "present"), edit: edit(profile.clone()) },
            Upsert { new: plain_user(&app, "present"), edit: Box::new(|_| Edited::Keep) },
        ];
        let upserted = store.upsert_users(upserts.into()).await.unwrap();
        let [Err(new), Err(edited), Ok(Upserted::Kept)] = &upserted[..] else { panic!("{upserted:?}") };
        assert!(is_refused(new) && is_refused(edited), "{field}: {upserted:?}");
    }
    let users = store.users(&app, None, 10).await.unwrap();
    assert_eq!(users.iter().map(|user| User::clone(user)).collect::<Vec<_>>(), [plain_user(&app, "present")]);
}

async fn users_are_deleted(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let alice = user_id("alice");
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    assert!(!store.delete_user(&app_id("nowhere"), &alice).await.unwrap());
    assert!(store.delete_user(&app, &alice).await.unwrap());
    assert!(!store.delete_user(&app, &alice).await.unwrap());
    assert_eq!(store.user(&app, &alice).await.unwrap(), None);
    assert_eq!(store.user_count(&app).await.unwrap(), 0);

    let again = User { stamp: [9; 16], ..plain_user(&app, "alice") };
    assert_eq!(store.create_user(again.clone()).await.unwrap(), Created::New(Arc::new(again.clone())));
    assert_eq!(store.user(&app, &alice).await.unwrap().as_deref(), Some(&again));
}

async fn users_are_listed_in_the_order_of_their_ids(store: &dyn Store) {
    let (app, other) = (open_app(store, "demo").await, open_app(store, "other").await);
    for id in ["b", "a", "Z", "é", "a0", "c"] {
        store.create_user(plain_user(&app, id)).await.unwrap();
    }
    store.create_user(plain_user(&other, "aa")).await.unwrap();
    for (after, limit, expected) in [
        (None, 100, &["Z", "a", "a0", "b", "c", "é"][..]),
        (None, 2, &["Z", "a"]),
        (Some("a"), 2, &["a0", "b"]),
        (Some("a1"), usize::MAX, &["b", "c", "é"]),
        (Some("é"), 5, &[]),
        (None, 0, &[]),
    ] {
        let after = after.map(user_id);
        let users = store.users(&app, after.as_ref(), limit).await.unwrap();
        let ids: Vec<&str> = users.iter().map(|user| user.id.as_str()).collect();
        assert_eq!(ids, expected, "after {after:?}");
    }
    assert_eq!(store.users(&app_id("nowhere"), None, 5).await.unwrap(), []);
}

async fn users_are_found_by_the_beginning_of_their_names(store: &dyn Store) {
    let (app, other) = (open_app(store, "demo").await, open_app(store, "other").await);
    for (id, name) in [
        ("1", "Ann"),
        ("2", "ann"),
        ("3", "ANNE"),
        ("4", ""),
        ("5", "Änne"),
        ("6", "an"),
        ("7", "[ann]"),
        ("8", "Bo%"),
        ("9", "a\u{10FFFF}"),
        ("A", "Ann"),
    ] {
        store.create_user(named_user(&app, id, name)).await.unwrap();
    }
    store.create_user(named_user(&other, "1", "Ann")).await.unwrap();
    for (prefix, after, limit, expected) in [
        ("ann", None, 10, &["1", "2", "A", "3"][..]),
        ("aNN", None, 2, &["1", "2"]),
        ("ann", Some(("ANN", "2")), 10, &["A", "3"]),
        ("ann", Some(("ann", "5")), 1, &["A"]),
        ("ann", Some(("anne", "3")), 10, &[]),
        ("a", None, usize::MAX, &["6", "1", "2", "A", "3", "9"]),
        ("ä", None, 10, &[]),
        ("Ä", None, 10, &["5"]),
        ("[", None, 10, &["7"]),
        ("BO%", None, 10, &["8"]),
        ("%", None, 10, &[]),
        ("a\u{10FFFF}", None, 10, &["9"]),
        ("ann\0", None, 10, &[]),
        ("ann", None, 0, &[]),
    ] {
        assert_eq!(find(store, &app, prefix, after, limit).await, expected, "{prefix:?} after {after:?}");
    }
    let all = find(store, &app, "", None, 100).await;
    assert_eq!(all, ["7", "6", "1", "2", "A", "3", "9", "8", "5"], "without users that have no name");
    assert_eq!(store.users_by_name(&app_id("nowhere"), "a", None, 5).await.unwrap(), []);
}

async fn users_are_found_by_their_current_names(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    for (id, name) in [("1", "Ann"), ("2", "ann"), ("3", "ANNE"), ("4", ""), ("5", "Ann")] {
        store.create_user(named_user(&app, id, name)).await.unwrap();
    }
    assert_eq!(find(store, &app, "ann", None, 10).await, ["1", "2", "5", "3"]);
    store.edit_user(&app, &user_id("2"), rename("Zoe")).await.unwrap();
    store.edit_user(&app, &user_id("4"), rename("anna")).await.unwrap();
    store.delete_user(&app, &user_id("5")).await.unwrap();
    assert_eq!(find(store, &app, "ann", None, 10).await, ["1", "4", "3"]);
}

fn named_user(app: &AppId, id: &str, name: &str) -> User {
    let profile = Profile { display_name: name.into(), ..Profile::default() };
    User { profile, ..plain_user(app, id) }
}

/// Returns the ids of the users that a search by name finds.
async fn find(
    store: &dyn Store,
    app: &AppId,
    prefix: &str,
    after: Option<(&str, &str)>,
    limit: usize,
) -> Vec<String> {
    let after = after.map(|(name, id)| (name, user_id(id)));
    let after = after.as_ref().map(|(name, id)| (*name, id));
    let users = store.users_by_name(app, prefix, after, limit).await.unwrap();
    users.iter().map(|user| user.id.to_string()).collect()
}

async fn active_users_are_counted(store: &dyn Store) {
    let (app, other) = (open_app(store, "demo").await, open_app(store, "other").await);
    for id in ["alice", "bob", "carol"] {
        store.create_user(plain_user(&app, id)).await.unwrap();
    }
    store.create_user(User { is_suspended: true, ..plain_user(&app, "dave") }).await.unwrap();
    store.create_user(User { is_suspended: true, ..plain_user(&other, "eve") }).await.unwrap();
    let suspend = async |id, suspended| {
        let edit = move |user: &mut User| {
            user.is_suspended = suspended;
            Edited::Save
        };
        store.edit_user(&app, &user_id(id), Box::new(edit)).await.unwrap();
    };
    assert_eq!(store.active_user_count(&app).await.unwrap(), 3);
    suspend("alice", true).await;
    assert_eq!(store.active_user_count(&app).await.unwrap(), 2);
    suspend("dave", false).await;
    assert_eq!(store.active_user_count(&app).await.unwrap(), 3);
    store.delete_user(&app, &user_id("alice")).await.unwrap();
    assert_eq!(store.active_user_count(&app).await.unwrap(), 3);
    store.delete_user(&app, &user_id("bob")).await.unwrap();
    assert_eq!(store.active_user_count(&app).await.unwrap(), 2);
    assert_eq!(store.active_user_count(&other).await.unwrap(), 0);
    assert_eq!(store.active_user_count(&app_id("nowhere")).await.unwrap(), 0);
}

async fn one_of_a_hundred_creations_creates_the_user(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let attempts = (0..100).map(|n| store.create_user(User { stamp: [n; 16], ..plain_user(&app, "alice") }));
    let created: Vec<Created> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(created.iter().filter(|created| matches!(created, Created::New(_))).count(), 1);
    let user = store.user(&app, &user_id("alice")).await.unwrap().unwrap();
    assert!(created.iter().all(|created| *created.user() == user), "all calls return the same user");
    assert_eq!(store.user_count(&app).await.unwrap(), 1);
}

async fn an_app_has_a_limit_of_users(store: &dyn Store) {
    let (app, other) = (open_app(store, "demo").await, open_app(store, "other").await);
    let limit = async |max_users| {
        let edit = store.edit_app(
            &app,
            Box::new(move |app| {
                app.max_users = max_users;
                Edited::Save
            }),
        );
        edit.await.unwrap();
    };
    let full = |created: Result<Created, StoreError>| matches!(created, Err(StoreError::UserLimit));
    limit(10).await;
    let ids: Vec<String> = (0..30).map(|n| format!("user {n}")).collect();
    let created = join_all(ids.iter().map(|id| store.create_user(plain_user(&app, id)))).await;
    assert_eq!(created.iter().filter(|created| created.is_ok()).count(), 10);
    assert_eq!(created.into_iter().filter(|created| full(created.clone())).count(), 20);
    assert_eq!(store.user_count(&app).await.unwrap(), 10);
    assert_eq!(store.users(&app, None, 100).await.unwrap().len(), 10, "refused users leave no row");

    let present = store.users(&app, None, 1).await.unwrap().remove(0);
    let again = store.create_user(plain_user(&app, present.id.as_str())).await.unwrap();
    assert_eq!(again, Created::Existing(present.clone()), "an existing user is returned by a full app too");
    assert!(store.create_user(plain_user(&other, "new")).await.is_ok(), "another app has a limit of its own");

    store.delete_user(&app, &present.id).await.unwrap();
    assert!(store.create_user(plain_user(&app, "new")).await.is_ok(), "a deletion makes a creation possible");
    assert!(full(store.create_user(plain_user(&app, "newer")).await));
    limit(11).await;
    assert!(store.create_user(plain_user(&app, "newer")).await.is_ok());
    limit(0).await;
    assert!(full(store.create_user(plain_user(&app, "newest")).await));
    assert_eq!(store.user_count(&app).await.unwrap(), 11, "a lower limit removes nobody");
    assert_eq!(store.user_count(&app_id("nowhere")).await.unwrap(), 0);
}

async fn last_seen_only_rises(store: &dyn Store) {
    let app = open_app(store, "demo").await;
    let (alice, bob) = (user_id("alice"), user_id("bob"));
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    store.create_user(plain_user(&app, "bob")).await.unwrap();
    let last_seen = async |id| store.user(&app, id).await.unwrap().unwrap().last_seen;
    for (seen, expected) in [
        (&[(&alice, 5), (&bob, 7)][..], (5, 7)),
        (&[(&alice, 4), (&bob, 8)], (5, 8)),
        (&[(&alice, 9), (&alice, 6)], (9, 8)),
        (&[], (9, 8)),
    ] {
        let seen: Vec<_> = seen.iter().map(|&(id, at)| (app.clone(), id.clone(), at)).collect();
        store.record_last_seen(&seen).await.unwrap();
        assert_eq!((last_seen(&alice).await, last_seen(&bob).await), expected, "{seen:?}");
    }
    let strangers = [(app_id("nowhere"), alice.clone(), 99), (app.clone(), user_id("nobody"), 99)];
    store.record_last_seen(&strangers).await.unwrap();
    assert_eq!(store.user_count(&app).await.unwrap(), 2);

    store.edit_user(&app, &alice, rename("Alice")).await.unwrap();
    assert_eq!(last_seen(&alice).await, 9, "an edit begins from the raised time");
    let many: Vec<_> = (0..2000).map(|n| (app.clone(), alice.clone(), n)).collect();
    store.record_last_seen(&many).await.unwrap();
    assert_eq!(last_seen(&alice).await, 1999);
}
