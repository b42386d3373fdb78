//! The one thread that writes: everything queued goes into one transaction, one sync of the disk.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use futures_channel::oneshot;
use rusqlite::Connection;

use super::{
    batch::Batch,
    fault::{Fault, store_error},
    shared::Shared,
};
use crate::StoreError;

/// Most writes waiting; twice as many as a server lets connections wait for their verdict.
const QUEUE: usize = 8192;
/// Most writes in one transaction, some 15 ms of work.
const BATCH: usize = 1024;

/// The queue to the writing thread, and the thread.
pub(super) struct Writer {
    jobs: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn spawn(
        connection: Connection,
        instance: i64,
        shared: Arc<Shared>,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(&connection, instance, &queue, &shared))
            .map_err(StoreError::unavailable)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has `work` done and resolves once it is durable.
    pub(super) async fn submit<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (caller, outcome) = oneshot::channel();
        let job = Box::new(Task { work: Some(work), outcome: None, caller });
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::unavailable("too many writes are waiting"),
            TrySendError::Disconnected(_) => ended(),
        })?;
        outcome.await.unwrap_or_else(|oneshot::Canceled| Err(ended()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        join(self.thread.take());
    }
}

/// Waits for a thread to end, unless it is the one that waits: a listener may drop the last handle to its store.
pub(super) fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
        && thread.join().is_err()
    {
        tracing::error!("a thread of the store panicked");
    }
}

fn ended() -> StoreError {
    StoreError::unavailable("the writer has ended")
}

fn run(connection: &Connection, instance: i64, queue: &Receiver<Box<dyn Job>>, shared: &Shared) {
    let mut jobs = Vec::with_capacity(BATCH);
    while let Ok(first) = queue.recv() {
        jobs.push(first);
        jobs.extend(queue.try_iter().take(BATCH - 1));
        match transact(connection, instance, &mut jobs, shared) {
            Ok(()) => jobs.drain(..).for_each(|job| job.answer()),
            Err(error) => {
                tracing::warn!(error = %source(&error), writes = jobs.len(), "a transaction failed");
                jobs.drain(..).for_each(|job| job.fail(error.clone()));
            }
        }
    }
}

/// Runs the jobs in one transaction; if that fails as a whole, none of them happened.
fn transact(
    connection: &Connection,
    instance: i64,
    jobs: &mut [Box<dyn Job>],
    shared: &Shared,
) -> Result<(), StoreError> {
    let attempt = || {
        let mut batch = Batch::begin(connection).map_err(store_error)?;
        for job in jobs {
            let done = job.run(&mut batch);
            // A full disk, for one, may end more than the statement that met it.
            if connection.is_autocommit() {
                return Err(done
                    .err()
                    .unwrap_or_else(|| StoreError::unavailable("the transaction was lost")));
            }
        }
        batch.commit(instance).map_err(store_error)
    };
    match attempt() {
        Ok(effects) => {
            shared.committed(&effects);
            Ok(())
        }
        Err(error) => {
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a failed transaction could not be rolled back");
            }
            Err(error)
        }
    }
}

fn source(error: &StoreError) -> &dyn std::error::Error {
    std::error::Error::source(error).unwrap_or(error)
}

/// One write, of whatever kind.
trait Job: Send {
    /// Does it, inside the transaction; keeps what came of it.
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreError>;
    /// Tells the caller what came of it, now that it is durable.
    fn answer(self: Box<Self>);
    /// Tells the caller that the transaction failed, or what else did before.
    fn fail(self: Box<Self>, error: StoreError);
}

struct Task<T, W> {
    work: Option<W>,
    outcome: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for Task<T, W>
where
    T: Send,
    W: FnOnce(&mut Batch<'_>) -> Result<T, Fault> + Send,
{
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let outcome = self.outcome.insert(work(batch).map_err(|fault| fault.0));
        outcome.as_ref().map(|_| ()).map_err(StoreError::clone)
    }

    // In both the caller may be gone, which is its right.
    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            let _ = self.caller.send(outcome);
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        let error = self.outcome.and_then(Result::err).unwrap_or(error);
        let _ = self.caller.send(Err(error));
    }
}
