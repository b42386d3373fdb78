//! Apps: sets of users, each with its own rules.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use chatcamp_protocol::AppId;

use crate::{Edited, StoreError};

/// How many users an app may have unless it is set.
pub const MAX_USERS: u64 = 1_000_000;

/// How many sessions a user may have at most, whatever the app says.
pub const MAX_SESSIONS: u8 = 100;

/// Changes an app; runs at most once, on a thread of the store's choosing, and must neither wait nor panic.
pub type AppEdit = Box<dyn FnOnce(&mut App) -> Edited + Send>;

/// What a user of an app must present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthPolicy {
    /// The user id alone suffices, unless the user must present a token; unknown users are created.
    Open,
    /// Always an access token; unknown users are refused.
    Token,
}

/// How many sessions a user of an app may have, and which one ends for one more. As text `unlimited`, `reject_new:3` or
/// `evict_oldest:1`, the number from 1 to [`MAX_SESSIONS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionPolicy {
    /// As many as a server allows any user; one more is refused.
    #[default]
    Unlimited,
    /// This many; one more is refused.
    RejectNew(u8),
    /// This many; the oldest ends for one more.
    EvictOldest(u8),
}

/// The text of a session policy is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session policy is unlimited, reject_new:N or evict_oldest:N, with N from 1 to {MAX_SESSIONS}")]
pub struct InvalidSessionPolicy;

/// One app: a set of users of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// The id.
    pub id: AppId,
    /// A name for people.
    pub name: String,
    /// What its users must present.
    pub auth: AuthPolicy,
    /// Whether clients may list its users; default true.
    pub directory: bool,
    /// How many users it may have; default [`MAX_USERS`].
    pub max_users: u64,
    /// How many sessions a user may have; default [`SessionPolicy::Unlimited`].
    pub sessions: SessionPolicy,
    /// When it was created, in Unix seconds.
    pub created_at: u64,
    /// The revision: 1 when the app is created, one more with every saved edit. Set by the store, whatever a caller sets.
    pub rev: u64,
}

/// Keeps apps. Duties, errors and cancel safety: see [`Store`](crate::Store).
#[async_trait]
pub trait AppStore: Send + Sync {
    /// Creates an app; returns `false` if its id is taken.
    async fn create_app(&self, app: App) -> Result<bool, StoreError>;

    /// Finds an app by its id, or else by the form to which JavaScript rounds its id.
    ///
    /// A decimal id above 2^53 loses digits as a JavaScript number: `6399747348821438464` is asked for as
    /// `6399747348821438000`. The app carries its real id. Of several that round to one form, the oldest is found.
    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError>;

    /// Lists all apps, oldest first.
    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError>;

    /// Changes an app in one step and returns its new state; `None` if the app is missing.
    ///
    /// The id and the time of creation stay, and the revision grows by one, whatever the edit does to them.
    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError>;
}

impl App {
    /// Creates a record with the defaults for all that is not given.
    #[must_use]
    pub fn new(id: AppId, name: impl Into<String>, auth: AuthPolicy, created_at: u64) -> Self {
        Self {
            id,
            name: name.into(),
            auth,
            directory: true,
            max_users: MAX_USERS,
            sessions: SessionPolicy::Unlimited,
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
    fn session_policies_are_read_as_they_are_written() {
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
