//! Hears of what other processes change in the same file.

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use chatcamp_protocol::{AppId, UserId};
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::{app::apps, fault::store_error, schema, shared::Shared, writer::join};
use crate::{Change, StoreError};

/// How often the file is asked whether anybody wrote; one cheap question.
const POLL: Duration = Duration::from_millis(200);

/// The following thread.
pub(super) struct Follower {
    stop: Mutex<Option<SyncSender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Follower {
    /// Begins with the next change; to be called before anything is cached.
    pub(super) fn spawn(path: &Path, instance: i64, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let mut tail = Tail::open(path, instance).map_err(store_error)?;
        let (stop, stopped) = sync_channel(0);
        let thread = thread::Builder::new()
            .name("store-follower".into())
            .spawn(move || run(&mut tail, &stopped, &shared))
            .map_err(StoreError::unavailable)?;
        Ok(Self { stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread, closes its connection and waits until both are done.
    pub(super) fn close(&self) {
        drop(self.stop.lock().take());
        join(self.thread.lock().take());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(tail: &mut Tail, stopped: &Receiver<()>, shared: &Shared) {
    while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
        if let Err(error) = tail.follow(shared) {
            tracing::warn!(%error, "changes by other processes could not be read");
        }
    }
}

/// The end of the changes table, as far as it has been read.
struct Tail {
    connection: Connection,
    instance: i64,
    version: i64,
    seq: i64,
}

impl Tail {
    fn open(path: &Path, instance: i64) -> rusqlite::Result<Self> {
        let connection = schema::open_reader(path)?;
        let version = data_version(&connection)?;
        let (_, seq) = extent(&connection)?;
        Ok(Self { connection, instance, version, seq })
    }

    fn follow(&mut self, shared: &Shared) -> rusqlite::Result<()> {
        let version = data_version(&self.connection)?;
        if version == self.version {
            return Ok(());
        }
        let (first, last) = extent(&self.connection)?;
        if first > self.seq + 1 {
            // More was changed than is kept, so everything may have been.
            shared.apps.clear();
            shared.users.clear();
            for app in apps(&self.connection)? {
                shared.announce(&Change { app: app.id.clone(), user: None });
            }
            self.seq = last;
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, app, user FROM changes WHERE seq > ?1 AND writer <> ?2 ORDER BY seq",
        )?;
        let mut found = statement.query(params![self.seq, self.instance])?;
        while let Some(row) = found.next()? {
            let app = row.get_ref(1)?.as_str().ok().and_then(|app| AppId::new(app).ok());
            let user = row.get_ref(2)?.as_str_or_null()?.map(UserId::new);
            self.seq = row.get(0)?;
            // Rows of no valid id can only come from a hand at the file, and name nobody who is cached.
            if let (Some(app), Some(user)) = (app, user.transpose().ok()) {
                shared.announce(&Change { app, user });
            }
        }
        drop(found);
        drop(statement);
        self.seq = self.seq.max(last);
        self.version = version;
        Ok(())
    }
}

/// Differs from what it was whenever another connection has committed.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// The first and the last change kept.
fn extent(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection
        .prepare_cached(
            // Two questions, because only a lone MIN or MAX is a look at one end of the table.
            "SELECT COALESCE((SELECT MIN(seq) FROM changes), 0), COALESCE((SELECT MAX(seq) FROM changes), 0)",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}
