//! The interface between nodes. Calls that concern live sessions go to every node that may have those sessions.
//!
//! The operations call a [`Bus`]; a [`Node`] answers for the sessions of one process. [`Local`] is the bus of a single node: each
//! bus call is a call of that node. A bus over a network sends the same calls to other nodes and merges their answers.

mod local;

use std::fmt;

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};
use chatcamp_store::Change;
use chatcamp_transport::Message;

use crate::session::SessionInfo;

pub(crate) use local::Local;

/// The recipients of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// All users of the app that have a session.
    All,
    /// These users; a repeated id counts once.
    Users(Vec<UserId>),
}

/// The sessions that took an event. A user without sessions counts in neither number, and does not get the event later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishOutcome {
    /// Sessions with an open connection, to which the event was handed. The client may not have read it yet.
    pub delivered: usize,
    /// Detached sessions, which keep the event for a client that may come back.
    pub queued: usize,
}

/// Live sessions of an app or a user: their number, and the newest of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionList {
    /// The number of live sessions.
    pub total: usize,
    /// The newest sessions, newest first, as many as were asked for.
    pub newest: Vec<SessionInfo>,
}

/// An error of a call that concerns sessions of other nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The other nodes cannot be reached. A server of one node never returns it.
    #[error("the other nodes cannot be reached; try again later")]
    Unavailable,
}

/// What a client should do when its session is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndMode {
    /// The session ends; the client does not reconnect.
    Disconnect,
    /// Only the connection ends; the client reconnects and resumes the session.
    Reconnect,
}

impl EndMode {
    /// Returns `Reconnect` if the client should reconnect, else `Disconnect`.
    pub(crate) fn new(reconnect: bool) -> Self {
        if reconnect { Self::Reconnect } else { Self::Disconnect }
    }
}

/// The id of a session among those of all nodes. Its text is `INCARNATION.NUMBER`, both hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionRef {
    /// The run of the server process that has the session.
    pub(crate) incarnation: u64,
    /// The session's number within that process.
    pub(crate) number: u64,
}

/// Carries calls that concern live sessions to every node that may have them.
///
/// # Duties of an implementer
/// - Two events that one caller publishes to one user, one after the other, arrive in that order.
/// - A call that some node did not answer returns [`BusError::Unavailable`] rather than a partial answer.
/// - `announce` reaches the listener of this node before it returns.
#[async_trait]
pub(crate) trait Bus: fmt::Debug + Send + Sync {
    /// Sends messages to each session of the recipients, in this order.
    async fn publish(
        &self,
        app: &AppId,
        to: &Recipients,
        messages: &[Message],
    ) -> Result<PublishOutcome, BusError>;

    /// Lists the live sessions of an app, or of one of its users, at most `most` of them.
    async fn sessions(
        &self,
        app: &AppId,
        user: Option<&UserId>,
        most: usize,
    ) -> Result<SessionList, BusError>;

    /// Ends one session; returns `false` if the app has no such live session.
    async fn end_session(&self, app: &AppId, id: SessionRef, mode: EndMode) -> Result<bool, BusError>;

    /// Ends all sessions of a user; returns how many there were.
    async fn end_sessions(&self, app: &AppId, user: &UserId, mode: EndMode) -> Result<usize, BusError>;

    /// Returns for each user, in order, whether it has a live session.
    async fn are_online(&self, app: &AppId, users: &[&UserId]) -> Result<Vec<bool>, BusError>;

    /// Returns the app's users that have a live session and whose ids are greater than `after`, in byte order.
    async fn online_users(&self, app: &AppId, after: Option<&UserId>) -> Result<Vec<UserId>, BusError>;

    /// Tells every node, this one included, that a record has changed.
    fn announce(&self, change: Change);
}

/// Answers the calls of a bus for the sessions of one process.
pub(crate) trait Node: fmt::Debug + Send + Sync + 'static {
    /// See [`Bus::publish`].
    fn publish(
        &self,
        app: &AppId,
        to: &Recipients,
        messages: &[Message],
    ) -> impl Future<Output = PublishOutcome> + Send;

    /// See [`Bus::sessions`].
    fn sessions(&self, app: &AppId, user: Option<&UserId>, most: usize) -> SessionList;

    /// See [`Bus::end_session`].
    fn end_session(&self, app: &AppId, id: SessionRef, mode: EndMode) -> bool;

    /// See [`Bus::end_sessions`].
    fn end_sessions(&self, app: &AppId, user: &UserId, mode: EndMode) -> usize;

    /// Returns whether the user has a live session.
    fn is_online(&self, app: &AppId, user: &UserId) -> bool;

    /// See [`Bus::online_users`].
    fn online_users(&self, app: &AppId, after: Option<&UserId>) -> Vec<UserId>;
}

impl SessionRef {
    /// Parses the text that [`Display`](fmt::Display) writes. Returns `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (incarnation, number) = text.split_once('.')?;
        let parsed = Self {
            incarnation: u64::from_str_radix(incarnation, 16).ok()?,
            number: u64::from_str_radix(number, 16).ok()?,
        };
        (parsed.to_string() == text).then_some(parsed)
    }
}

impl fmt::Display for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.incarnation, self.number)
    }
}

const _: fn(&dyn Bus) = |_| ();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_reference_is_parsed_in_its_canonical_form_only() {
        let id = SessionRef { incarnation: 0xabc, number: 0x1_0000_0002 };
        assert_eq!(id.to_string(), "abc.100000002");
        assert_eq!(SessionRef::parse("abc.100000002"), Some(id));
        for text in
            ["", ".", "abc", "abc.", ".1", "ABC.1", "abc.+1", "0abc.1", "abc.1.2", "abc.1ffffffffffffffff"]
        {
            assert_eq!(SessionRef::parse(text), None, "{text:?}");
        }
    }
}
