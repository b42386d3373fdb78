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

/// Users whose sessions wait for a check, at most; with more, all sessions are checked.
const WAITING: usize = 4096;
/// How long to wait before a check that the store failed is tried again.
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
    everybody: bool,
}

impl Revalidation {
    pub(crate) fn new(sessions: Arc<Sessions>, store: Arc<dyn Store>) -> Self {
        Self { sessions, store, waiting: Mutex::default(), requested: Arc::default() }
    }

    /// Requests a check of the sessions that a change concerns; called from the store's threads.
    pub(crate) fn request(&self, change: Change) {
        let mut waiting = self.waiting.lock();
        match change.user {
            Some(user) if waiting.users.len() < WAITING => _ = waiting.users.insert((change.app, user)),
            None if waiting.apps.len() < WAITING => _ = waiting.apps.insert(change.app),
            _ => waiting.everybody = true,
        }
        self.requested.notify_one();
    }

    /// Ends the session unless its credential is still good; where the credential has an end, the session gets it too.
    ///
    /// # Errors
    /// The store's; the session is as it was.
    pub(crate) async fn check(&self, session: &Session) -> Result<(), StoreError> {
        loop {
            let vouched = session.vouched();
            let Some(app) = self.store.app(&session.app).await? else { return Ok(()) };
            let user = self.store.user(&session.app, &session.user).await?;
            // A record read before a refresh says nothing of the credential that came with it.
            let since = session.vouched();
            if (since.stamp, since.proven_by) != (vouched.stamp, vouched.proven_by) {
                continue;
            }
            let now = self.sessions.clock.now();
            match standing(&app, user.as_deref(), vouched.stamp, vouched.proven_by, now) {
                Ok(None) => {}
                Ok(Some(valid_until)) => self.sessions.limit(session, valid_until),
                Err(code) => _ = self.sessions.end_vouched(session, code, vouched.stamp),
            }
            return Ok(());
        }
    }

    /// Carries out requested checks until the revalidation is dropped.
    pub(crate) async fn run(runtime: Arc<dyn Runtime>, this: Weak<Self>) {
        loop {
            let Some(requested) = this.upgrade().map(|this| this.requested.clone()) else { return };
            // Nothing of the server is held while this waits; dropping the revalidation notifies once more.
            requested.notified().await;
            let Some(this) = this.upgrade() else { return };
            let mut failed = Vec::new();
            for session in this.take_requested() {
                match this.check(&session).await {
                    Ok(()) => {}
                    Err(error) if error.is_retryable() => failed.push(session),
                    Err(error) => {
                        tracing::error!(%error, app = %session.app, "a user cannot be read; ending a session");
                        this.sessions.end(&session, Code::StoreUnavailable, None);
                    }
                }
            }
            if !failed.is_empty() {
                tracing::warn!(sessions = failed.len(), "the store failed checks of sessions; trying again");
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
        if waiting.everybody {
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
