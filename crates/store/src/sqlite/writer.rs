//! The thread that writes: all queued writes share one transaction and one sync of the disk.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use futures_channel::oneshot;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::{
    batch::Batch,
    fault::{Fault, FileFault, store_error},
    shared::Shared,
    watch::Watch,
};
use crate::{Edited, StoreError};

/// The maximum number of waiting writes, twice as many as the connections that a server lets wait for a verdict.
const QUEUE: usize = 8192;
/// The maximum number of writes in one transaction, some 15 ms of work.
const BATCH: usize = 1024;

/// The queue to the writing thread, and the thread.
pub(super) struct Writer {
    jobs: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

/// What the writing thread receives.
enum Message {
    /// A write.
    Job(Box<dyn Job>),
    /// Stop: later jobs are not run.
    Close,
}

impl Writer {
    pub(super) fn spawn(
        connection: Connection,
        mut watch: Watch,
        instance: i64,
        shared: Arc<Shared>,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                run(&connection, &mut watch, instance, &queue, &shared);
                // Fails jobs that come too late at once.
                drop(queue);
                close(connection, &mut watch)
            })
            .map_err(StoreError::unavailable)?;
        Ok(Self { jobs, thread: Mutex::new(Some(thread)) })
    }

    /// Queues `work` and resolves when it is durable.
    pub(super) async fn submit<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Batch<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (caller, outcome) = oneshot::channel();
        let job = Box::new(Task { work: Some(work), outcome: None, caller });
        self.jobs.try_send(Message::Job(job)).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::unavailable("too many writes are waiting"),
            TrySendError::Disconnected(_) => ended(),
        })?;
        outcome.await.unwrap_or_else(|oneshot::Canceled| Err(ended()))
    }

    /// Commits what is queued, writes the log back into the file and closes the connection.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the log could not be written back; it is still there, and nothing is lost.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let Some(thread) = self.thread.lock().take() else { return Ok(()) };
        if thread.thread().id() == thread::current().id() {
            // The writer thread cannot wait for itself, nor for room in the queue that it empties; it ends when the last sender is dropped.
            _ = self.jobs.try_send(Message::Close);
            return Ok(());
        }
        // Fails only if the thread has panicked, which `join` reports.
        _ = self.jobs.send(Message::Close);
        join(Some(thread)).unwrap_or_else(|| Err(StoreError::unavailable("the writer panicked")))
    }
}

/// Waits for a thread to end and returns its result.
///
/// Returns `None` if it panicked, or if it is the calling thread: a listener may drop the last handle to its store.
pub(super) fn join<T>(thread: Option<JoinHandle<T>>) -> Option<T> {
    let joined = thread.filter(|thread| thread.thread().id() != thread::current().id())?.join();
    if joined.is_err() {
        tracing::error!("a thread of the store panicked");
    }
    joined.ok()
}

fn ended() -> StoreError {
    StoreError::unavailable("the store is closed")
}

fn run(
    connection: &Connection,
    watch: &mut Watch,
    instance: i64,
    queue: &Receiver<Message>,
    shared: &Shared,
) {
    let mut jobs = Vec::with_capacity(BATCH);
    let mut is_closing = false;
    while !is_closing {
        let Ok(Message::Job(first)) = queue.recv() else { return };
        jobs.push(first);
        for message in queue.try_iter().take(BATCH - 1) {
            match message {
                Message::Job(job) => jobs.push(job),
                Message::Close => {
                    is_closing = true;
                    break;
                }
            }
        }
        let done = watch.before(connection).and_then(|()| {
            let transacted = transact(connection, instance, &mut jobs, shared);
            // A commit to a missing file is not acknowledged. If the file is missing, that is the cause of any failure.
            watch.after(connection, &shared.required.lock()).and(transacted)
        });
        match done {
            Ok(()) => jobs.drain(..).for_each(|job| job.answer()),
            Err(error) => {
                tracing::warn!(error = %source(&error), writes = jobs.len(), "a transaction failed");
                jobs.drain(..).for_each(|job| job.fail(error.clone()));
            }
        }
    }
}

/// Runs the jobs in one transaction. If the transaction fails, no job took effect.
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
            // A full disk, for example, may end the transaction and not only the statement.
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

/// Writes the log back into the file and closes the connection; SQLite deletes the log when no other process has it open.
///
/// SQLite also writes the log back when it closes the last connection, but does not report a failure.
fn close(connection: Connection, watch: &mut Watch) -> Result<(), StoreError> {
    let written_back = watch.end(&connection).and_then(|()| {
        // Passive, so that it does not wait for readers of other processes. The last of them to close does the rest.
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(store_error)
    });
    let closed = connection.close().map_err(|(_, error)| store_error(error));
    written_back.and(closed)
}

/// Runs an edit; an edit that panics fails its caller, not the thread that writes for all.
pub(super) fn run_edit<T>(
    edit: Box<dyn FnOnce(&mut T) -> Edited + Send>,
    record: &mut T,
) -> Result<Edited, StoreError> {
    catch_unwind(AssertUnwindSafe(|| edit(record))).map_err(|_| StoreError::unavailable("the edit panicked"))
}

fn source(error: &StoreError) -> &dyn std::error::Error {
    std::error::Error::source(error).unwrap_or(error)
}

/// One write.
trait Job: Send {
    /// Runs inside the transaction, and keeps the result.
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreError>;
    /// Sends the result to the caller, when it is durable.
    fn answer(self: Box<Self>);
    /// Sends the job's own error to the caller, or else that of the transaction.
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

    // In both methods the caller may have given up.
    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            let _ = self.caller.send(outcome);
        }
    }

    fn fail(self: Box<Self>, error: StoreError) {
        // A fault of a file is the cause of a job's own retryable error.
        let explained = |own: &StoreError| own.is_retryable() && FileFault::of(&error).is_some();
        let own = self.outcome.and_then(Result::err).filter(|own| !explained(own));
        let error = own.unwrap_or(error);
        let _ = self.caller.send(Err(error));
    }
}
