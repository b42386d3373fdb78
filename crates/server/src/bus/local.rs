//! The bus of a single node: each bus call is a call of that node.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chatcamp_protocol::{AppId, UserId};
use chatcamp_store::Change;
use chatcamp_transport::Message;

use super::{Bus, BusError, EndMode, Node, PublishOutcome, Recipients, SessionList, SessionRef};

/// A bus with one node; it never fails.
pub(crate) struct Local<N> {
    node: Arc<N>,
    on_change: Box<dyn Fn(Change) + Send + Sync>,
}

impl<N> Local<N> {
    /// Creates the bus of `node`. `on_change` is called with each change that is announced.
    pub(crate) fn new(node: Arc<N>, on_change: impl Fn(Change) + Send + Sync + 'static) -> Self {
        Self { node, on_change: Box::new(on_change) }
    }
}

#[async_trait]
impl<N: Node> Bus for Local<N> {
    async fn publish(
        &self,
        app: &AppId,
        to: &Recipients,
        messages: &[Message],
    ) -> Result<PublishOutcome, BusError> {
        Ok(self.node.publish(app, to, messages).await)
    }

    async fn sessions(
        &self,
        app: &AppId,
        user: Option<&UserId>,
        most: usize,
    ) -> Result<SessionList, BusError> {
        Ok(self.node.sessions(app, user, most))
    }

    async fn end_session(&self, app: &AppId, id: SessionRef, mode: EndMode) -> Result<bool, BusError> {
        Ok(self.node.end_session(app, id, mode))
    }

    async fn end_sessions(&self, app: &AppId, user: &UserId, mode: EndMode) -> Result<usize, BusError> {
        Ok(self.node.end_sessions(app, user, mode))
    }

    async fn are_online(&self, app: &AppId, users: &[&UserId]) -> Result<Vec<bool>, BusError> {
        Ok(users.iter().map(|user| self.node.is_online(app, user)).collect())
    }

    async fn online_users(&self, app: &AppId, after: Option<&UserId>) -> Result<Vec<UserId>, BusError> {
        Ok(self.node.online_users(app, after))
    }

    fn announce(&self, change: Change) {
        (self.on_change)(change);
    }
}

impl<N: fmt::Debug> fmt::Debug for Local<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("node", &self.node).finish_non_exhaustive()
    }
}
