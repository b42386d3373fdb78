//! The question between the handshake's two server states: may this user in?

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chatcamp_protocol::{AccessToken, AppId, Code, User, UserId};

use crate::{
    session_key::{Claims, ProvenBy},
    token::Stamp,
};

/// Who asks to come in, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The app as the client names it.
    pub app_id: &'a AppId,
    /// The user.
    pub user_id: &'a UserId,
    /// What is presented beside the id.
    pub proof: Proof<'a>,
}

/// What is presented beside the user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof<'a> {
    /// Nothing.
    None,
    /// An access token, not verified.
    Token(&'a AccessToken),
    /// A session key of ours, verified and opened; whether it still counts is the question.
    SessionKey(&'a Claims),
}

/// A directory's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The user may come in, as this.
    Admit(Box<Admission>),
    /// The credential is refused for this reason; nothing will change by asking again.
    Refuse(Code),
    /// No answer now: come back after this time.
    Defer(Code, Duration),
}

/// Who came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The app's own id, which may be another form of the one presented.
    pub app: AppId,
    /// The user as its owner sees it; `access_token` is exactly the one presented.
    pub user: User,
    /// The stamp that vouches for the session.
    pub stamp: Stamp,
    /// How the session was authenticated.
    pub proven_by: ProvenBy,
    /// When the credential ends, in Unix seconds, where it does.
    pub valid_until: Option<u64>,
    /// How many sessions the user may have.
    pub sessions: SessionLimit,
}

/// How many sessions a user may have at once, and which one gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimit {
    /// So many.
    pub most: usize,
    /// Whether the oldest ends for one more; otherwise that one is refused.
    pub oldest_gives_way: bool,
}

impl Default for SessionLimit {
    /// As many as there may be.
    fn default() -> Self {
        Self { most: usize::MAX, oldest_gives_way: false }
    }
}

/// Knows apps and users.
///
/// # Duties of an implementer
/// - A token that is presented is checked, even where none is needed; presented for an unknown user it is refused.
/// - In an app that always asks for a token, unknown user, missing token and wrong token are one code, after the same work.
/// - A user created by the answer is durable before it is given.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync {
    /// Answers at `now`, in Unix seconds.
    ///
    /// # Cancel safety
    /// Dropping the future leaves at most a user created.
    async fn admit<'a>(&self, question: Question<'a>, now: u64) -> Verdict;
}

const _: fn(&dyn Directory) = |_| ();
