//! After a change of a user or an app: which of its live sessions may go on?

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use chatcamp_protocol::{AppId, Code, UserId};
use chatcamp_runtime::Runtime;
use chatcamp_store::{Change, StoreError};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{directory::standing, server::Shared, session::Session};

/// Users with a review outstanding, at most; with more, everybody is reviewed.
const WAITING: usize = 4096;
/// How long to wait before a review that the store failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Reviews asked for and not yet done.
#[derive(Debug, Default)]
pub(crate) struct Reviews {
    waiting: Mutex<Waiting>,
    asked: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiting {
    users: BTreeSet<(AppId, UserId)>,
    apps: BTreeSet<AppId>,
    everybody: bool,
}

impl Reviews {
    /// Asks for a review; called from the store's threads.
    pub(crate) fn request(&self, change: Change) {
        let mut waiting = self.waiting.lock();
        match change.user {
            Some(user) if waiting.users.len() < WAITING => _ = waiting.users.insert((change.app, user)),
            None if waiting.apps.len() < WAITING => _ = waiting.apps.insert(change.app),
            _ => waiting.everybody = true,
        }
        self.asked.notify_one();
    }
}

/// Does the reviews, for as long as there is a server.
pub(crate) async fn run(runtime: Arc<dyn Runtime>, server: Weak<Shared>) {
    loop {
        let Some(asked) = server.upgrade().map(|shared| shared.reviews_asked()) else { return };
        // Nothing of the server is held while this waits; it notifies once more when it goes.
        asked.notified().await;
        let Some(shared) = server.upgrade() else { return };
        let mut failed = Vec::new();
        for session in shared.to_review() {
            match review(&shared, &session).await {
                Ok(()) => {}
                Err(error) if error.is_retryable() => failed.push(session),
                Err(error) => {
                    tracing::error!(%error, app = %session.app, "a user cannot be read; ending a session");
                    shared.end(&session, Code::StoreUnavailable, None);
                }
            }
        }
        if !failed.is_empty() {
            tracing::warn!(sessions = failed.len(), "the store failed reviews; trying again");
            runtime.sleep_until(runtime.now() + RETRY).await;
            for session in failed {
                let (app, user) = (session.app.clone(), Some(session.user.clone()));
                shared.reviews.request(Change { app, user });
            }
        }
    }
}

/// Ends the session unless what vouches for it still does; where that has an end, the session has it too.
pub(crate) async fn review(shared: &Shared, session: &Session) -> Result<(), StoreError> {
    loop {
        let vouched = session.vouched();
        let Some(app) = shared.store.app(&session.app).await? else { return Ok(()) };
        let user = shared.store.user(&session.app, &session.user).await?;
        // A record read before a refresh says nothing of the credential that came with it.
        let since = session.vouched();
        if (since.stamp, since.proven_by) != (vouched.stamp, vouched.proven_by) {
            continue;
        }
        match standing(&app, user.as_deref(), vouched.stamp, vouched.proven_by, shared.clock.now()) {
            Ok(None) => {}
            Ok(Some(valid_until)) => shared.limit(session, valid_until),
            Err(code) => _ = shared.end_vouched(session, code, vouched.stamp),
        }
        return Ok(());
    }
}

impl Drop for Reviews {
    fn drop(&mut self) {
        self.asked.notify_one();
    }
}

impl Shared {
    fn reviews_asked(&self) -> Arc<Notify> {
        self.reviews.asked.clone()
    }

    fn to_review(&self) -> Vec<Arc<Session>> {
        let waiting = std::mem::take(&mut *self.reviews.waiting.lock());
        if waiting.everybody {
            return self.registry.all();
        }
        let mut sessions = match waiting.apps.is_empty() {
            true => Vec::new(),
            false => self.registry.all().into_iter().filter(|s| waiting.apps.contains(&s.app)).collect(),
        };
        for (app, user) in &waiting.users {
            sessions.extend(self.registry.of_user(app, user));
        }
        sessions
    }
}
