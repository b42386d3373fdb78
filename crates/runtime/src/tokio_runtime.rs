//! The tokio runtime.

use std::time::Instant;

use crate::{Runtime, Task};

/// The tokio runtime of the calling task. Its timer must be enabled.
///
/// # Panics
/// `sleep_until` and `spawn` panic outside a tokio runtime.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, deadline: Instant) -> Task {
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }
}
