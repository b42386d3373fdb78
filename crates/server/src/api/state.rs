//! What the API's requests share.

use std::{fmt, sync::Arc, time::Duration};

use chatcamp_protocol::AppId;
use tokio::sync::Semaphore;

use super::{auth::Slowed, repeats::Repeats};
use crate::{Clock, bodies::Bodies, operations::Operations, shutdown::Shutdown};

/// Bytes of all requests' bodies together that are being read or worked on, at most.
const BODIES: usize = 16 * 1024 * 1024;

/// Requests with a good key that are carried out at one moment, at most.
const AT_ONCE: usize = 4096;

/// The Platform API of a server.
pub(crate) struct Api {
    pub(super) operations: Arc<Operations>,
    pub(super) clock: Clock,
    pub(super) shutdown: Arc<Shutdown>,
    /// How long the body of a request may take.
    pub(super) body_timeout: Duration,
    /// Answers to wrong keys, while they are held back.
    pub(super) slowed: Slowed,
    /// Answers to requests that may be repeated.
    pub(super) repeats: Arc<Repeats>,
    /// Bytes of bodies, by app.
    pub(super) bodies: Arc<Bodies<AppId>>,
    /// Room for requests that are being carried out.
    pub(super) running: Semaphore,
    /// Held while the keys of an app are changed.
    pub(super) keys: tokio::sync::Mutex<()>,
}

impl Api {
    pub(crate) fn new(
        operations: Arc<Operations>,
        clock: Clock,
        shutdown: Arc<Shutdown>,
        body_timeout: Duration,
    ) -> Self {
        Self {
            operations,
            clock,
            shutdown,
            body_timeout,
            slowed: Slowed::default(),
            repeats: Arc::default(),
            bodies: Bodies::new(BODIES, BODIES / 2),
            running: Semaphore::new(AT_ONCE),
            keys: tokio::sync::Mutex::default(),
        }
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}
