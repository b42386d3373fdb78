//! What the API keeps between requests.

use std::{fmt, sync::Arc};

use super::{auth::Slowed, repeats::Repeats};
use crate::session::Budget;

/// Bytes of all requests' bodies together that are being read or worked on, at most.
const BODIES: usize = 16 * 1024 * 1024;

/// What the API keeps between requests.
pub(crate) struct State {
    /// Answers to wrong keys, while they are held back.
    pub(super) slowed: Slowed,
    /// Answers to requests that may be repeated.
    pub(super) repeats: Arc<Repeats>,
    pub(super) bodies: Arc<Budget>,
    /// Whose turn it is to change an app's keys.
    pub(super) keys: tokio::sync::Mutex<()>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            slowed: Slowed::default(),
            repeats: Arc::default(),
            bodies: Arc::new(Budget::new(BODIES)),
            keys: tokio::sync::Mutex::default(),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}
