//! What operators and backends see of a session.

use std::net::IpAddr;

use chatcamp_protocol::UserId;
use serde::Serialize;

use super::Session;

/// A live session, as its operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    /// Names the session for as long as it lives, among the sessions of all nodes.
    pub id: String,
    /// The session's user.
    pub user: UserId,
    /// The name of its connection's transport, such as `websocket`.
    pub transport: &'static str,
    /// The network address that the connection comes from, if it has one.
    pub address: Option<IpAddr>,
    /// When the session began, in Unix seconds.
    pub since: u64,
    /// When the client was last heard, in Unix seconds.
    pub last_seen: u64,
}

impl Session {
    /// Returns what an operator sees of the session under the name `id`; `None` while it has no connection.
    pub(crate) fn info(&self, id: String, now: u32, unix_now: u64) -> Option<SessionInfo> {
        let state = self.state.lock();
        let link = state.link.as_ref()?;
        Some(SessionInfo {
            id,
            user: self.user.clone(),
            transport: link.transport,
            address: state.address,
            since: self.since,
            last_seen: unix_now.saturating_sub(u64::from(now.saturating_sub(state.heard))),
        })
    }
}
