//! Apps.

use chatcamp_protocol::OriginPolicy;

use super::{app_id, open_app};
use crate::{App, AuthPolicy, Edited, SessionPolicy, Store, StoreError};

/// Tests the apps of a store; `make` creates an empty one.
pub(super) async fn suite<S: Store>(make: &impl AsyncFn() -> S) {
    apps_are_found_by_their_ids(&make().await).await;
    apps_are_found_by_their_rounded_ids(&make().await).await;
    apps_are_edited(&make().await).await;
    every_saved_edit_is_a_new_revision(&make().await).await;
    a_name_with_nul_is_refused(&make().await).await;
}

async fn a_name_with_nul_is_refused(store: &dyn Store) {
    let id = open_app(store, "demo").await;
    let other = App::new(app_id("other"), "a\0b", AuthPolicy::Open, 1);
    let refused = store.create_app(other).await;
    assert!(matches!(refused, Err(StoreError::Nul { field: "name" })), "{refused:?}");
    let edit = |app: &mut App| {
        app.name = "a\0b".into();
        Edited::Save
    };
    let refused = store.edit_app(&id, Box::new(edit)).await;
    assert!(matches!(refused, Err(StoreError::Nul { field: "name" })), "{refused:?}");
    let apps = store.apps().await.unwrap();
    assert_eq!(apps.iter().map(|app| (&app.id, app.rev)).collect::<Vec<_>>(), [(&id, 1)]);
}

async fn every_saved_edit_is_a_new_revision(store: &dyn Store) {
    let id = app_id("demo");
    let app = App { rev: 7, ..App::new(id.clone(), "Demo", AuthPolicy::Open, 1) };
    assert!(store.create_app(app).await.unwrap());
    let rev = async || store.app(&id).await.unwrap().unwrap().rev;
    assert_eq!(rev().await, 1, "whatever the caller sets");
    for (edited, expected) in [(Edited::Save, 2), (Edited::Keep, 2), (Edited::Save, 3)] {
        let edit = move |app: &mut App| {
            app.rev = 0;
            edited
        };
        let app = store.edit_app(&id, Box::new(edit)).await.unwrap().unwrap();
        assert_eq!((app.rev, rev().await), (expected, expected), "{edited:?}");
    }
    open_app(store, "other").await;
    assert_eq!(rev().await, 3, "creating another app is not an edit");
}

async fn apps_are_found_by_their_ids(store: &dyn Store) {
    assert_eq!(store.app(&app_id("first")).await.unwrap(), None);
    assert_eq!(store.apps().await.unwrap(), []);

    let first = App {
        id: app_id("first"),
        name: "Größe".into(),
        auth: AuthPolicy::Token,
        directory: false,
        max_users: u64::MAX,
        sessions: SessionPolicy::EvictOldest(1),
        origins: origins(&["https://shop.example", "https://*.shop.example:8443", "null"], true),
        created_at: 1_800_000_000,
        rev: 1,
    };
    let second = App::new(app_id("a-second"), "", AuthPolicy::Open, 2);
    for app in [&first, &second] {
        assert!(store.create_app(app.clone()).await.unwrap());
        assert_eq!(store.app(&app.id).await.unwrap().as_deref(), Some(app));
    }
    let again = App::new(first.id.clone(), "other", AuthPolicy::Open, 3);
    assert!(!store.create_app(again).await.unwrap(), "the id is taken");
    assert_eq!(store.app(&first.id).await.unwrap().as_deref(), Some(&first), "and stays the first one's");
    assert_eq!(store.app(&app_id("First")).await.unwrap(), None, "ids are exact");
    let listed: Vec<App> = store.apps().await.unwrap().iter().map(|app| App::clone(app)).collect();
    assert_eq!(listed, [first, second], "oldest first");
}

async fn apps_are_found_by_their_rounded_ids(store: &dyn Store) {
    let rounded = app_id("6399747348821438000");
    let oldest = open_app(store, "6399747348821438464").await;
    assert_eq!(store.app(&rounded).await.unwrap().unwrap().id, oldest);
    open_app(store, "6399747348821438465").await;
    assert_eq!(store.app(&rounded).await.unwrap().unwrap().id, oldest, "of two the oldest");

    store
        .edit_app(
            &oldest,
            Box::new(|app| {
                app.auth = AuthPolicy::Token;
                Edited::Save
            }),
        )
        .await
        .unwrap();
    let found = store.app(&rounded).await.unwrap().unwrap();
    assert_eq!(found.auth, AuthPolicy::Token, "an edit is seen by either id");

    open_app(store, rounded.as_str()).await;
    assert_eq!(store.app(&rounded).await.unwrap().unwrap().id, rounded, "the exact id wins");
    assert_eq!(store.app(&oldest).await.unwrap().unwrap().id, oldest);
}

async fn apps_are_edited(store: &dyn Store) {
    let id = open_app(store, "demo").await;
    let edited = store
        .edit_app(
            &id,
            Box::new(|app| {
                app.name = "New".into();
                app.auth = AuthPolicy::Token;
                app.directory = false;
                app.max_users = 5;
                app.sessions = SessionPolicy::RejectNew(2);
                app.origins = origins(&["http://[::1]:3000"], false);
                app.id = app_id("other");
                app.created_at = 99;
                app.rev = 99;
                Edited::Save
            }),
        )
        .await
        .unwrap()
        .unwrap();
    let sessions = SessionPolicy::RejectNew(2);
    let new = App::new(id.clone(), "New", AuthPolicy::Token, 1);
    let origins = origins(&["http://[::1]:3000"], false);
    let expected = App { directory: false, max_users: 5, sessions, origins, rev: 2, ..new };
    assert_eq!(*edited, expected, "the id and the time of creation stay");
    assert_eq!(store.app(&id).await.unwrap().as_deref(), Some(&expected));

    let kept = store
        .edit_app(
            &id,
            Box::new(|app| {
                app.name = "dropped".into();
                Edited::Keep
            }),
        )
        .await
        .unwrap();
    assert_eq!(kept.as_deref(), Some(&expected));
    assert_eq!(store.app(&id).await.unwrap().as_deref(), Some(&expected));
    assert_eq!(store.edit_app(&app_id("nobody"), Box::new(|_| Edited::Save)).await.unwrap(), None);
}

fn origins(patterns: &[&str], is_required: bool) -> OriginPolicy {
    OriginPolicy::new(patterns.iter().map(|text| text.parse().unwrap()), is_required).unwrap()
}
