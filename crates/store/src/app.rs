//! Apps: each has its own users and rules.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, OriginPolicy};

use crate::{Edited, StoreError};

/// The default limit of users of an app.
pub const MAX_USERS: u64 = 1_000_000;

/// The maximum number of sessions that the policy of an app can allow a user.
pub const MAX_SESSIONS: u8 = 100;

/// Edits an app. Runs at most once, on any thread; must not wait or panic.
pub type AppEdit = Box<dyn FnOnce(&mut App) -> Edited + Send>;

/// The credential that an app requires of its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthPolicy {
    /// The user id suffices, unless the user must present a token; unknown users are created.
    Open,
    /// An access token; unknown users are refused.
    Token,
}

/// The maximum number of sessions that a user of an app may have, and what happens to one more.
///
/// Its text is `unlimited`, `reject_new:N` or `evict_oldest:N`, with N from 1 to [`MAX_SESSIONS`].
///
/// ```
/// use chatcamp_store::SessionPolicy;
///
/// assert_eq!("evict_oldest:1".parse(), Ok(SessionPolicy::EvictOldest(1)));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionPolicy {
    /// As many as the server allows every user; one more is refused.
    #[default]
    Unlimited,
    /// At most this many; one more is refused.
    RejectNew(u8),
    /// At most this many; one more ends the oldest.
    EvictOldest(u8),
}

/// The text of a session policy is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session policy is unlimited, reject_new:N or evict_oldest:N, with N from 1 to {MAX_SESSIONS}")]
pub struct InvalidSessionPolicy;

/// An app, which has users of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// The id.
    pub id: AppId,
    /// A name for people.
    pub name: String,
    /// The credential that it requires of its users.
    pub auth: AuthPolicy,
    /// Whether clients may list its users; default true.
    pub directory: bool,
    /// The maximum number of users it may have; default [`MAX_USERS`].
    pub max_users: u64,
    /// The maximum number of sessions that a user may have; default [`SessionPolicy::Unlimited`].
    pub sessions: SessionPolicy,
    /// Which web pages may connect; default all.
    pub origins: OriginPolicy,
    /// When it was created, in Unix seconds.
    pub created_at: u64,
    /// The revision: 1 when the app is created, and one more after every saved edit. The store sets it and ignores the caller's value.
    pub rev: u64,
}

/// Stores apps. Implementers: see the duties of [`Store`](crate::Store).
#[async_trait]
pub trait AppStore: Send + Sync {
    /// Creates an app; returns `false` if its id is taken.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn create_app(&self, app: App) -> Result<bool, StoreError>;

    /// Returns an app by its id, or else by its id as JavaScript rounds it; `None` if it is missing.
    ///
    /// A decimal id above 2^53 loses digits as a JavaScript number: `6399747348821438464` becomes `6399747348821438000`. The
    /// returned app has its exact id. If several ids are rounded to the same number, the oldest app is returned.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError>;

    /// Lists all apps, oldest first.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError>;

    /// Edits an app in one step and returns its new state; `None` if the app is missing.
    ///
    /// The edit cannot change the id or the time of creation. The revision grows by one if the edit is saved.
    ///
    /// # Errors
    /// Those of [`Store`](crate::Store#errors).
    ///
    /// # Cancel safety
    /// That of [`Store`](crate::Store#cancel-safety).
    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError>;
}

impl App {
    /// Creates a record with the default of every other field.
    #[must_use]
    pub fn new(id: AppId, name: impl Into<String>, auth: AuthPolicy, created_at: u64) -> Self {
        Self {
            id,
            name: name.into(),
            auth,
            directory: true,
            max_users: MAX_USERS,
            sessions: SessionPolicy::Unlimited,
            origins: OriginPolicy::default(),
            created_at,
            rev: 1,
        }
    }
}

impl fmt::Display for SessionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::RejectNew(most) => write!(f, "reject_new:{most}"),
            Self::EvictOldest(most) => write!(f, "evict_oldest:{most}"),
        }
    }
}

impl FromStr for SessionPolicy {
    type Err = InvalidSessionPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let (policy, most) = text.split_once(':').ok_or(InvalidSessionPolicy)?;
        let most = most.parse().ok().filter(|most| (1..=MAX_SESSIONS).contains(most));
        match (policy, most) {
            ("reject_new", Some(most)) => Ok(Self::RejectNew(most)),
            ("evict_oldest", Some(most)) => Ok(Self::EvictOldest(most)),
            _ => Err(InvalidSessionPolicy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_policies_are_parsed_as_they_are_printed() {
        for policy in [SessionPolicy::Unlimited, SessionPolicy::RejectNew(1), SessionPolicy::EvictOldest(100)]
        {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for text in
            ["", "Unlimited", "reject_new", "reject_new:0", "evict_oldest:101", "evict:1", "reject_new:-1"]
        {
            assert_eq!(text.parse::<SessionPolicy>(), Err(InvalidSessionPolicy), "{text}");
        }
    }
}
