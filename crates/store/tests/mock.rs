//! The mock is a store.

use std::sync::Arc;

use chatcamp_store::{
    MockStore, Store,
    testing::{app_id, plain_user, user_id},
};

#[tokio::test]
async fn a_mock_returns_what_is_expected() {
    let (app, alice) = (app_id("demo"), user_id("alice"));
    let mut mock = MockStore::new();
    let user = Arc::new(plain_user(&app, "alice"));
    let told = user.clone();
    mock.expect_user()
        .withf(|_, id| id.as_str() == "alice")
        .times(1)
        .returning(move |_, _| Ok(Some(told.clone())));
    mock.expect_users().returning(|_, after, _| Ok(after.map(|_| Vec::new()).unwrap_or_default()));
    let store: &dyn Store = &mock;
    assert_eq!(store.user(&app, &alice).await.unwrap(), Some(user));
    assert_eq!(store.users(&app, Some(&alice), 1).await.unwrap(), []);
}
