//! Reads: short ones in the caller's thread while the disk is fast, all others on two reader threads.
//!
//! For the reasons and the measurements, see `docs/decisions/0012-reads-that-may-wait-for-the-disk.md`.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures_channel::oneshot;
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;

use super::{fault::store_error, schema, writer::join};
use crate::StoreError;

/// The maximum number of idle connections. More are open only while more threads read at once.
const IDLE: usize = 32;
/// The number of reader threads; two, so that one long list does not delay all other reads.
const THREADS: usize = 2;
/// The maximum number of reads that wait for these threads; the same as for writes that wait for the writer.
const QUEUE: usize = 8192;
/// A short read that takes this long has waited for the disk. From memory it takes some 10 µs.
const SLOW: Duration = Duration::from_millis(1);
/// How many consecutive short reads must be fast after a slow one before short reads return to the caller's thread.
const QUICK_IN_A_ROW: u32 = 64;

type Job = Box<dyn FnOnce() + Send>;

/// Connections that cannot write, and the threads that read with them.
pub(super) struct Readers {
    pool: Arc<Pool>,
    pace: Arc<Pace>,
    /// `None` once closed.
    queue: Mutex<Option<SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    /// Starts the threads. Connections are opened when they are needed.
    pub(super) fn spawn(path: &Path) -> Result<Self, StoreError> {
        Self::over(Pool::new(path))
    }

    /// Starts the threads with a connection that is already open.
    pub(super) fn spawn_with(path: &Path, connection: Connection) -> Result<Self, StoreError> {
        let pool = Pool::new(path);
        pool.idle.lock().push(connection);
        Self::over(pool)
    }

    fn over(pool: Pool) -> Result<Self, StoreError> {
        let (queue, jobs) = sync_channel::<Job>(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let spawn = |_| {
            let jobs = jobs.clone();
            thread::Builder::new().name("store-reader".into()).spawn(move || run(&jobs))
        };
        let threads = (0..THREADS).map(spawn).collect::<Result<_, _>>().map_err(StoreError::unavailable)?;
        Ok(Self {
            pool: Arc::new(pool),
            pace: Arc::default(),
            queue: Mutex::new(Some(queue)),
            threads: Mutex::new(threads),
        })
    }

    /// Reads a few rows by key: in the caller's thread, unless recent reads have waited for the disk.
    pub(super) async fn read_short<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        if !self.pace.is_slow() {
            return self.pool.read(|connection| self.pace.measure(|| read(connection)));
        }
        let pace = self.pace.clone();
        // Boxed, so that the future of a look-up stays small: most are answered by the cache.
        Box::pin(self.queue(move |pool| pool.read(|connection| pace.measure(|| read(connection))))).await
    }

    /// Reads any number of rows, on a thread of the store.
    pub(super) async fn read_long<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.queue(move |pool| pool.read(read)).await
    }

    /// Waits for reads in progress, closes every connection and refuses later reads.
    pub(super) fn close(&self) {
        drop(self.queue.lock().take());
        for thread in self.threads.lock().drain(..) {
            join(Some(thread));
        }
        self.pool.close();
    }

    async fn queue<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Pool) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, outcome) = oneshot::channel();
        let pool = self.pool.clone();
        let job = Box::new(move || {
            if !caller.is_canceled() {
                // The caller may give up while this runs.
                let _ = caller.send(read(&pool));
            }
        });
        let queued = self.queue.lock().as_ref().ok_or_else(closed)?.try_send(job);
        queued.map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::unavailable("too many reads are waiting"),
            TrySendError::Disconnected(_) => closed(),
        })?;
        outcome.await.unwrap_or_else(|oneshot::Canceled| Err(StoreError::unavailable("the read panicked")))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs jobs until the queue is closed. The threads take turns at waiting for the next one.
fn run(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().recv();
        let Ok(job) = next else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a read of the store panicked");
        }
    }
}

fn closed() -> StoreError {
    StoreError::unavailable("the store is closed")
}

/// Connections that cannot write, kept for their next use.
struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Held for reading while a connection is in use, so that closing waits for it.
    is_open: RwLock<bool>,
}

impl Pool {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()), is_open: RwLock::new(true) }
    }

    /// Reads with a connection that no other thread uses. Closes the connection after an error.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let is_open = self.is_open.read();
        if !*is_open {
            return Err(closed());
        }
        let idle = self.idle.lock().pop();
        let connection = idle.map_or_else(|| schema::open_reader(&self.path), Ok).map_err(store_error)?;
        let found = read(&connection).map_err(store_error)?;
        let mut idle = self.idle.lock();
        if idle.len() < IDLE {
            idle.push(connection);
        }
        Ok(found)
    }

    fn close(&self) {
        *self.is_open.write() = false;
        self.idle.lock().clear();
    }
}

/// Tracks whether short reads wait for the disk: counts down from [`QUICK_IN_A_ROW`] after each slow read.
#[derive(Debug, Default)]
struct Pace(AtomicU32);

impl Pace {
    fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn measure<T>(&self, read: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let found = read();
        self.record(began.elapsed());
        found
    }

    fn record(&self, took: Duration) {
        if took >= SLOW {
            self.0.store(QUICK_IN_A_ROW, Ordering::Relaxed);
        } else if self.is_slow() {
            // Concurrent reads may count one too few, which is harmless.
            _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        }
    }
}

#[cfg(test)]
impl Readers {
    /// Reads in the caller's thread.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.pool.read(read)
    }

    /// Counts a slow read, or makes a busy machine's slow reads forgotten.
    pub(super) fn set_slow(&self, is_slow: bool) {
        self.pace.0.store(if is_slow { QUICK_IN_A_ROW } else { 0 }, Ordering::Relaxed);
    }

    /// Keeps all threads busy until the returned senders are dropped.
    pub(super) fn keep_busy(&self) -> Vec<SyncSender<()>> {
        let busy = (0..THREADS).map(|_| {
            let (go_on, wait) = sync_channel::<()>(0);
            let job: Job = Box::new(move || _ = wait.recv());
            self.queue.lock().as_ref().expect("the store is open").try_send(job).expect("the queue has room");
            go_on
        });
        busy.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_reads_are_slow_until_enough_in_a_row_were_quick() {
        let pace = Pace::default();
        pace.record(SLOW / 2);
        assert!(!pace.is_slow(), "a store begins in the caller's thread");
        pace.record(SLOW);
        for _ in 0..QUICK_IN_A_ROW - 1 {
            pace.record(SLOW / 2);
        }
        assert!(pace.is_slow());
        pace.record(SLOW);
        for _ in 0..QUICK_IN_A_ROW {
            assert!(pace.is_slow());
            pace.record(SLOW / 2);
        }
        assert!(!pace.is_slow());
    }
}
