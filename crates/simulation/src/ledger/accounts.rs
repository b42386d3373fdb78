//! Until when each credential is good.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chatcamp_auth::token::LEEWAY;

use super::Ledger;

/// How long after a credential has ended its session may still hear something: the leeway for expiries, the second in
/// which the server looks at deadlines, and time for a store that is slow.
pub(super) const BOUND: Duration = LEEWAY.saturating_add(Duration::from_secs(4));

/// What a client presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its user id alone.
    Id,
    /// This token.
    Token(String),
}

/// What is known of users and tokens.
#[derive(Debug, Default)]
pub(super) struct Users {
    pub(super) by_id: BTreeMap<String, User>,
    /// Every token there was, with its end.
    tokens: BTreeMap<String, Option<Instant>>,
}

#[derive(Debug, Default)]
pub(super) struct User {
    /// When each event was published: the first has number 1.
    pub(super) published: Vec<Instant>,
    /// When sessions opened by user id alone had to end.
    barriers: Vec<Instant>,
    /// Since when nobody may be connected as this user.
    pub(super) shut_out: Option<Instant>,
    /// When the backend last changed what credentials are good.
    pub(super) changed: Option<Instant>,
}

impl User {
    /// What shut the user's sessions out is undone: where that was so short that nobody need have looked, they may live on.
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

    /// Since when, or from when on, a session that began with this proof at `at` is none any more.
    pub(super) fn void_since(&self, user: &str, proof: &Proof, at: Instant) -> Option<Instant> {
        let user = self.by_id.get(user)?;
        let ended = match proof {
            Proof::Id => user.barriers.iter().copied().filter(|&barrier| barrier > at).min(),
            // A token nobody issued was never good.
            Proof::Token(token) => self.tokens.get(token).map_or(Some(at), |end| *end),
        };
        [ended, user.shut_out].into_iter().flatten().min()
    }
}

impl Ledger {
    /// The backend has issued a token; what was good before ends after `grace`.
    pub(crate) fn issued(
        &self,
        user: &str,
        token: &str,
        before: Option<&str>,
        end: Option<Instant>,
        grace: Duration,
    ) {
        let now = self.machine.now();
        let mut book = self.book.lock();
        if let Some(earlier) = before.and_then(|before| book.users.tokens.get_mut(before)) {
            *earlier = Some(earlier.map_or(now + grace, |earlier| earlier.min(now + grace)));
        }
        book.users.tokens.insert(token.to_owned(), end);
        let user = book.users.user(user);
        user.barriers.push(now + grace);
        user.changed = Some(now);
    }

    /// The backend has revoked what there was.
    pub(crate) fn revoked(&self, user: &str, tokens: &[String]) {
        let now = self.machine.now();
        let mut book = self.book.lock();
        for token in tokens {
            if let Some(end) = book.users.tokens.get_mut(token) {
                *end = Some(end.map_or(now, |end| end.min(now)));
            }
        }
        let user = book.users.user(user);
        user.barriers.push(now);
        user.changed = Some(now);
    }

    /// The user must present a token from now on, or need not any more.
    pub(crate) fn locked(&self, user: &str, locked: bool) {
        let now = self.machine.now();
        let mut book = self.book.lock();
        let user = book.users.user(user);
        user.changed = Some(now);
        match locked {
            true => user.barriers.push(now),
            false => user.lifted(now),
        }
    }

    pub(crate) fn suspended(&self, user: &str, suspended: bool) {
        let now = self.machine.now();
        let mut book = self.book.lock();
        let user = book.users.user(user);
        if suspended != user.shut_out.is_some() {
            user.changed = Some(now);
            user.shut_out = suspended.then_some(now);
            // Whoever was there has to come again.
            user.barriers.push(now);
            if !suspended {
                user.lifted(now);
            }
        }
    }

    /// Users who have been shut out for so long that nothing of theirs may be left.
    pub(crate) fn shut_out(&self) -> Vec<String> {
        // The peer of a session that ends has its time to agree.
        let long = BOUND + chatcamp_protocol::limits::CLOSING;
        let now = self.machine.now();
        let book = self.book.lock();
        let Some(store_since) = book.store_since else { return Vec::new() };
        let is_over = |since: Instant| since.max(store_since) + long < now;
        let users = book.users.by_id.iter();
        users.filter(|(_, user)| user.shut_out.is_some_and(is_over)).map(|(id, _)| id.clone()).collect()
    }
}
