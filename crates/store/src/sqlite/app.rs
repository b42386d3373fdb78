//! Apps: calls, writes, rows.

use std::sync::Arc;

use async_trait::async_trait;
use chatcamp_protocol::{AppId, OriginPattern, OriginPolicy};
use rusqlite::{Connection, Error, OptionalExtension, Result as SqlResult, Row, params, types::Type};

use super::{
    Store,
    batch::{Batch, Effect},
    columns::{app_id, number},
    fault::Fault,
    writer::run_edit,
};
use crate::{
    App, AppEdit, AppStore, AuthPolicy, Change, Edited, SessionPolicy, StoreError, nul, rounding::rounded,
};

/// The columns of an app, in the order in which [`read_app`] reads them.
macro_rules! select_app {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, auth, directory, max_users, sessions, origins, require_origin, created_at, rev FROM apps ",
            $rest
        )
    };
}

#[async_trait]
impl AppStore for Store {
    async fn create_app(&self, app: App) -> Result<bool, StoreError> {
        self.submit(move |batch| create_app(batch, &app)).await
    }

    async fn app(&self, id: &AppId) -> Result<Option<Arc<App>>, StoreError> {
        if let Some(app) = self.shared.apps.get(id) {
            return Ok(Some(app));
        }
        let ticket = self.shared.apps.ticket(id);
        let found = {
            let id = id.clone();
            self.readers.read_short(move |connection| app(connection, &id)).await?
        };
        let Some(app) = found else { return Ok(None) };
        let app = Arc::new(app);
        self.shared.apps.insert(ticket, id.clone(), app.clone());
        Ok(Some(app))
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        self.readers.read_long(apps).await
    }

    async fn edit_app(&self, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, StoreError> {
        let id = id.clone();
        self.submit(move |batch| edit_app(batch, &id, edit)).await
    }
}

fn create_app(batch: &mut Batch<'_>, app: &App) -> Result<bool, Fault> {
    nul::check_app(app)?;
    let is_new = insert_app(batch.connection, app)?;
    if is_new {
        batch.effect(Effect::AppCreated(app.id.clone()));
    }
    Ok(is_new)
}

fn edit_app(batch: &mut Batch<'_>, id: &AppId, edit: AppEdit) -> Result<Option<Arc<App>>, Fault> {
    let Some(app) = app_exactly(batch.connection, id)? else { return Ok(None) };
    let mut edited = app.clone();
    if run_edit(edit, &mut edited)? == Edited::Keep {
        return Ok(Some(Arc::new(app)));
    }
    nul::check_edited_app(&app, &edited)?;
    let edited = App { id: app.id, created_at: app.created_at, rev: app.rev + 1, ..edited };
    update_app(batch.connection, &edited)?;
    batch.limit(id, edited.max_users);
    batch.effect(Effect::Changed(Change { app: id.clone(), user: None }));
    Ok(Some(Arc::new(edited)))
}

fn app(connection: &Connection, id: &AppId) -> SqlResult<Option<App>> {
    let exact = app_exactly(connection, id)?;
    if exact.is_some() {
        return Ok(exact);
    }
    connection
        .prepare_cached(select_app!("WHERE rounded = ?1 ORDER BY key LIMIT 1"))?
        .query_row([id.as_str()], read_app)
        .optional()
}

fn app_exactly(connection: &Connection, id: &AppId) -> SqlResult<Option<App>> {
    connection.prepare_cached(select_app!("WHERE id = ?1"))?.query_row([id.as_str()], read_app).optional()
}

pub(super) fn apps(connection: &Connection) -> SqlResult<Vec<Arc<App>>> {
    let mut statement = connection.prepare_cached(select_app!("ORDER BY key"))?;
    statement.query_map([], |row| read_app(row).map(Arc::new))?.collect()
}

/// Inserts an app; returns `false` if its id is taken.
fn insert_app(connection: &Connection, app: &App) -> SqlResult<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO apps(id, rounded, name, auth, directory, max_users, sessions, origins, require_origin, \
             created_at, rev) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            app.id.as_str(),
            rounded(&app.id).as_ref().map(AppId::as_str),
            app.name,
            app.auth == AuthPolicy::Token,
            app.directory,
            app.max_users.cast_signed(),
            app.sessions.to_string(),
            origins_text(&app.origins),
            app.origins.is_required(),
            app.created_at.cast_signed(),
        ])?;
    Ok(inserted == 1)
}

/// Updates the fields of an app that can change.
fn update_app(connection: &Connection, app: &App) -> SqlResult<()> {
    connection
        .prepare_cached(
            "UPDATE apps SET name = ?2, auth = ?3, directory = ?4, max_users = ?5, sessions = ?6, origins = ?7, \
             require_origin = ?8, rev = ?9 WHERE id = ?1",
        )?
        .execute(params![
            app.id.as_str(),
            app.name,
            app.auth == AuthPolicy::Token,
            app.directory,
            app.max_users.cast_signed(),
            app.sessions.to_string(),
            origins_text(&app.origins),
            app.origins.is_required(),
            app.rev.cast_signed(),
        ])?;
    Ok(())
}

fn read_app(row: &Row<'_>) -> SqlResult<App> {
    Ok(App {
        id: app_id(row, 0)?,
        name: row.get(1)?,
        auth: if row.get(2)? { AuthPolicy::Token } else { AuthPolicy::Open },
        directory: row.get(3)?,
        max_users: number(row, 4)?,
        sessions: session_policy(row, 5)?,
        origins: origin_policy(row, 6)?,
        created_at: number(row, 8)?,
        rev: number(row, 9)?,
    })
}

fn session_policy(row: &Row<'_>, column: usize) -> SqlResult<SessionPolicy> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error| unreadable(column, error))
}

/// Writes the origins that an app accepts, one a line.
fn origins_text(policy: &OriginPolicy) -> String {
    policy.patterns().iter().map(OriginPattern::as_str).collect::<Vec<_>>().join("\n")
}

/// Reads the origins from a column and whether one is required from the next.
fn origin_policy(row: &Row<'_>, column: usize) -> SqlResult<OriginPolicy> {
    let text: String = row.get(column)?;
    let patterns: Result<Vec<OriginPattern>, _> = text.lines().map(str::parse).collect();
    let patterns = patterns.map_err(|error| unreadable(column, error))?;
    OriginPolicy::new(patterns, row.get(column + 1)?).map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
