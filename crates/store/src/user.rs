//! Users of an app, and the records of their tokens.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, Profile, UserId};

use crate::{Edited, StoreError, UserQuery};

/// Edits a user. Runs at most once, on any thread; must not wait or panic.
pub type UserEdit = Box<dyn FnOnce(&mut User) -> Edited + Send>;

/// One user of an app.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The app the user belongs to.
    pub app: AppId,
    /// The id, byte for byte as given.
    pub id: UserId,
    /// The user's profile.
    pub profile: Profile,
    /// When the user was created, in Unix seconds.
    pub created_at: u64,
    /// When the user was last connected, in Unix seconds; 0 if never.
    pub last_seen: u64,
    /// Whether the backend has suspended the user.
    pub is_suspended: bool,
    /// Whether the user must present an access token in an open app too.
    pub check_access_token: bool,
    /// Whether the user was created by its first connect, and no backend has edited it since.
    pub auto_created: bool,
    /// Random bytes that derived tokens are bound to.
    pub stamp: [u8; 16],
    /// The access token that is valid.
    pub token: TokenRecord,
    /// The token before the last rotation, during its grace period. Boxed, because few users have one.
    pub previous: Option<Box<Previous>>,
    /// The revision: 1 when the user is created, and one more after every saved edit. The store sets it and ignores the caller's value.
    ///
    /// [`record_last_seen`](UserStore::record_last_seen) does not change it.
    pub rev: u64,
}

/// The record of a user's access token, which does not contain the token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TokenRecord {
    /// The user has no token.
    None,
    /// A token derived from the master keys and the user's stamp.
    Derived {
        /// When it expires, in Unix seconds; `None` if it does not.
        expires_at: Option<u64>,
    },
    /// A token that a backend chose.
    Custom {
        /// The keyed digest of the token.
        digest: [u8; 32],
    },
}

/// The stamp and token before a rotation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// The previous stamp.
    pub stamp: [u8; 16],
    /// The previous token.
    pub token: TokenRecord,
    /// When they become invalid, in Unix seconds.
    pub grace_until: u64,
}

/// The result of creating a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The user was created and is durable.
    New(Arc<User>),
    /// The user existed already; this is its record.
    Existing(Arc<User>),
}

/// A user to create, or to edit if it exists already.
pub struct Upsert {
    /// The user to create.
    pub new: User,
    /// The edit of the existing user.
    pub edit: UserEdit,
}

/// The result of an [`Upsert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upserted {
    /// The user was created.
    Created,
    /// The user existed and was edited.
    Saved,
    /// The user existed and is unchanged.
    Kept,
}

/// A page of the users that a [`UserQuery`] selects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundUsers {
    /// The users of the page, in the byte order of their ids.
    pub users: Vec<Arc<User>>,
    /// The number of users that the query selects.
    pub total: u64,
}

/// Stores users. Implementers: see the duties of [`Store`](crate::Store).
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Returns a user; `None` if it is missing.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError>;

    /// Creates a user unless the id is taken. Of simultaneous calls, exactly one creates the user.
    ///
    /// # Errors
    /// [`StoreError::UserLimit`] if the user is new and the app has reached its limit, [`StoreError::UnknownApp`] if the app is
    /// missing, and those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn create_user(&self, user: User) -> Result<Created, StoreError>;

    /// Edits a user in one step and returns its new state; `None` if the user is missing.
    ///
    /// The edit cannot change the app, the id or the time of creation. The revision grows by one if the edit is saved.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn edit_user(
        &self,
        app: &AppId,
        id: &UserId,
        edit: UserEdit,
    ) -> Result<Option<Arc<User>>, StoreError>;

    /// Creates or edits many users, in order, and returns the result of each, in the same order.
    ///
    /// A store may share work between them, such as one transaction. Other writes wait for it, so pass at most a few hundred at a
    /// time.
    ///
    /// # Errors
    /// For a single user those of [`create_user`](Self::create_user); the others are written all the same. For all users
    /// [`StoreError::Unavailable`], after which some may have been written.
    ///
    /// # Cancel safety
    /// If dropped, any number of the users may have been written.
    async fn upsert_users(
        &self,
        upserts: Vec<Upsert>,
    ) -> Result<Vec<Result<Upserted, StoreError>>, StoreError> {
        let mut outcomes = Vec::with_capacity(upserts.len());
        for upsert in upserts {
            outcomes.push(upsert_one(self, upsert).await);
        }
        Ok(outcomes)
    }

    /// Deletes a user and all blocks by and of the user; returns `false` if the user is missing.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError>;

    /// Lists up to `limit` users of an app in the byte order of their ids, beginning after `after`.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn users<'a>(
        &self,
        app: &AppId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;

    /// Lists up to `limit` users of an app whose display name begins with `prefix`, beginning after `after`.
    ///
    /// The order is the byte order of the names, and of the ids of users with the same name. A to Z count as a to z, in the prefix and
    /// in the order; no other characters are folded. Users without a name are not listed.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn users_by_name<'a>(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<(&'a str, &'a UserId)>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;

    /// Counts the users of an app that `query` selects, and lists up to `limit` of them in the byte order of their ids, beginning after
    /// the first `skip`.
    ///
    /// Takes time that grows with the number of the app's users. It is for operators, not for clients.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn find_users(
        &self,
        app: &AppId,
        query: &UserQuery,
        skip: usize,
        limit: usize,
    ) -> Result<FoundUsers, StoreError>;

    /// Counts the users of an app, in constant time.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError>;

    /// Counts the users of an app that are not suspended, in time that grows with the number of suspended users.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError>;

    /// Raises the times at which users were last seen, in Unix seconds. Never lowers a time, and skips users that are missing.
    ///
    /// This is not a change: no listener is called, and another process may continue to see an older time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], after which some times may have been raised; the call may be repeated.
    ///
    /// # Cancel safety
    /// If dropped, any number of the times may have been raised; the call may be repeated.
    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError>;
}

/// Creates or edits a user with the methods for a single user.
async fn upsert_one<S: UserStore + ?Sized>(store: &S, upsert: Upsert) -> Result<Upserted, StoreError> {
    let (app, id) = (upsert.new.app.clone(), upsert.new.id.clone());
    if let Created::New(_) = store.create_user(upsert.new).await? {
        return Ok(Upserted::Created);
    }
    let saved = Arc::new(AtomicBool::new(false));
    let note = saved.clone();
    let edit = Box::new(move |user: &mut User| {
        let edited = (upsert.edit)(user);
        note.store(edited == Edited::Save, Ordering::Relaxed);
        edited
    });
    match store.edit_user(&app, &id, edit).await? {
        Some(_) if saved.load(Ordering::Relaxed) => Ok(Upserted::Saved),
        Some(_) => Ok(Upserted::Kept),
        None => Err(StoreError::unavailable("the user was deleted at the same time; try again")),
    }
}

impl User {
    /// Creates a record of a user without a profile or token, who was never seen.
    #[must_use]
    pub fn new(app: AppId, id: UserId, stamp: [u8; 16], created_at: u64) -> Self {
        Self {
            app,
            id,
            profile: Profile::default(),
            created_at,
            last_seen: 0,
            is_suspended: false,
            check_access_token: false,
            auto_created: false,
            stamp,
            token: TokenRecord::None,
            previous: None,
            rev: 1,
        }
    }
}

impl Created {
    /// Returns the new or existing user.
    #[must_use]
    pub fn user(&self) -> &Arc<User> {
        match self {
            Self::New(user) | Self::Existing(user) => user,
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("app", &self.app)
            .field("id", &self.id)
            .field("is_suspended", &self.is_suspended)
            .field("check_access_token", &self.check_access_token)
            .field("auto_created", &self.auto_created)
            .field("token", &self.token)
            .field("previous", &self.previous)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Derived { expires_at } => {
                f.debug_struct("Derived").field("expires_at", expires_at).finish()
            }
            Self::Custom { .. } => f.write_str("Custom"),
        }
    }
}

impl fmt::Debug for Previous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Previous")
            .field("token", &self.token)
            .field("grace_until", &self.grace_until)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Upsert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upsert").field("new", &self.new).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_neither_stamps_nor_digests_nor_profiles() {
        let app = AppId::new("demo").unwrap();
        let custom = TokenRecord::Custom { digest: [211; 32] };
        let mut user = User::new(app, UserId::new("alice").unwrap(), [212; 16], 1);
        user.profile.email = "alice@example.com".into();
        user.token = custom;
        user.previous = Some(Box::new(Previous { stamp: [213; 16], token: custom, grace_until: 9 }));

        let printed = format!("{user:?}");
        for hidden in ["211", "212", "213", "alice@example.com"] {
            assert!(!printed.contains(hidden), "{hidden} in {printed}");
        }
        assert!(printed.contains("alice"));
    }
}
