//! The authenticator, which decides whether a user is admitted. The handshake's server half waits for its verdict.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chatcamp_protocol::{AccessToken, AppId, Code, User, UserId};

use crate::{
    session_key::{Claims, ProvenBy},
    token::Stamp,
};

/// The user to be admitted, and the proof that the client presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The app id as the client gave it.
    pub app_id: &'a AppId,
    /// The user.
    pub user_id: &'a UserId,
    /// What the client presents in addition to the user id.
    pub proof: Proof<'a>,
    /// The page that connects.
    pub origin: OriginHeader<'a>,
}

/// What a client presents in addition to the user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// Nothing.
    None,
    /// An access token, not yet verified.
    Token(&'a AccessToken),
    /// A session key whose code is verified. Whether it was replaced or revoked is not yet known.
    SessionKey(&'a Claims),
}

/// The header `Origin` of the request that opened a connection. Browsers send it for pages; other clients do not need to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginHeader<'a> {
    /// Its value, not validated.
    Present(&'a str),
    /// The request has none, or the transport has no headers.
    Absent,
    /// The user is connected and presents another credential. The origin was checked before.
    Checked,
}

/// The decision of an [`Authenticator`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The user is admitted.
    Admit(Box<Admission>),
    /// The credential is refused. Asking again with the same credential gives the same verdict.
    Refuse(Code),
    /// There is no decision now; the client is to retry after this time.
    Defer(Code, Duration),
}

/// An admitted user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The id of the app, which may have another form than the one that the client gave.
    pub app: AppId,
    /// The user as its owner sees it. `access_token` is the one that the client presented.
    pub user: User,
    /// The user's stamp; the session is valid as long as the user has it.
    pub stamp: Stamp,
    /// How the session was authenticated.
    pub proven_by: ProvenBy,
    /// When the credential expires, in Unix seconds; `None` if it does not.
    pub valid_until: Option<u64>,
    /// How many sessions the user may have.
    pub sessions: SessionLimit,
}

/// The session limit of a user, and what happens when it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimit {
    /// The maximum number of sessions that a user may have at once.
    pub most: usize,
    /// Whether a new session evicts the oldest one; if not, the new session is refused.
    pub evict_oldest: bool,
}

impl Default for SessionLimit {
    /// No limit.
    fn default() -> Self {
        Self { most: usize::MAX, evict_oldest: false }
    }
}

/// Decides whether users are admitted.
///
/// # Duties of an implementer
/// - Check a token that is presented even if none is required, and refuse a token for an unknown user.
/// - In an app that requires tokens, refuse an unknown user, a missing token and a wrong token with one code and after the
///   same work, so that a client cannot tell them apart.
/// - Check the origin before the user is looked up or created.
/// - If admitting creates the user, return after it is stored durably.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Decides, at the time `now` in Unix seconds.
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been created.
    async fn admit<'a>(&self, question: Question<'a>, now: u64) -> Verdict;
}

impl<'a> From<Option<&'a str>> for OriginHeader<'a> {
    fn from(header: Option<&'a str>) -> Self {
        header.map_or(Self::Absent, Self::Present)
    }
}

const _: fn(&dyn Authenticator) = |_| ();
