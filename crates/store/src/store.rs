//! The seam: what a store does, and what it owes its callers.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};

use crate::{ApiKey, App, StoreError, User};

/// Changes an app; runs at most once, on a thread of the store's choosing, and must neither wait nor panic.
pub type AppEdit = Box<dyn FnOnce(&mut App) -> Edited + Send>;

/// Changes a user; runs at most once, on a thread of the store's choosing, and must neither wait nor panic.
pub type UserEdit = Box<dyn FnOnce(&mut User) -> Edited + Send>;

/// Hears of changes, on a thread of the store's choosing; must neither wait, panic nor own the store.
pub type ChangeListener = Box<dyn Fn(&Change) + Send + Sync>;

/// What becomes of an edited record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// It is saved, which is a change.
    Save,
    /// It stays as it was.
    Keep,
}

/// What came of creating a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The user was created, and is durable.
    New(Arc<User>),
    /// A user of that id was there already, as it is here.
    Existing(Arc<User>),
}

/// A user to create, and what to do to the one who is there already.
pub struct Upsert {
    /// The user, where there is none of that id.
    pub new: User,
    /// Edits the one there is.
    pub edit: UserEdit,
}

/// What came of an [`Upsert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upserted {
    /// The user was created.
    Created,
    /// It was there, was edited and saved.
    Saved,
    /// It was there, and stays as it was.
    Kept,
}

/// Something is no longer as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The app it belongs to.
    pub app: AppId,
    /// The user that was edited or deleted; none when the app was, or so much that any of its users may have been.
    pub user: Option<UserId>,
}

/// Keeps apps, users with whom they block, API keys and settings.
///
/// # Duties of an implementer
/// - What a write resolved to is durable before it resolves, and every later read sees it.
/// - After an edit or deletion by this process: drop what is cached of it, call the listeners, resolve the
///   caller, in this order. After one by another process on the same data: the first two, within a second.
/// - What a reader found before a change never enters a cache after it.
/// - A read waits for nothing but the disk: callers await it while a client waits for its acknowledgement.
/// - Ids are exact. Only [`app`](Self::app) also finds an app by a rounded id; every other method, and every
///   record, uses the real one.
/// - A write that fails leaves nothing behind, unless it failed with [`StoreError::Unavailable`], after which it
///   may or may not have happened.
///
/// # Errors
/// Every method answers [`StoreError::Unavailable`] when it cannot reach its data now, and
/// [`StoreError::Corrupt`] when it cannot make sense of them. Others are named where they occur.
///
/// # Cancel safety
/// Every future does nothing before it is polled. A read may be dropped at any time. A write that was dropped
/// after it was first polled either happens in full or not at all.
#[cfg_attr(feature = "test-util", mockall::automock)]
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Creates an app; false when its id is taken.
    async fn create_app(&self, app: App) -> Result<bool, StoreError>;

    /// Finds an app by its id, or else by the form to which JavaScript rounds its id.
    ///
    /// A decimal id above 2^53 loses digits as a JavaScript number: `6399747348821438464` is asked for as
    /// `6399747348821438000`. The app carries its real id. Of several that round to one form, the eldest is found.
    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError>;

    /// Lists all apps, eldest first.
    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError>;

    /// Changes an app in one step and returns it as it then is; none when there is no such app.
    ///
    /// Its id and its time of creation stay, whatever the edit does to them.
    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError>;

    /// Creates an API key; false when its id is taken within the app, or its digest anywhere.
    ///
    /// # Errors
    /// [`StoreError::UnknownApp`] when there is no such app.
    async fn create_api_key(&self, key: ApiKey) -> Result<bool, StoreError>;

    /// Lists the API keys of an app, eldest first.
    async fn api_keys(&self, app: &AppId) -> Result<Vec<ApiKey>, StoreError>;

    /// Deletes an API key; false when there is none of that id.
    async fn revoke_api_key(&self, app: &AppId, key: &str) -> Result<bool, StoreError>;

    /// Finds an API key, of any app, by its digest.
    async fn api_key_by_digest(&self, digest: &[u8; 32]) -> Result<Option<ApiKey>, StoreError>;

    /// Finds a user.
    async fn user(&self, app: &AppId, id: &UserId) -> Result<Option<Arc<User>>, StoreError>;

    /// Creates a user unless there is one of that id: of any number of simultaneous calls, one creates.
    ///
    /// # Errors
    /// [`StoreError::UserLimit`] when the user is new and its app full, [`StoreError::UnknownApp`] when there is
    /// no such app.
    async fn create_user(&self, user: User) -> Result<Created, StoreError>;

    /// Changes a user in one step and returns it as it then is; none when there is no such user.
    ///
    /// Its app, id and time of creation stay, whatever the edit does to them.
    async fn edit_user(
        &self,
        app: &AppId,
        id: &UserId,
        edit: UserEdit,
    ) -> Result<Option<Arc<User>>, StoreError>;

    /// Creates or edits many users, in order, and says what came of each, in the same order.
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
            outcomes.push(one_by_one(self, upsert).await);
        }
        Ok(outcomes)
    }

    /// Deletes a user with every block of theirs and of them; false when there is none.
    async fn delete_user(&self, app: &AppId, id: &UserId) -> Result<bool, StoreError>;

    /// Lists up to `limit` users of an app in the byte order of their ids, beginning behind `after`.
    async fn users<'a>(
        &self,
        app: &AppId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;

    /// Lists up to `limit` users of an app whose name begins with `prefix`, in the byte order of their names and, of one
    /// name, of their ids, beginning behind `after`; nobody without a name, and nobody if the prefix has a NUL.
    ///
    /// Here A to Z are a to z, in what a name begins with and in the order of names; nothing else is folded.
    async fn users_by_name<'a>(
        &self,
        app: &AppId,
        prefix: &str,
        after: Option<(&'a str, &'a UserId)>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;

    /// Counts the users of an app, in constant time.
    async fn user_count(&self, app: &AppId) -> Result<u64, StoreError>;

    /// Counts the users of an app who are not suspended; the work grows with those who are.
    async fn active_user_count(&self, app: &AppId) -> Result<u64, StoreError>;

    /// Has a user block another; false when either is not there. To block twice is to block once.
    ///
    /// Not a change: nobody is told.
    ///
    /// # Errors
    /// [`StoreError::BlockLimit`] when the block is new and the user has [`MAX_BLOCKS`](crate::record::MAX_BLOCKS).
    async fn block(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError>;

    /// Ends a block; false when there is none. Not a change either.
    async fn unblock(&self, app: &AppId, user: &UserId, other: &UserId) -> Result<bool, StoreError>;

    /// Lists up to `limit` of those whom a user blocks, in the byte order of their ids, beginning behind `after`.
    async fn blocked<'a>(
        &self,
        app: &AppId,
        user: &UserId,
        after: Option<&'a UserId>,
        limit: usize,
    ) -> Result<Vec<Arc<User>>, StoreError>;

    /// Raises when users were last seen, in Unix seconds; never lowers it, skips users that are not there.
    ///
    /// Not a change: nobody is told, and another process may go on seeing an older time. After
    /// [`StoreError::Unavailable`] some may have been raised; to repeat the call is harmless.
    async fn record_last_seen(&self, seen: &[(AppId, UserId, u64)]) -> Result<(), StoreError>;

    /// Writes something without meaning, durably: whether users could be created and changed now.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Reads a setting.
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Reads a setting, written with `value` if there is none: of simultaneous calls the first decides.
    async fn setting_or_insert(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Registers who hears of every edit and deletion from now on, for the life of the store.
    ///
    /// Creating something is no change, and neither is [`record_last_seen`](Self::record_last_seen). A change by
    /// another process may be reported more than once.
    fn on_change(&self, listener: ChangeListener);
}

impl Created {
    /// The user, whoever created it.
    #[must_use]
    pub fn user(&self) -> &Arc<User> {
        match self {
            Self::New(user) | Self::Existing(user) => user,
        }
    }
}

/// Creates or edits a user by the methods for one.
async fn one_by_one<S: Store + ?Sized>(store: &S, upsert: Upsert) -> Result<Upserted, StoreError> {
    let (app, id) = (upsert.new.app.clone(), upsert.new.id.clone());
    if let Created::New(_) = store.create_user(upsert.new).await? {
        return Ok(Upserted::Created);
    }
    let saved = Arc::new(AtomicBool::new(false));
    let say = saved.clone();
    let edit = Box::new(move |user: &mut User| {
        let edited = (upsert.edit)(user);
        say.store(edited == Edited::Save, Ordering::Relaxed);
        edited
    });
    match store.edit_user(&app, &id, edit).await? {
        Some(_) if saved.load(Ordering::Relaxed) => Ok(Upserted::Saved),
        Some(_) => Ok(Upserted::Kept),
        None => Err(StoreError::unavailable("the user was deleted meanwhile")),
    }
}

impl fmt::Debug for Upsert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upsert").field("new", &self.new).finish_non_exhaustive()
    }
}

const _OBJECT_SAFE: fn(&dyn Store) = |_| ();
