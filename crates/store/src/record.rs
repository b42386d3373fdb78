//! What is kept: plain data, valid ids, times in Unix seconds.

use std::{fmt, str::FromStr};

use chatcamp_protocol::{AppId, Profile, UserId};

/// How many users an app may have unless it says otherwise.
pub const MAX_USERS: u64 = 1_000_000;

/// How many sessions a user may have at most, whatever the app says.
pub const MAX_SESSIONS: u8 = 100;

/// How many others a user may block.
pub const MAX_BLOCKS: u64 = 1000;

/// What a user of an app must present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthPolicy {
    /// The user id alone suffices, unless the user is locked; unknown users are created.
    Open,
    /// Always an access token; unknown users are refused.
    Token,
}

/// How many sessions a user of an app may have, and which one gives way. As text `unlimited`, `reject_new:3` or
/// `evict_oldest:1`, the number from 1 to [`MAX_SESSIONS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionPolicy {
    /// As many as a server lets any user have; one more is refused.
    #[default]
    Unlimited,
    /// So many; one more is refused.
    RejectNew(u8),
    /// So many; the oldest ends for one more.
    EvictOldest(u8),
}

/// The text is no session policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session policy is unlimited, reject_new:N or evict_oldest:N, with N from 1 to {MAX_SESSIONS}")]
pub struct InvalidSessionPolicy;

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
    /// Most users it may have; default [`MAX_USERS`].
    pub max_users: u64,
    /// How many sessions a user may have; default [`SessionPolicy::Unlimited`].
    pub sessions: SessionPolicy,
    /// When it was created, in Unix seconds.
    pub created_at: u64,
}

/// A key with which a backend speaks for an app.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// A short public id, unique within the app, by which people revoke it.
    pub id: String,
    /// The app it speaks for.
    pub app: AppId,
    /// A name for people.
    pub name: String,
    /// The keyed digest of the key, unique; never the key.
    pub digest: [u8; 32],
    /// When it was created, in Unix seconds.
    pub created_at: u64,
}

/// One user of an app.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The app the user belongs to.
    pub app: AppId,
    /// The id, byte for byte as given.
    pub id: UserId,
    /// What is said of the user.
    pub profile: Profile,
    /// When the user was created, in Unix seconds.
    pub created_at: u64,
    /// When the user was last connected, in Unix seconds; 0 if never.
    pub last_seen: u64,
    /// Whether the backend has shut the user out.
    pub is_suspended: bool,
    /// Whether the user must present an access token even in an open app.
    pub check_access_token: bool,
    /// Whether the user came into being by connecting, and no backend has claimed it since.
    pub auto_created: bool,
    /// Random bits that derived tokens are bound to.
    pub stamp: [u8; 16],
    /// What kind of access token is good.
    pub token: TokenRecord,
    /// What was good before the last rotation, while that is still so. Boxed: few users have one.
    pub previous: Option<Box<Previous>>,
}

/// What the store knows of a user's access token; never the token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TokenRecord {
    /// There is none.
    None,
    /// One derived from the master keys and the user's stamp.
    Derived {
        /// When it ends, in Unix seconds; never if absent.
        expires_at: Option<u64>,
    },
    /// One of the caller's choice.
    Custom {
        /// Its keyed digest.
        digest: [u8; 32],
    },
}

/// What was good before a rotation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// The stamp of that time.
    pub stamp: [u8; 16],
    /// The token of that time.
    pub token: TokenRecord,
    /// Until when it stays good, in Unix seconds.
    pub grace_until: u64,
}

impl App {
    /// An app with the defaults for all that is not given.
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
        }
    }
}

impl User {
    /// A user without profile, token or lock, never seen.
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
        }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("app", &self.app).finish_non_exhaustive()
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

    #[test]
    fn debug_prints_neither_stamps_nor_digests_nor_profiles() {
        let app = AppId::new("demo").unwrap();
        let custom = TokenRecord::Custom { digest: [211; 32] };
        let mut user = User::new(app.clone(), UserId::new("alice").unwrap(), [212; 16], 1);
        user.profile.email = "alice@example.com".into();
        user.token = custom;
        user.previous = Some(Box::new(Previous { stamp: [213; 16], token: custom, grace_until: 9 }));
        let key = ApiKey { id: "k1".into(), app, name: "n".into(), digest: [214; 32], created_at: 1 };

        let printed = format!("{user:?} {key:?}");
        for hidden in ["211", "212", "213", "214", "alice@example.com"] {
            assert!(!printed.contains(hidden), "{hidden} in {printed}");
        }
        assert!(printed.contains("alice") && printed.contains("k1"));
    }
}
