//! The description of a session for operators and backends.

use std::net::IpAddr;

use chatcamp_protocol::UserId;
use serde::Serialize;

use super::Session;

/// A live session, as operators and backends see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    /// The id of the session, unique among the sessions of all nodes.
    pub id: String,
    /// The session's user.
    pub user: UserId,
    /// The name of its connection's transport, such as `websocket`.
    pub transport: &'static str,
    /// The network address that the connection comes from, if it has one.
    pub address: Option<IpAddr>,
    /// The time the session began, in Unix seconds.
    pub since: u64,
    /// The time at which the client last sent anything, in Unix seconds.
    pub last_seen: u64,
}

impl Session {
    /// Returns the network address of its newest connection, if that has one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.state.lock().address
    }

    /// Returns the description of the session, with its public id; `None` if it has no connection.
    pub(crate) fn info(&self, id: String, now: u32, unix_now: u64) -> Option<SessionInfo> {
        let state = self.state.lock();
        let link = state.link.as_ref()?;
        Some(SessionInfo {
            id,
            user: self.user.clone(),
            transport: link.transport,
            address: state.address,
            since: self.since,
            last_seen: unix_now.saturating_sub(u64::from(now.saturating_sub(state.last_heard))),
        })
    }
}
