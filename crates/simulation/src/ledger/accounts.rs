//! When each credential ends.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chatcamp_auth::token::LEEWAY;

use super::Ledger;

/// How long a session may receive messages after its credential ended: the leeway for expiry, the second between two
/// checks of deadlines, and time for a slow store.
pub(super) const BOUND: Duration = LEEWAY.saturating_add(Duration::from_secs(4));

/// The credential that a client presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The user id alone.
    Id,
    /// A token.
    Token(String),
}

/// All users and tokens.
#[derive(Debug, Default)]
pub(super) struct Users {
    pub(super) by_id: BTreeMap<String, User>,
    /// All tokens ever issued, each with its end.
    tokens: BTreeMap<String, Option<Instant>>,
}

#[derive(Debug, Default)]
pub(super) struct User {
    /// When each event was published; the first event has number 1.
    pub(super) published: Vec<Instant>,
    /// The bytes of data in each event.
    pub(super) sizes: Vec<usize>,
    /// When sessions that were opened by user id alone had to end.
    barriers: Vec<Instant>,
    /// Since when the user is suspended.
    pub(super) suspended_since: Option<Instant>,
    /// When the backend last changed the user's credentials.
    pub(super) changed: Option<Instant>,
}

impl User {
    /// Removes recent barriers: the server need not have noticed a change that was undone so soon.
    fn lifted(&mut self, now: Instant) {
        self.barriers.retain(|&barrier| barrier + BOUND < now);
    }
}

impl Users {
    pub(super) fn user(&mut self, user: &str) -> &mut User {
        if !self.by_id.contains_key(user) {
            self.by_id.insert(user.to_owned(), User::default());
        }
        self.by_id.get_mut(user).expect("it was put there")
    }

    /// Returns when a session that began at `at` with this credential ends or ended.
    pub(super) fn void_since(&self, user: &str, proof: &Proof, at: Instant) -> Option<Instant> {
        let user = self.by_id.get(user)?;
        let ended = match proof {
            Proof::Id => user.barriers.iter().copied().filter(|&barrier| barrier > at).min(),
            // An unknown token was never valid.
            Proof::Token(token) => self.tokens.get(token).map_or(Some(at), |end| *end),
        };
        [ended, user.suspended_since].into_iter().flatten().min()
    }
}

impl Ledger {
    /// Records that the backend issued a token. Earlier credentials end after `grace`.
    pub(crate) fn issued(
        &self,
        user: &str,
        token: &str,
        before: Option<&str>,
        end: Option<Instant>,
        grace: Duration,
    ) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        if let Some(earlier) = before.and_then(|before| records.users.tokens.get_mut(before)) {
            *earlier = Some(earlier.map_or(now + grace, |earlier| earlier.min(now + grace)));
        }
        records.users.tokens.insert(token.to_owned(), end);
        let user = records.users.user(user);
        user.barriers.push(now + grace);
        user.changed = Some(now);
    }

    /// Records that the backend revoked all credentials of a user.
    pub(crate) fn revoked(&self, user: &str, tokens: &[String]) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        for token in tokens {
            if let Some(end) = records.users.tokens.get_mut(token) {
                *end = Some(end.map_or(now, |end| end.min(now)));
            }
        }
        let user = records.users.user(user);
        user.barriers.push(now);
        user.changed = Some(now);
    }

    /// Records that the user must present a token from now on, or no longer has to.
    pub(crate) fn locked(&self, user: &str, locked: bool) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let user = records.users.user(user);
        user.changed = Some(now);
        if locked { user.barriers.push(now) } else { user.lifted(now) }
    }

    pub(crate) fn suspended(&self, user: &str, suspended: bool) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let user = records.users.user(user);
        if suspended != user.suspended_since.is_some() {
            user.changed = Some(now);
            user.suspended_since = suspended.then_some(now);
            // All sessions of the user had to end.
            user.barriers.push(now);
            if !suspended {
                user.lifted(now);
            }
        }
    }

    /// Returns the users who have been suspended for so long that they must have no sessions.
    pub(crate) fn suspended_since(&self) -> Vec<String> {
        // The peer of an ending session has some time to complete the close.
        let long = BOUND + chatcamp_protocol::limits::CLOSING;
        let now = self.machine.now();
        let records = self.records.lock();
        let Some(store_since) = records.store_since else { return Vec::new() };
        let is_over = |since: Instant| since.max(store_since) + long < now;
        let users = records.users.by_id.iter();
        users
            .filter(|(_, user)| user.suspended_since.is_some_and(is_over))
            .map(|(id, _)| id.clone())
            .collect()
    }
}
