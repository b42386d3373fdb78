//! Counts the tasks of connections, so that a shutdown can wait for the last.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// How many tasks there are.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: AtomicUsize,
    none: Notify,
}

/// One task, while it lives.
#[derive(Debug)]
pub(crate) struct Task(Arc<Tasks>);

impl Tasks {
    pub(crate) fn enter(self: &Arc<Self>) -> Task {
        self.running.fetch_add(1, Ordering::AcqRel);
        Task(self.clone())
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub(crate) async fn finished(&self) {
        loop {
            let none = self.none.notified();
            if self.running() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
