//! All live sessions of this process: found, spoken to, detached, ended and forgotten.
//!
//! Nothing here knows the store or HTTP. [`registry`] finds sessions; [`lifecycle`] changes what state they are in, [`wheel`]
//! keeps their deadlines, [`node`] answers the bus, [`drain`] ends them all at a shutdown.

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
    Clock, Limits, limits, random,
    session::{Budget, Detached},
    shutdown::Shutdown,
};

pub(crate) use self::{
    last_seen::LastSeen,
    lifecycle::close_connection,
    registry::{Full, Registry},
    wheel::Wheel,
};

/// The live sessions of this process, and what they share.
pub(crate) struct Sessions {
    pub(crate) registry: Registry,
    pub(crate) detached: Detached,
    pub(crate) wheel: Wheel,
    pub(crate) last_seen: LastSeen,
    /// Bytes that sessions hold: what waits for clients, what they have not acknowledged, and their connections' memory.
    pub(crate) queued: Budget,
    /// Held by the thread that frees bytes of that budget.
    reclaiming: Mutex<()>,
    /// Bytes that connections without a session hold until they are closed.
    closing: Arc<Budget>,
    /// Tells this run of the process from others, in session keys and session ids.
    pub(crate) incarnation: u64,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Clock,
    pub(crate) shutdown: Arc<Shutdown>,
    max_detached: usize,
    max_detached_per_user: usize,
}

impl Sessions {
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        clock: Clock,
        limits: &Limits,
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
            shutdown,
            max_detached: limits.detached,
            max_detached_per_user: limits.detached_per_user,
        }
    }

    /// Returns a time between `base` and twice that, so that clients told to come back do not come at once.
    pub(crate) fn spread(&self, base: Duration) -> Duration {
        chatcamp_runtime::spread(&*self.runtime, base)
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
