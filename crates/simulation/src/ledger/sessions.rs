//! Sessions by their keys: which keys were replaced, how many sessions a user may have, what the server may evict.

use std::{collections::BTreeMap, time::Instant};

use chatcamp_auth::session_key::Claims;
use chatcamp_server::Load;
use chatcamp_store::SessionPolicy;

use super::{Invariant, Ledger, Proof, Records};
use crate::keys::claims_of;

/// Names a session: the server process and the number within it.
pub(crate) type SessionNumber = (u64, u64);

/// Returns the session that a key names.
pub(crate) fn session_of(claims: &Claims) -> SessionNumber {
    (claims.incarnation, claims.session)
}

/// The sessions by their keys, and the limits of the server.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_number: BTreeMap<SessionNumber, Session>,
    bounds: Option<Bounds>,
    /// When the number of detached sessions was last at the limit.
    full: Option<Instant>,
}

#[derive(Debug)]
struct Session {
    /// How many sessions there were before. Their numbers are random, so their order is not the seed's.
    before: usize,
    user: String,
    is_native: bool,
    /// The proof with which it was opened.
    proof: Option<Proof>,
    /// The connection that was accepted last.
    wire: u64,
    /// The newest key and the highest serial for which a request proves that its client has it.
    key: String,
    /// Older keys, with their serials.
    older: Vec<(u32, String)>,
    issued: u32,
    oldest: u32,
    sent: u64,
    heard: u64,
}

/// The configured limits of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) sessions: SessionPolicy,
    pub(crate) detached: usize,
    pub(crate) detached_per_user: usize,
    pub(crate) queued_bytes: usize,
}

impl Bounds {
    /// Returns how many live sessions a user may have.
    pub(crate) fn most_live(&self) -> usize {
        match self.sessions {
            SessionPolicy::Unlimited => usize::MAX,
            SessionPolicy::RejectNew(most) | SessionPolicy::EvictOldest(most) => most.into(),
        }
    }
}

/// A key to present without having a right to it, and the numbers that belong to it.
#[derive(Debug, Clone)]
pub(crate) struct StolenKey {
    pub(crate) user: String,
    pub(crate) key: String,
    pub(crate) seen: u64,
    pub(crate) sent: u64,
}

impl Ledger {
    /// Sets the limits of the server.
    pub(crate) fn set_bounds(&self, bounds: Bounds) {
        self.records.lock().sessions.bounds = Some(bounds);
    }

    /// Returns how many live sessions a user may have.
    pub(crate) fn most_live(&self) -> usize {
        self.records.lock().sessions.bounds.map_or(usize::MAX, |bounds| bounds.most_live())
    }

    /// Checks the server's current load against its limits.
    pub(crate) fn observe(&self, load: Load) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let Some(bounds) = records.sessions.bounds else { return };
        if load.detached >= bounds.detached {
            records.sessions.full = Some(now);
        }
        if load.detached > bounds.detached {
            records.violate(
                Invariant::LimitsKept,
                format_args!("{} sessions are detached; {} may be", load.detached, bounds.detached),
            );
        }
    }

    /// Checks how many live sessions a user has.
    pub(crate) fn observe_live(&self, user: &str, live: usize) {
        let mut records = self.records.lock();
        let most = records.sessions.bounds.map_or(usize::MAX, |bounds| bounds.most_live());
        if live > most {
            records.violate(
                Invariant::LimitsKept,
                format_args!("{user} has {live} live sessions; the app allows {most}"),
            );
        }
    }

    /// Returns keys of native sessions that newer keys have certainly replaced.
    pub(crate) fn replaced_keys(&self) -> Vec<StolenKey> {
        let records = self.records.lock();
        let sessions = records.sessions.native();
        let stolen = |session: &Session| {
            let (_, key) = session.older.iter().rev().find(|(serial, _)| *serial < session.oldest)?;
            Some(session.stolen(key))
        };
        sessions.into_iter().filter_map(stolen).collect()
    }

    /// Returns the newest key of every native session.
    pub(crate) fn newest_keys(&self) -> Vec<StolenKey> {
        let records = self.records.lock();
        let sessions = records.sessions.native();
        sessions.into_iter().map(|session| session.stolen(&session.key)).collect()
    }

    /// Returns the newest key of the session that `key` names.
    pub(crate) fn newest_key_for(&self, key: &str) -> Option<String> {
        let number = session_of(&claims_of(key)?);
        Some(self.records.lock().sessions.by_number.get(&number)?.key.clone())
    }
}

impl Session {
    fn stolen(&self, key: &str) -> StolenKey {
        StolenKey { user: self.user.clone(), key: key.to_owned(), seen: self.sent, sent: self.heard }
    }
}

impl Sessions {
    pub(super) fn bounds(&self) -> Option<Bounds> {
        self.bounds
    }

    /// Returns the native sessions in the order in which they began.
    fn native(&self) -> Vec<&Session> {
        let mut sessions: Vec<_> = self.by_number.values().filter(|session| session.is_native).collect();
        sessions.sort_unstable_by_key(|session| session.before);
        sessions
    }

    /// Returns the number of the last message that the network has taken from a session.
    pub(super) fn last_sent(&self, session: SessionNumber) -> Option<u64> {
        Some(self.by_number.get(&session)?.sent)
    }

    /// Records that the server sent a key on a connection.
    pub(super) fn key_given(&mut self, wire: u64, key: &str, proof: Option<Proof>) {
        let Some(claims) = claims_of(key) else { return };
        let before = self.by_number.len();
        let session = self.by_number.entry(session_of(&claims)).or_insert_with(|| Session {
            before,
            user: claims.user.as_str().to_owned(),
            is_native: claims.is_native,
            proof: None,
            wire,
            key: String::new(),
            older: Vec::new(),
            issued: 0,
            oldest: claims.serial,
            sent: 0,
            heard: 0,
        });
        let replaced = std::mem::replace(&mut session.key, key.to_owned());
        if !replaced.is_empty() {
            session.older.push((session.issued, replaced));
        }
        (session.wire, session.issued, session.proof) = (wire, claims.serial, proof);
    }

    /// Returns the proof with which the session of a key was opened.
    pub(super) fn proof_of(&self, key: &str) -> Option<Proof> {
        self.by_number.get(&session_of(&claims_of(key)?))?.proof.clone()
    }

    /// Records that the server read a request. If it arrived over the newest connection, its client has the newest key.
    pub(super) fn request_heard(&mut self, wire: u64, session: SessionNumber, number: u64) {
        if let Some(session) = self.by_number.get_mut(&session).filter(|session| session.wire == wire) {
            session.oldest = session.issued;
            session.heard = session.heard.max(number);
        }
    }

    pub(super) fn sent(&mut self, session: SessionNumber, number: u64) {
        if let Some(session) = self.by_number.get_mut(&session) {
            session.sent = session.sent.max(number);
        }
    }
}

impl Records {
    /// Returns whether the server may have had to evict a session of the user that was last heard at `since`.
    pub(super) fn may_be_evicted(&self, user: &str, since: Instant) -> bool {
        let Some(bounds) = self.sessions.bounds else { return false };
        let of_user = self.sessions.by_number.values().filter(|session| session.user == user).count();
        let has_exceeded = self.clients.iter().any(|one| one.user == user && one.holding.has_exceeded());
        self.sessions.full.is_some_and(|full| full >= since)
            || of_user > bounds.detached_per_user
            || has_exceeded
    }

    /// Checks that the app's policy allows this end.
    pub(super) fn check_limit_code(&mut self, client: usize, code: &str) {
        let Some(bounds) = self.sessions.bounds else { return };
        let is_explained = match code {
            "SESSION_LIMIT" => matches!(bounds.sessions, SessionPolicy::RejectNew(_)),
            "SESSION_EVICTED" => matches!(bounds.sessions, SessionPolicy::EvictOldest(_)),
            _ => true,
        };
        if !is_explained {
            self.violate(
                Invariant::LimitsKept,
                format_args!("client {client} is told {code} under {}", bounds.sessions),
            );
        }
    }
}
