//! What the parts of the driver share: the configuration, and the commands of the handles.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chatcamp_protocol::{AppId, User, UserId};
use chatcamp_runtime::Runtime;
use chatcamp_transport::Transport;
use tokio::sync::oneshot;

use crate::{ConnectError, Reconnect, login::Source, session, trace::Trace};

/// Settings that do not change during the life of a client.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) app_id: AppId,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) reconnect: Reconnect,
    pub(crate) connect_timeout: Duration,
    pub(crate) expose_tokens: bool,
    pub(crate) trace: Trace,
    pub(crate) runtime: Arc<dyn Runtime>,
}

impl Config {
    pub(super) fn now(&self) -> Instant {
        self.runtime.now()
    }
}

/// A command from a handle.
pub(crate) enum Command {
    Connect { user_id: UserId, source: Source, reply: Waiter },
    Request(session::Waiting),
    NetworkChanged,
    Disconnect { reply: oneshot::Sender<()> },
}

/// A call of `connect` that waits for its result.
pub(crate) type Waiter = oneshot::Sender<Result<User, ConnectError>>;
