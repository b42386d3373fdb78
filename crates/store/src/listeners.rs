//! Change listeners.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{Change, ChangeListener};

/// A list of listeners, which only grows.
#[derive(Default)]
pub(crate) struct Listeners(RwLock<Vec<Arc<ChangeListener>>>);

impl Listeners {
    pub(crate) fn add(&self, listener: ChangeListener) {
        self.0.write().push(Arc::new(listener));
    }

    /// Calls every listener. One that panics does not affect the others or the calling thread.
    pub(crate) fn notify(&self, change: &Change) {
        // Copied, so that a listener may add another.
        let listeners = self.0.read().clone();
        for listener in listeners {
            if catch_unwind(AssertUnwindSafe(|| listener(change))).is_err() {
                tracing::error!(app = %change.app, "a change listener panicked");
            }
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listeners", self.0.read().len())
    }
}
