//! Changes and their listeners.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{open_app, plain_user, rename, user_id};
use crate::{Change, Edited, Store};

/// Tests the announcements of changes of a store; `make` creates an empty one.
pub(super) async fn suite<S: Store>(make: &impl AsyncFn() -> S) {
    listeners_are_called_after_edits_and_deletions(&make().await).await;
}

async fn listeners_are_called_after_edits_and_deletions(store: &dyn Store) {
    let heard: [Arc<Mutex<Vec<Change>>>; 2] = Default::default();
    for list in &heard {
        let list = list.clone();
        store.on_change(Box::new(move |change| list.lock().push(change.clone())));
    }
    let expect = |what: &str, expected: &[Change]| {
        for list in &heard {
            assert_eq!(std::mem::take(&mut *list.lock()), expected, "{what}");
        }
    };
    let app = open_app(store, "demo").await;
    let alice = user_id("alice");
    let user = [Change { app: app.clone(), user: Some(alice.clone()) }];

    store.create_user(plain_user(&app, "alice")).await.unwrap();
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    store.record_last_seen(&[(app.clone(), alice.clone(), 5)]).await.unwrap();
    store.edit_user(&app, &alice, Box::new(|_| Edited::Keep)).await.unwrap();
    store.edit_user(&app, &user_id("nobody"), rename("n")).await.unwrap();
    store.edit_app(&app, Box::new(|_| Edited::Keep)).await.unwrap();
    store.delete_user(&app, &user_id("nobody")).await.unwrap();
    store.create_user(plain_user(&app, "bob")).await.unwrap();
    store.block(&app, &alice, &user_id("bob")).await.unwrap();
    store.unblock(&app, &alice, &user_id("bob")).await.unwrap();
    store.setting_or_insert("name", b"value").await.unwrap();
    expect("what changes nothing", &[]);

    store.edit_user(&app, &alice, rename("Alice")).await.unwrap();
    expect("an edit", &user);
    store.edit_app(&app, Box::new(|_| Edited::Save)).await.unwrap();
    expect("an app", &[Change { app: app.clone(), user: None }]);
    store.delete_user(&app, &alice).await.unwrap();
    expect("a deletion", &user);
}
