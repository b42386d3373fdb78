//! API keys.

use chatcamp_protocol::AppId;

use super::{app_id, open_app};
use crate::{ApiKey, Store, StoreError};

/// Tests the API keys of a store; `make` creates an empty one.
pub(super) async fn suite<S: Store>(make: &impl AsyncFn() -> S) {
    api_keys_are_created_found_and_revoked(&make().await).await;
}

async fn api_keys_are_created_found_and_revoked(store: &dyn Store) {
    let (one, two) = (open_app(store, "one").await, open_app(store, "two").await);
    let key = |app: &AppId, id: &str, digest: u8| ApiKey {
        id: id.into(),
        app: app.clone(),
        name: "backend".into(),
        digest: [digest; 32],
        created_at: 1_800_000_000,
    };
    for (new, is_created) in [
        (key(&one, "b", 1), true),
        (key(&one, "a", 2), true),
        (key(&one, "a", 3), false),
        (key(&two, "c", 1), false),
        (key(&two, "a", 4), true),
    ] {
        assert_eq!(store.create_api_key(new.clone()).await.unwrap(), is_created, "{new:?}");
    }
    for (id, name, field) in [("a\0", "n", "id"), ("a", "\0", "name")] {
        let new = ApiKey { id: id.into(), name: name.into(), ..key(&one, "", 5) };
        let refused = store.create_api_key(new).await;
        assert!(matches!(refused, Err(StoreError::Nul { field: f }) if f == field), "{refused:?}");
    }
    let nowhere = store.create_api_key(key(&app_id("nowhere"), "k", 9)).await;
    assert!(matches!(nowhere, Err(StoreError::UnknownApp)), "{nowhere:?}");

    assert_eq!(store.api_keys(&one).await.unwrap(), [key(&one, "b", 1), key(&one, "a", 2)], "oldest first");
    assert_eq!(store.api_keys(&app_id("nowhere")).await.unwrap(), []);
    assert_eq!(store.api_key_by_digest(&[4; 32]).await.unwrap(), Some(key(&two, "a", 4)));
    assert_eq!(store.api_key_by_digest(&[3; 32]).await.unwrap(), None);

    assert!(store.revoke_api_key(&one, "a").await.unwrap());
    assert!(!store.revoke_api_key(&one, "a").await.unwrap());
    assert!(!store.revoke_api_key(&app_id("nowhere"), "a").await.unwrap());
    assert_eq!(store.api_key_by_digest(&[2; 32]).await.unwrap(), None);
    assert_eq!(store.api_keys(&two).await.unwrap(), [key(&two, "a", 4)], "the key of another app stays");
}
