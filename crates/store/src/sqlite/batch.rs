//! One transaction of the writer, which contains all queued writes.

use std::collections::HashMap;

use chatcamp_protocol::{AppId, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::Change;

/// How many rows of the table of changes are kept for other processes.
const CHANGES_KEPT: i64 = 10_000;

/// A transaction in progress.
///
/// A job writes with one statement, or with statements that may be repeated. A failed job therefore leaves nothing behind, and the others
/// continue. Counts and changes are written once, at the end.
pub(super) struct Batch<'c> {
    pub(super) connection: &'c Connection,
    apps: HashMap<AppId, Counted>,
    effects: Vec<Effect>,
}

/// An effect of a job on caches and listeners, applied after the commit.
#[derive(Debug)]
pub(super) enum Effect {
    /// A record was edited or deleted.
    Changed(Change),
    /// An app was created. Before, its id may have found an older app whose id JavaScript rounds to it.
    AppCreated(AppId),
    /// A user was seen at this time.
    Seen(AppId, UserId, u64),
}

/// An app and its number of users in the transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) key: i64,
    pub(super) users: u64,
    pub(super) max_users: u64,
    stored: u64,
}

impl<'c> Batch<'c> {
    pub(super) fn begin(connection: &'c Connection) -> rusqlite::Result<Self> {
        // Cached rather than rusqlite's own transaction, which would prepare its statements every time.
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { connection, apps: HashMap::new(), effects: Vec::new() })
    }

    /// Finds an app by its exact id.
    pub(super) fn app(&mut self, id: &AppId) -> rusqlite::Result<Option<Counted>> {
        if let Some(app) = self.apps.get(id) {
            return Ok(Some(*app));
        }
        let found = self
            .connection
            .prepare_cached("SELECT key, users, max_users FROM apps WHERE id = ?1")?
            .query_row([id.as_str()], |row| {
                let users = row.get::<_, i64>(1)?.cast_unsigned();
                let max_users = row.get::<_, i64>(2)?.cast_unsigned();
                Ok(Counted { key: row.get(0)?, users, max_users, stored: users })
            })
            .optional()?;
        if let Some(app) = found {
            self.apps.insert(id.clone(), app);
        }
        Ok(found)
    }

    /// Adds to the number of users.
    pub(super) fn count(&mut self, app: &AppId, difference: i64) {
        if let Some(app) = self.apps.get_mut(app) {
            app.users = app.users.saturating_add_signed(difference);
        }
    }

    /// Sets the limit of users after an edit.
    pub(super) fn limit(&mut self, app: &AppId, max_users: u64) {
        if let Some(app) = self.apps.get_mut(app) {
            app.max_users = max_users;
        }
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Writes counts and changes, and commits; returns the effects to apply.
    pub(super) fn commit(self, instance: i64) -> rusqlite::Result<Vec<Effect>> {
        for app in self.apps.values().filter(|app| app.users != app.stored) {
            self.connection
                .prepare_cached("UPDATE apps SET users = ?2 WHERE key = ?1")?
                .execute(params![app.key, app.users.cast_signed()])?;
        }
        self.write_changes(instance)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(self.effects)
    }

    fn write_changes(&self, instance: i64) -> rusqlite::Result<()> {
        let mut last = None;
        for effect in &self.effects {
            let (app, user) = match effect {
                Effect::Changed(change) => (&change.app, change.user.as_ref()),
                Effect::AppCreated(app) => (app, None),
                Effect::Seen(..) => continue,
            };
            self.connection
                .prepare_cached("INSERT INTO changes(writer, tag, app, user) VALUES (?1, random(), ?2, ?3)")?
                .execute(params![instance, app.as_str(), user.map(UserId::as_str)])?;
            last = Some(self.connection.last_insert_rowid());
        }
        if let Some(last) = last {
            self.connection
                .prepare_cached("DELETE FROM changes WHERE seq <= ?1")?
                .execute([last - CHANGES_KEPT])?;
        }
        Ok(())
    }
}
