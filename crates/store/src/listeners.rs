//! Those who hear of changes.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{Change, ChangeListener};

/// A growing list of listeners.
#[derive(Default)]
pub(crate) struct Listeners(RwLock<Vec<Arc<ChangeListener>>>);

impl Listeners {
    pub(crate) fn add(&self, listener: ChangeListener) {
        self.0.write().push(Arc::new(listener));
    }

    /// Tells everybody; one that panics harms neither the others nor the thread that writes.
    pub(crate) fn tell(&self, change: &Change) {
        // The list is copied, so that a listener may add another.
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
