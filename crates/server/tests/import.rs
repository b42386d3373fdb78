//! Importing many users: the rules are those for one user, and absent fields stay unchanged.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use chatcamp_protocol::{AccessToken, AppId, Profile, UserId, user::ProfileUpdate};
use chatcamp_server::{AccountError, Accounts, AuthPolicy, ImportedUser, Keyring, UserFields, Written};
use chatcamp_store::{Edited, StoreError, TokenRecord, User, memory, prelude::*};

struct World {
    accounts: Accounts,
    store: Arc<memory::Store>,
    app: AppId,
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(memory::Store::new());
        let accounts = Accounts::new(store.clone(), Keyring::new(vec![[7; 32]]).unwrap());
        let app = accounts.create_app("demo", AuthPolicy::Open, None).await.unwrap().id;
        Self { accounts, store, app }
    }

    async fn import(&self, users: Vec<ImportedUser>) -> Vec<Result<Written, AccountError>> {
        self.accounts.import_users(&self.app, users).await.unwrap()
    }

    async fn import_one(&self, user: ImportedUser) -> Result<Written, AccountError> {
        self.import(vec![user]).await.remove(0)
    }

    async fn user(&self, id: &str) -> Arc<User> {
        self.accounts.user(&self.app, &UserId::new(id).unwrap()).await.unwrap()
    }

    /// Creates a user by connecting with the id alone.
    async fn came_by(&self, id: &str) {
        let mut user = User::new(self.app.clone(), UserId::new(id).unwrap(), [3; 16], 1);
        user.auto_created = true;
        self.store.create_user(user).await.unwrap();
    }
}

fn line(id: &str, fields: UserFields) -> ImportedUser {
    ImportedUser { id: UserId::new(id).unwrap(), fields, auto_created: false }
}

fn token(text: &str) -> UserFields {
    UserFields { access_token: Some(AccessToken::from(text)), ..UserFields::default() }
}

fn named(name: &str) -> UserFields {
    let profile = ProfileUpdate { display_name: Some(name.into()), ..ProfileUpdate::default() };
    UserFields { profile, ..UserFields::default() }
}

#[tokio::test]
async fn a_new_user_is_like_one_of_the_platform_api() {
    let world = World::new().await;
    let unlocked = UserFields { check_access_token: Some(false), is_suspended: Some(true), ..named("C") };
    let outcomes = world
        .import(vec![
            line("a", named("A")),
            line("b", token("a token of my own")),
            line("c", unlocked),
            line("a", named("A2")),
            line("a", named("A2")),
        ])
        .await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        outcomes,
        [Written::Created, Written::Created, Written::Created, Written::Changed, Written::Unchanged]
    );
    let (a, b, c) = (world.user("a").await, world.user("b").await, world.user("c").await);
    assert_eq!((a.profile.display_name.as_str(), a.token), ("A2", TokenRecord::Derived { expires_at: None }));
    assert!(a.check_access_token && !a.auto_created && world.accounts.token_of(&a).is_some());
    assert!(b.check_access_token && matches!(b.token, TokenRecord::Custom { .. }));
    assert!(!c.check_access_token && c.is_suspended);
    assert_ne!(a.stamp, c.stamp);
}

#[tokio::test]
async fn a_second_import_changes_nothing() {
    let world = World::new().await;
    let users = || {
        vec![line("a", named("A")), line("b", token("a token of my own")), line("c", UserFields::default())]
    };
    world.import(users()).await;
    let before = [world.user("a").await, world.user("b").await, world.user("c").await];
    for outcome in world.import(users()).await {
        assert_eq!(outcome.unwrap(), Written::Unchanged);
    }
    assert_eq!(before, [world.user("a").await, world.user("b").await, world.user("c").await]);
}

#[tokio::test]
async fn an_auto_created_user_is_claimed_unless_the_line_says_auto_created() {
    let world = World::new().await;
    for id in ["claimed", "given", "still"] {
        world.came_by(id).await;
    }
    let came_by = |id| ImportedUser { auto_created: true, ..line(id, named("N")) };
    let outcomes = world
        .import(vec![
            line("claimed", UserFields::default()),
            ImportedUser { auto_created: true, ..line("given", token("a token of my own")) },
            came_by("still"),
            came_by("new"),
        ])
        .await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, [Written::Changed, Written::Changed, Written::Changed, Written::Created]);
    for (id, came_by) in [("claimed", false), ("given", false), ("still", true), ("new", true)] {
        let user = world.user(id).await;
        assert_eq!(
            (user.auto_created, user.token == TokenRecord::None, user.check_access_token),
            (came_by, came_by, !came_by),
            "{id}"
        );
    }
    assert_eq!(world.user("still").await.stamp, [3; 16], "its sessions continue");
    assert_ne!(world.user("claimed").await.stamp, [3; 16]);
}

#[tokio::test]
async fn an_invalid_line_gets_an_error_and_affects_no_other() {
    let world = World::new().await;
    let limited = |app: &mut chatcamp_store::App| {
        app.max_users = 2;
        Edited::Save
    };
    world.store.edit_app(&world.app, Box::new(limited)).await.unwrap();
    let outcomes = world
        .import(vec![
            line("a", named("A")),
            line("b", named(&"x".repeat(256))),
            line("c", token("short")),
            line("d", token("ct1_neither derived nor allowed")),
            line("e", named("E")),
            line("f", named("F")),
            line("e", named("E2")),
        ])
        .await;
    assert!(
        matches!(
            &outcomes[..],
            [
                Ok(Written::Created),
                Err(AccountError::OverLimit(_)),
                Err(AccountError::InvalidToken(_)),
                Err(AccountError::InvalidToken(_)),
                Ok(Written::Created),
                Err(AccountError::Store(StoreError::UserLimit)),
                Ok(Written::Changed),
            ]
        ),
        "{outcomes:?}"
    );
    assert_eq!(world.user("e").await.profile, Profile { display_name: "E2".into(), ..Profile::default() });
    let nowhere = world.accounts.import_users(&AppId::new("nowhere").unwrap(), Vec::new()).await;
    assert!(matches!(nowhere, Err(AccountError::NoApp(_))));
}

#[tokio::test]
async fn a_derived_token_is_accepted_only_for_its_own_user() {
    let world = World::new().await;
    world.import(vec![line("a", UserFields::default()), line("b", UserFields::default())]).await;
    let (a, app) = (world.user("a").await, world.app.clone());
    let of_a = world.accounts.token_of(&a).unwrap();
    let with =
        |token: &AccessToken| UserFields { access_token: Some(token.clone()), ..UserFields::default() };
    assert_eq!(world.import_one(line("a", with(&of_a))).await.unwrap(), Written::Unchanged);
    for id in ["b", "new"] {
        let refused = world.import_one(line(id, with(&of_a))).await.unwrap_err();
        assert!(matches!(refused, AccountError::ForeignToken), "{id}: {refused:?}");
    }
    let rotated = Accounts::new(world.store.clone(), Keyring::new(vec![[8; 32], [7; 32]]).unwrap());
    let outcome = rotated.import_users(&app, vec![line("a", with(&of_a))]).await.unwrap().remove(0);
    assert_eq!(outcome.unwrap(), Written::Unchanged, "the key that derived it still verifies");
    world.accounts.revoke_tokens(&app, &a.id).await.unwrap();
    assert!(world.import_one(line("a", with(&of_a))).await.is_err());
}
