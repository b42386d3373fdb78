//! After a change of a user or an app: which of its live sessions may go on?

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use chatcamp_protocol::{AppId, UserId};
use chatcamp_store::{Change, StoreError};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    directory::standing,
    server::{Shared, unix_now},
    session::Session,
};

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
    users: HashSet<(AppId, UserId)>,
    apps: HashSet<AppId>,
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
pub(crate) async fn run(server: Weak<Shared>) {
    loop {
        let Some(asked) = server.upgrade().map(|shared| shared.reviews_asked()) else { return };
        // Nothing of the server is held while this waits; it notifies once more when it goes.
        asked.notified().await;
        let Some(shared) = server.upgrade() else { return };
        for session in shared.to_review() {
            while let Err(error) = review(&shared, &session).await {
                tracing::warn!(%error, "the store failed a review; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Ends the session unless what vouches for it still does.
pub(crate) async fn review(shared: &Shared, session: &Session) -> Result<(), StoreError> {
    let Some(app) = shared.store.app(&session.app).await? else { return Ok(()) };
    let user = shared.store.user(&session.app, &session.user).await?;
    if let Err(code) = standing(&app, user.as_deref(), session.stamp, session.proven_by, unix_now()) {
        shared.end(session, code, None);
    }
    Ok(())
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
