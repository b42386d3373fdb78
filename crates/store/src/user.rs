//! Users of an app, and what is known of their tokens.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, Profile, UserId};

use crate::{Edited, StoreError};

/// Changes a user; runs at most once, on a thread of the store's choosing, and must neither wait nor panic.
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
    /// Whether the user must present an access token even in an open app.
    pub check_access_token: bool,
    /// Whether the user was created by connecting, and no backend has claimed it since.
    pub auto_created: bool,
    /// Random bits that derived tokens are bound to.
    pub stamp: [u8; 16],
    /// What kind of access token is valid.
    pub token: TokenRecord,
    /// What was valid before the last rotation, while it still is. Boxed: few users have one.
    pub previous: Option<Box<Previous>>,
    /// The revision: 1 when the user is created, one more with every saved edit. Set by the store, whatever a caller sets.
    ///
    /// [`record_last_seen`](UserStore::record_last_seen) does not change it.
    pub rev: u64,
}

/// What the store knows of a user's access token; never the token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TokenRecord {
    /// The user has no token.
    None,
    /// A token derived from the master keys and the user's stamp.
    Derived {
        /// When it ends, in Unix seconds; never if absent.
        expires_at: Option<u64>,
    },
    /// A token of the caller's choice.
    Custom {
        /// Its keyed digest.
        digest: [u8; 32],
    },
}

/// What was valid before a rotation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// The stamp of that time.
    pub stamp: [u8; 16],
    /// The token of that time.
    pub token: TokenRecord,
    /// Until when it stays valid, in Unix seconds.
    pub grace_until: u64,
}

/// The outcome of creating a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The user was created, and is durable.
    New(Arc<User>),
    /// A user of that id existed already; this is its record.
    Existing(Arc<User>),
}

/// A user to create, or to edit if it exists.
pub struct Upsert {
    /// The user to create.
    pub new: User,
    /// Edits the existing user.
    pub edit: UserEdit,
}

/// The outcome of an [`Upsert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upserted {
    /// The user was created.
    Created,
    /// The user existed, was edited and saved.
    Saved,
    /// The user existed, and stays as it was.
    Kept,
}

/// Keeps users. Duties, errors and cancel safety: see [`Store`](crate::Store).
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Finds a user.
    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError>;

    /// Creates a user unless the id is taken: of any number of simultaneous calls, one creates.
    ///
    /// # Errors
    /// [`StoreError::UserLimit`] if the user is new and its app full, [`StoreError::UnknownApp`] if the app is missing.
    async fn create_user(&self, user: User) -> Result<Created, StoreError>;

    /// Changes a user in one step and returns its new state; `None` if the user is missing.
    ///
    /// The app, the id and the time of creation stay, and the revision grows by one, whatever the edit does to them.
    async fn edit_user(
        &self,
        app: &AppId,
        id: &UserId,
        edit: UserEdit,
    ) -> Result<Option<Arc<User>>, StoreError>;

    /// Creates or edits many users, in order, and returns the outcome of each, in the same order.
    ///
    /// Cheaper than one call each where a store can share the work, such as in one transaction: a caller beside others
    /// passes some hundreds at a time. After [`StoreError::Unavailable`] for all of them some may have been written.
    ///
    /// # Errors
    /// Of one of them, those of [`create_user`](Self::create_user); the others are written all the same.
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

    /// Deletes a user with every block by and of the user; returns `false` if the user is missing.
    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError>;

    /// Lists up to `limit` users of an app in the byte order of their ids, beginning after `after`.
    async fn users<'a>(
        &self,
        app: &AppId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;

    /// Lists up to `limit` users of an app whose display name begins with `prefix`, in the byte order of their names and, of
    /// one name, of their ids, beginning after `after`. Users without a name are never listed.
    ///
    /// A to Z count as a to z, in the prefix and in the order of names; nothing else is folded.
    async fn users_by_name<'a>(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<(&'a str, &'a UserId)>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;

    /// Counts the users of an app, in constant time.
    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError>;

    /// Counts the users of an app who are not suspended; the work grows with the suspended ones.
    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError>;

    /// Raises when users were last seen, in Unix seconds; never lowers it, skips users that are missing.
    ///
    /// Not a change: no listener hears of it, and another process may go on seeing an older time. After
    /// [`StoreError::Unavailable`] some may have been raised; repeating the call is harmless.
    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError>;
}

/// Creates or edits a user by the methods for one.
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
        None => Err(StoreError::unavailable("the user was deleted in between")),
    }
}

impl User {
    /// Creates a record without profile, token or lock, never seen.
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
    /// Returns the user, whether new or existing.
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
