//! Checks live sessions again after a change of a user or an app.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use chatcamp_protocol::{AppId, Code, UserId};
use chatcamp_runtime::Runtime;
use chatcamp_store::{Change, Store, StoreError};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::authenticator::standing;
use crate::{session::Session, sessions::Sessions};

/// The maximum number of users whose sessions wait for a check. If there are more, all sessions are checked.
const WAITING: usize = 4096;
/// The wait before a check is retried after the store failed.
const RETRY: Duration = Duration::from_millis(200);

/// Checks live sessions again after a change of their user or app.
#[derive(Debug)]
pub(crate) struct Revalidation {
    sessions: Arc<Sessions>,
    store: Arc<dyn Store>,
    waiting: Mutex<Waiting>,
    requested: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiting {
    users: BTreeSet<(AppId, UserId)>,
    apps: BTreeSet<AppId>,
    all: bool,
}

impl Revalidation {
    pub(crate) fn new(sessions: Arc<Sessions>, store: Arc<dyn Store>) -> Self {
        Self { sessions, store, waiting: Mutex::default(), requested: Arc::default() }
    }

    /// Requests a check of the sessions that a change concerns. The store's threads call it.
    pub(crate) fn request(&self, change: Change) {
        let mut waiting = self.waiting.lock();
        match change.user {
            Some(user) if waiting.users.len() < WAITING => _ = waiting.users.insert((change.app, user)),
            None if waiting.apps.len() < WAITING => _ = waiting.apps.insert(change.app),
            _ => waiting.all = true,
        }
        self.requested.notify_one();
    }

    /// Ends the session if its credential is no longer valid. If the credential expires, sets the session to end then.
    ///
    /// # Errors
    /// The store's; the session is unchanged.
    pub(crate) async fn check(&self, session: &Session) -> Result<(), StoreError> {
        loop {
            let auth = session.auth();
            let Some(app) = self.store.app(&session.app).await? else { return Ok(()) };
            let user = self.store.user(&session.app, &session.user).await?;
            // A record that was read before a refresh says nothing about the new credential.
            let current = session.auth();
            if (current.stamp, current.proven_by) != (auth.stamp, auth.proven_by) {
                continue;
            }
            let now = self.sessions.clock.now();
            match standing(&app, user.as_deref(), auth.stamp, auth.proven_by, now) {
                Ok(None) => {}
                Ok(Some(valid_until)) => self.sessions.limit(session, valid_until),
                Err(code) => _ = self.sessions.end_if_stamp(session, code, auth.stamp),
            }
            return Ok(());
        }
    }

    /// Carries out requested checks until the `Revalidation` is dropped.
    pub(crate) async fn run(runtime: Arc<dyn Runtime>, this: Weak<Self>) {
        loop {
            let Some(requested) = this.upgrade().map(|this| this.requested.clone()) else { return };
            // Waits without a strong reference. Dropping the `Revalidation` notifies once more, so that this task ends.
            requested.notified().await;
            let Some(this) = this.upgrade() else { return };
            let mut failed = Vec::new();
            for session in this.take_requested() {
                match this.check(&session).await {
                    Ok(()) => {}
                    Err(error) if error.is_retryable() => failed.push(session),
                    Err(error) => {
                        tracing::error!(%error, app = %session.app, "cannot read a user; ending its session");
                        this.sessions.end(&session, Code::StoreUnavailable, None);
                    }
                }
            }
            if !failed.is_empty() {
                tracing::warn!(
                    sessions = failed.len(),
                    "the store failed while sessions were checked again; retrying"
                );
                runtime.sleep_until(runtime.now() + RETRY).await;
                for session in failed {
                    this.request(Change { app: session.app.clone(), user: Some(session.user.clone()) });
                }
            }
        }
    }

    fn take_requested(&self) -> Vec<Arc<Session>> {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let registry = &self.sessions.registry;
        if waiting.all {
            return registry.all();
        }
        let mut sessions = Vec::new();
        if !waiting.apps.is_empty() {
            sessions.extend(registry.all().into_iter().filter(|s| waiting.apps.contains(&s.app)));
        }
        for (app, user) in &waiting.users {
            sessions.extend(registry.of_user(app, user));
        }
        sessions
    }
}

impl Drop for Revalidation {
    fn drop(&mut self) {
        self.requested.notify_one();
    }
}
