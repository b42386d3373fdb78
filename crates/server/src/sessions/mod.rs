//! All sessions of this process.
//!
//! This module uses neither the store nor HTTP. [`registry`] finds sessions, [`lifecycle`] sends to them and changes their state,
//! [`wheel`] schedules their deadlines, [`last_seen`] collects when users were connected, [`node`] answers the bus, and [`drain`]
//! ends all sessions at a shutdown.

mod drain;
mod last_seen;
mod lifecycle;
mod node;
mod registry;
mod wheel;

use std::{fmt, sync::Arc, time::Duration};

use chatcamp_runtime::Runtime;
use parking_lot::Mutex;

use crate::{
    Clock, Limits, Proxies, Rate, limits, random,
    session::{Budget, Detached, Session},
    shutdown::Shutdown,
};

pub(crate) use self::{
    last_seen::LastSeen,
    lifecycle::close_connection,
    registry::{Full, Registry},
    wheel::Wheel,
};

/// The sessions of this process, and the parts they share.
pub(crate) struct Sessions {
    pub(crate) registry: Registry,
    pub(crate) detached: Detached,
    pub(crate) wheel: Wheel,
    pub(crate) last_seen: LastSeen,
    /// Bytes that sessions hold: queued messages, unacknowledged messages, and the memory of their connections.
    pub(crate) queued: Budget,
    /// Locked by the thread that frees bytes of that budget.
    reclaiming: Mutex<()>,
    /// Bytes that connections hold while they are closed in the background.
    closing: Arc<Budget>,
    /// Identifies this run of the process, in session keys and session ids.
    pub(crate) incarnation: u64,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Clock,
    pub(crate) proxies: Proxies,
    pub(crate) shutdown: Arc<Shutdown>,
    /// The rate of the requests of one session; `None` if it is not limited.
    pub(crate) request_rate: Option<Rate>,
    max_detached: usize,
    max_detached_per_user: usize,
}

impl Sessions {
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        clock: Clock,
        limits: &Limits,
        proxies: Proxies,
        shutdown: Arc<Shutdown>,
    ) -> Self {
        Self {
            registry: Registry::new(),
            detached: Detached::default(),
            wheel: Wheel::new(runtime.now()),
            last_seen: LastSeen::default(),
            queued: Budget::new(limits.queued_bytes),
            reclaiming: Mutex::default(),
            closing: Arc::new(Budget::new(limits::CLOSING)),
            incarnation: u64::from_le_bytes(random::bytes()),
            runtime,
            clock,
            proxies,
            shutdown,
            request_rate: limits.requests,
            max_detached: limits.detached,
            max_detached_per_user: limits.detached_per_user,
        }
    }

    /// Returns a random time between `base` and twice that, so that clients do not all reconnect at once.
    pub(crate) fn spread(&self, base: Duration) -> Duration {
        chatcamp_runtime::spread(&*self.runtime, base)
    }

    /// Returns the current millisecond for the meters of the sessions.
    pub(crate) fn millis(&self) -> u32 {
        self.wheel.millis(self.runtime.now())
    }

    /// Returns the time that a client has to wait before it may resume a session; `None` unless its requests flooded the server.
    pub(crate) fn flood_wait(&self, session: &Session) -> Option<Duration> {
        session.flood_wait(self.request_rate?, self.millis())
    }

    /// Returns the number of sessions that have a connection.
    pub(crate) fn connected(&self) -> usize {
        self.registry.len().saturating_sub(self.detached.len())
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("connected", &self.connected())
            .field("detached", &self.detached.len())
            .finish_non_exhaustive()
    }
}
