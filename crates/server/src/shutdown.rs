//! The state of a shutdown: whether it has begun, and the number of tasks that it waits for.
//!
//! This is an atomic, because a connect checks it five times. A `CancellationToken` of tokio-util locks a mutex for each check.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The state of a server's shutdown.
#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    begun: AtomicBool,
    begins: Notify,
    tasks: AtomicUsize,
    idle: Notify,
}

/// Counts the task of one connection until it is dropped.
#[derive(Debug)]
pub(crate) struct Task(Arc<Shutdown>);

impl Shutdown {
    /// Counts one more task.
    pub(crate) fn enter(self: &Arc<Self>) -> Task {
        self.tasks.fetch_add(1, Ordering::AcqRel);
        Task(self.clone())
    }

    /// Returns the number of tasks.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Acquire)
    }

    /// Begins the shutdown. Each call of [`unless_begun`](Self::unless_begun) returns.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.begins.notify_waiters();
    }

    /// Returns whether the shutdown has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits for `future`; returns `None` if the shutdown begins first.
    pub(crate) async fn unless_begun<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let begins = self.begins.notified();
        if self.has_begun() {
            return None;
        }
        tokio::select! {
            biased;
            // Polled first: if the output is ready, no waiter is registered.
            output = future => Some(output),
            () = begins => None,
        }
    }

    /// Waits until no task is left.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.tasks() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
