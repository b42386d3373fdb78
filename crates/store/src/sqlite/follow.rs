//! Follows the changes that other processes make in the same file.

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
use rusqlite::{Connection, OptionalExtension, Row};

use super::{app::apps, fault::store_error, schema, shared::Shared, writer::join};
use crate::{Change, StoreError};

/// The interval between polls for commits, each of which is one cheap query.
const POLL: Duration = Duration::from_millis(200);

/// The thread that polls the file.
pub(super) struct Follower {
    stop: Mutex<Option<SyncSender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Follower {
    /// Starts the thread, which reports changes from now on. Must be called before anything is cached.
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

/// Reads the table of changes from the last row that was applied.
struct Tail {
    connection: Connection,
    instance: i64,
    version: i64,
    /// `None` until a row was read.
    last: Option<Position>,
}

/// A row of the table of changes.
///
/// The tag is random, so that a number that is used again, such as after a restore, is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    seq: i64,
    tag: i64,
}

/// The changes since the last row that was applied.
struct News {
    changes: Vec<Change>,
    last: Option<Position>,
    /// Whether that row is missing or different: there were too many changes since, or the data were replaced.
    is_broken: bool,
}

impl Tail {
    fn open(path: &Path, instance: i64) -> rusqlite::Result<Self> {
        let connection = schema::open_reader(path)?;
        let version = data_version(&connection)?;
        let last = newest(&connection)?;
        Ok(Self { connection, instance, version, last })
    }

    fn follow(&mut self, shared: &Shared) -> rusqlite::Result<()> {
        let version = data_version(&self.connection)?;
        if version == self.version {
            return Ok(());
        }
        let mut news = self.read()?;
        if news.is_broken {
            tracing::info!("the history of changes is not continuous; all records count as changed");
            let mut gone = shared.apps.ids();
            shared.apps.clear();
            shared.users.clear();
            for change in &news.changes {
                gone.remove(&change.app);
            }
            news.changes.extend(gone.into_iter().map(|app| Change { app, user: None }));
        }
        for change in &news.changes {
            shared.announce(change);
        }
        self.last = news.last;
        self.version = version;
        Ok(())
    }

    fn read(&self) -> rusqlite::Result<News> {
        // A transaction, so that all reads see the same state. It only reads, so a rollback may end it.
        let _moment = self.connection.unchecked_transaction()?;
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq, tag, writer, app, user FROM changes WHERE seq >= ?1 ORDER BY seq")?;
        let mut rows = statement.query([self.last.map_or(0, |last| last.seq)])?;
        if let Some(last) = self.last {
            let found = rows.next()?.map(|row| position(row)).transpose()?;
            if found != Some(last) {
                let apps = apps(&self.connection)?;
                let changes = apps.iter().map(|app| Change { app: app.id.clone(), user: None }).collect();
                return Ok(News { changes, last: newest(&self.connection)?, is_broken: true });
            }
        }
        let (mut changes, mut last) = (Vec::new(), self.last);
        while let Some(row) = rows.next()? {
            last = Some(position(row)?);
            if row.get::<_, i64>(2)? == self.instance {
                continue;
            }
            let app = row.get_ref(3)?.as_str().ok().and_then(|app| AppId::new(app).ok());
            let user = row.get_ref(4)?.as_str_or_null()?.map(UserId::new).transpose().ok();
            // No record with an invalid id is cached.
            if let (Some(app), Some(user)) = (app, user) {
                changes.push(Change { app, user });
            }
        }
        Ok(News { changes, last, is_broken: false })
    }
}

/// Returns a number that changes whenever another connection commits.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Reads the newest row.
fn newest(connection: &Connection) -> rusqlite::Result<Option<Position>> {
    connection
        .prepare_cached("SELECT seq, tag FROM changes ORDER BY seq DESC LIMIT 1")?
        .query_row([], position)
        .optional()
}

fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position { seq: row.get(0)?, tag: row.get(1)? })
}
