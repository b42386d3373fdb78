//! The state that all requests of the API share.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use chatcamp_protocol::AppId;
use tokio::sync::Semaphore;

use super::{call_rate::CallRate, idempotency::IdempotencyCache};
use crate::{
    Clock, Limits, admission::Rates, bodies::Bodies, operations::Operations, sessions::Sessions,
    shutdown::Shutdown,
};

/// The maximum size of all request bodies in memory, in bytes.
const BODIES: usize = 16 * 1024 * 1024;

/// The maximum number of authenticated requests that run at the same time.
const AT_ONCE: usize = 4096;
/// The memory that a request with a body reserves at least, in bytes: an app, which has a share of the memory, so has the same share of the requests
/// that run.
pub(super) const SMALLEST_BODY: usize = BODIES / AT_ONCE;

/// The Platform API of a server.
pub(crate) struct Api {
    pub(super) operations: Arc<Operations>,
    pub(super) clock: Clock,
    pub(super) shutdown: Arc<Shutdown>,
    /// The time limit for reading the body of a request.
    pub(super) body_timeout: Duration,
    /// Counts the calls of each key; `None` if their rate is not limited.
    pub(super) call_rate: Option<CallRate>,
    /// Delays answers to invalid keys.
    pub(super) rates: Arc<Rates>,
    /// Answers to requests with an idempotency key.
    pub(super) idempotency: Arc<IdempotencyCache>,
    /// Bytes of request bodies, by app.
    pub(super) bodies: Arc<Bodies<AppId>>,
    /// Permits for requests that run.
    pub(super) running: Semaphore,
    /// The server's address in the OpenAPI document.
    pub(super) server_url: String,
    /// The OpenAPI document, made for the first request for it.
    pub(super) document: OnceLock<Bytes>,
    /// Locked while the keys of an app are changed.
    pub(super) keys: tokio::sync::Mutex<()>,
}

impl Api {
    pub(crate) fn new(
        operations: Arc<Operations>,
        sessions: &Arc<Sessions>,
        limits: &Limits,
        rates: Arc<Rates>,
        public_url: Option<String>,
    ) -> Self {
        Self {
            operations,
            clock: sessions.clock.clone(),
            shutdown: sessions.shutdown.clone(),
            body_timeout: limits.handshake,
            call_rate: limits.api_calls.map(|rate| CallRate::new(rate, sessions.clone())),
            rates,
            idempotency: Arc::default(),
            bodies: Bodies::new(BODIES, BODIES / 2),
            running: Semaphore::new(AT_ONCE),
            // Relative to /api/openapi.json: the root of the server, under whichever path a proxy serves it.
            server_url: public_url.unwrap_or_else(|| "..".to_owned()),
            document: OnceLock::new(),
            keys: tokio::sync::Mutex::default(),
        }
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}
