//! Settings.

use futures_util::future::join_all;

use crate::{Store, StoreError};

/// Tests the settings of a store; `make` creates an empty one.
pub(super) async fn suite<S: Store>(make: &impl AsyncFn() -> S) {
    the_first_value_of_a_setting_stays(&make().await).await;
}

async fn the_first_value_of_a_setting_stays(store: &dyn Store) {
    assert_eq!(store.setting("check").await.unwrap(), None);
    let values: Vec<[u8; 2]> = (0..20).map(|n| [n, 0]).collect();
    let stored = join_all(values.iter().map(|value| store.setting_or_insert("check", value))).await;
    let first = stored[0].clone().unwrap();
    assert!(values.iter().any(|value| first == value));
    assert!(stored.into_iter().all(|value| value.unwrap() == first));
    assert_eq!(store.setting("check").await.unwrap(), Some(first));
    assert_eq!(store.setting_or_insert("empty", b"").await.unwrap(), b"");
    assert_eq!(store.setting("empty").await.unwrap(), Some(Vec::new()));
    assert_eq!(store.setting("other").await.unwrap(), None);
    let refused = store.setting_or_insert("a\0b", b"").await;
    assert!(matches!(refused, Err(StoreError::Nul { field: "name" })), "{refused:?}");
    assert_eq!(store.setting("a\0b").await.unwrap(), None);
    for _ in 0..2 {
        store.probe().await.unwrap();
    }
}
