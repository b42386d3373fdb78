//! The schema of the file, and its connections: created, checked, migrated.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, ffi};

use super::fault::{FileFault, store_error};
use crate::StoreError;

/// How often the writer tries to get a lock that another process holds, which takes 5 s.
const WRITE_ATTEMPTS: i32 = 5000;
/// The pause between two attempts. SQLite's own pause grows to 100 ms and misses the gaps between the transactions of an import.
const WRITE_PAUSE: Duration = Duration::from_millis(1);
/// How long a read waits for a lock. Only the recovery after a crash locks readers out.
const READ_PATIENCE: Duration = Duration::from_secs(1);
/// The maximum number of prepared statements per connection, more than exist.
const STATEMENTS: usize = 32;

/// The steps from each schema to the next. The schema number of a file, its `user_version`, is the number of steps taken.
pub(super) const STEPS: &[&str] = &[
    "
    CREATE TABLE apps(
        key INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        rounded TEXT,
        name TEXT NOT NULL,
        auth INTEGER NOT NULL,
        directory INTEGER NOT NULL,
        max_users INTEGER NOT NULL,
        users INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX apps_rounded ON apps(rounded) WHERE rounded IS NOT NULL;

    CREATE TABLE api_keys(
        key INTEGER PRIMARY KEY,
        app INTEGER NOT NULL REFERENCES apps(key),
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        digest BLOB NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        UNIQUE(app, id)
    ) STRICT;

    CREATE TABLE users(
        app INTEGER NOT NULL REFERENCES apps(key),
        id TEXT NOT NULL,
        display_name TEXT NOT NULL,
        profile TEXT,
        created_at INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        is_suspended INTEGER NOT NULL,
        check_access_token INTEGER NOT NULL,
        auto_created INTEGER NOT NULL,
        stamp BLOB NOT NULL,
        token INTEGER NOT NULL,
        expires_at INTEGER,
        digest BLOB,
        previous_stamp BLOB,
        previous_token INTEGER,
        previous_expires_at INTEGER,
        previous_digest BLOB,
        grace_until INTEGER,
        PRIMARY KEY(app, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE settings(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE changes(
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        writer INTEGER NOT NULL,
        app TEXT NOT NULL,
        user TEXT
    ) STRICT;
",
    "
    CREATE TABLE blocks(
        app INTEGER NOT NULL,
        user TEXT NOT NULL,
        blocked TEXT NOT NULL,
        PRIMARY KEY(app, user, blocked),
        FOREIGN KEY(app, user) REFERENCES users(app, id) ON DELETE CASCADE,
        FOREIGN KEY(app, blocked) REFERENCES users(app, id) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blocks_blocked ON blocks(app, blocked);

    CREATE INDEX users_suspended ON users(app) WHERE is_suspended = 1;
",
    "
    CREATE INDEX users_name ON users(app, display_name COLLATE NOCASE, id) WHERE display_name <> '';
",
    "
    ALTER TABLE apps ADD COLUMN sessions TEXT NOT NULL DEFAULT 'unlimited';
",
    // Dropping a table deletes its rows and, by cascade, the rows that refer to them. Therefore everything is copied first, and the old
    // blocks are dropped before the old users. Renaming a table also renames it in references to it.
    "
    CREATE TABLE new_users(
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        app INTEGER NOT NULL REFERENCES apps(key),
        id TEXT NOT NULL,
        display_name TEXT NOT NULL,
        profile TEXT,
        created_at INTEGER NOT NULL,
        last_seen INTEGER NOT NULL,
        is_suspended INTEGER NOT NULL,
        check_access_token INTEGER NOT NULL,
        auto_created INTEGER NOT NULL,
        stamp BLOB NOT NULL,
        token INTEGER NOT NULL,
        expires_at INTEGER,
        digest BLOB,
        previous_stamp BLOB,
        previous_token INTEGER,
        previous_expires_at INTEGER,
        previous_digest BLOB,
        grace_until INTEGER,
        UNIQUE(app, id)
    ) STRICT;
    INSERT INTO new_users(app, id, display_name, profile, created_at, last_seen, is_suspended, check_access_token,
            auto_created, stamp, token, expires_at, digest, previous_stamp, previous_token, previous_expires_at,
            previous_digest, grace_until)
        SELECT app, id, display_name, profile, created_at, last_seen, is_suspended, check_access_token,
            auto_created, stamp, token, expires_at, digest, previous_stamp, previous_token, previous_expires_at,
            previous_digest, grace_until
        FROM users ORDER BY app, id;

    CREATE TABLE new_blocks(
        user INTEGER NOT NULL REFERENCES new_users(key) ON DELETE CASCADE,
        blocked INTEGER NOT NULL REFERENCES new_users(key) ON DELETE CASCADE,
        PRIMARY KEY(user, blocked)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO new_blocks(user, blocked)
        SELECT user.key, other.key FROM blocks
        JOIN new_users user ON user.app = blocks.app AND user.id = blocks.user
        JOIN new_users other ON other.app = blocks.app AND other.id = blocks.blocked;

    DROP TABLE blocks;
    DROP TABLE users;
    ALTER TABLE new_users RENAME TO users;
    ALTER TABLE new_blocks RENAME TO blocks;
    CREATE INDEX blocks_blocked ON blocks(blocked);
    CREATE INDEX users_suspended ON users(app) WHERE is_suspended = 1;
    CREATE INDEX users_name ON users(app, display_name COLLATE NOCASE, id) WHERE display_name <> '';
",
    "
    ALTER TABLE apps ADD COLUMN rev INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE users ADD COLUMN rev INTEGER NOT NULL DEFAULT 1;
",
    // The first row, which belongs to no app, gives every file a different history.
    "
    ALTER TABLE changes ADD COLUMN tag INTEGER NOT NULL DEFAULT 0;
    INSERT INTO changes(writer, tag, app) VALUES (0, random(), '');
",
    "
    CREATE TABLE schema(key INTEGER PRIMARY KEY CHECK(key = 1), compatible INTEGER NOT NULL) STRICT;
    INSERT INTO schema(key, compatible) VALUES (1, 8);
",
    // Releases before this step ignore the origins, as they did before.
    "
    ALTER TABLE apps ADD COLUMN origins TEXT NOT NULL DEFAULT '';
    ALTER TABLE apps ADD COLUMN require_origin INTEGER NOT NULL DEFAULT 0;
",
];

/// The oldest schema whose releases can use a file of the newest schema. A migration writes it to the table `schema`.
///
/// Leave this number unchanged for a step after which the statements of older releases still work, such as a new column with a
/// default. For any other step, raise it to the number of that step.
const COMPATIBLE: u32 = 8;

/// How a file is opened for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Creates the file if it is missing, and migrates an older schema.
    Create,
    /// Requires the file, and migrates an older schema.
    Migrate,
    /// Requires the file, and refuses an older schema.
    Migrated,
}

/// Opens the file for the writer, in the newest schema.
pub(super) fn open(path: &Path, opening: Opening) -> Result<Connection, StoreError> {
    if opening == Opening::Create {
        create_private(path).map_err(StoreError::unavailable)?;
    } else {
        refuse_empty(path)?;
    }
    // A refused file must remain unchanged, so the file is only read until its schema is known.
    let found = usable(&open_reader(path).map_err(store_error)?)?;
    if opening != Opening::Create && found == 0 {
        return Err(StoreError::corrupt(FileFault::no_data(path)));
    }
    if opening == Opening::Migrated {
        refuse_older(found)?;
    }
    let mut connection = open_writer(path).map_err(store_error)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Fails if the file is missing or empty. SQLite would create a missing file, and delete the log of an empty one.
pub(super) fn refuse_empty(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() == 0 => {
            Err(StoreError::corrupt(FileFault::no_data(path)))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::unavailable(FileFault::missing(path)))
        }
        Err(error) => Err(StoreError::unavailable(error)),
    }
}

/// Opens a connection that cannot change the data.
///
/// It is not read-only all the same: the last connection that closes writes the log back into the file and deletes it, which a read-only
/// connection would not do.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(READ_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Opens a connection that cannot change the data, even on a full disk, and reads from it once.
///
/// If the shared-memory file (`-shm`) cannot be created, no other process has the database open. Then this connection locks the
/// database exclusively until it is closed.
pub(super) fn open_reader_on_full_disk(path: &Path) -> Result<Connection, StoreError> {
    let read = |connection: Connection| version(&connection).map(|_| connection);
    match open_reader(path).and_then(read) {
        Err(rusqlite::Error::SqliteFailure(failure, _)) if cannot_share(failure) => {
            let connection = open_reader(path).map_err(store_error)?;
            let exclusive = "PRAGMA locking_mode = EXCLUSIVE";
            connection.query_row(exclusive, [], |_| Ok(())).map_err(store_error)?;
            read(connection).map_err(store_error)
        }
        opened => opened.map_err(store_error),
    }
}

fn cannot_share(failure: ffi::Error) -> bool {
    let codes = [
        ffi::SQLITE_CANTOPEN,
        ffi::SQLITE_FULL,
        ffi::SQLITE_IOERR_SHMMAP,
        ffi::SQLITE_IOERR_SHMOPEN,
        ffi::SQLITE_IOERR_SHMSIZE,
    ];
    codes.contains(&failure.extended_code)
}

fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_handler(Some(|attempts| {
        thread::sleep(WRITE_PAUSE);
        attempts < WRITE_ATTEMPTS
    }))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;",
    )?;
    Ok(connection)
}

/// Runs the missing migration steps. Does nothing to a newer schema, which the caller has found usable.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    if version(connection).map_err(store_error)? >= known() {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    // Read again under the lock: another process may have migrated the file.
    let done = usable(&transaction)?;
    if done < known() {
        for step in &STEPS[done as usize..] {
            transaction.execute_batch(step).map_err(store_error)?;
        }
        transaction.execute("UPDATE schema SET compatible = ?1", [COMPATIBLE]).map_err(store_error)?;
        transaction.pragma_update(None, "user_version", known()).map_err(store_error)?;
    }
    transaction.commit().map_err(store_error)
}

/// Returns the schema of the file.
///
/// # Errors
/// [`StoreError::SchemaTooNew`] if only newer releases can use it.
pub(super) fn usable(connection: &Connection) -> Result<u32, StoreError> {
    let found = version(connection).map_err(store_error)?;
    if found <= known() {
        return Ok(found);
    }
    let compatible = compatible(connection).map_err(store_error)?.unwrap_or(found);
    if compatible <= known() {
        Ok(found)
    } else {
        Err(StoreError::SchemaTooNew { found, compatible, known: known() })
    }
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Returns the oldest schema whose releases can use the file; `None` if the file does not name it.
fn compatible(connection: &Connection) -> rusqlite::Result<Option<u32>> {
    if !connection.table_exists(None, "schema")? {
        return Ok(None);
    }
    connection.query_row("SELECT compatible FROM schema", [], |row| row.get(0)).optional()
}

/// Fails if a file of the schema `found` has to be migrated.
pub(super) fn refuse_older(found: u32) -> Result<(), StoreError> {
    if found < known() { Err(StoreError::SchemaTooOld { found, known: known() }) } else { Ok(()) }
}

fn known() -> u32 {
    u32::try_from(STEPS.len()).expect("there are few steps")
}

/// Creates the file, accessible by its owner alone, unless it exists. SQLite gives the companion files the same owner and mode.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
