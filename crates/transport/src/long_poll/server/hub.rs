//! The table of connections, by id.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    Answer, Held, Limits, Opens, Reply, Request,
    carrier::Carrier,
    line::{Clock, Line, Look, Side, Times},
};
use crate::{
    Close, Closed, Connection, Message,
    long_poll::{
        Method, NAME,
        body::{self, BadBody, Posted},
    },
};

/// Longest id, in bytes.
const ID_LIMIT: usize = 128;
/// The number of connections that are checked before the lock of the table is released.
const LOOKS_AT_ONCE: usize = 1024;
/// A table with a capacity up to this many entries is not shrunk.
const KEPT_CAPACITY: usize = 1024;

/// Turns requests into answers, and the first request with an id into a [`Connection`].
///
/// Has no timer: call [`expire`](Self::expire) about once a second.
///
/// | request | answer |
/// |---|---|
/// | id missing, longer than 128 bytes, or not visible ASCII | 400 |
/// | id known, another target | 403; the connection is unaffected |
/// | id unknown, GET with [`Opens::Get`] or POST with [`Opens::Post`] | opens a connection |
/// | id unknown, any other | 410 |
/// | GET | 200, array of strings; `[]` after the hold time, or when a newer GET came |
/// | POST with a body that does not have the form given by [`Opens`] | 400, or 413 if a message is too large |
/// | POST while an earlier POST waits for room | 503 |
/// | POST | 200, `[]`, when there is room for more messages |
/// | after the end of the connection and its last messages | 403 with `{"close":{"code":N,"reason":"…"}}` |
pub struct Hub {
    shared: Arc<Shared>,
}

impl Hub {
    /// Creates an empty table.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let times =
            Times { hold: millis(limits.hold), opening: millis(limits.opening), gap: millis(limits.gap) };
        let (began, clock, table) = (OnceLock::new(), Arc::default(), Mutex::default());
        let shared = Shared { limits, times, began, clock, table };
        Self { shared: Arc::new(shared) }
    }

    /// Answers a request, now or later.
    pub fn request(&self, request: Request<'_>) -> Reply {
        let Some(key) = key_of(request.id) else { return Reply::Now(Answer::BAD_ID) };
        let target = digest(request.target);
        let table = self.shared.table();
        let Some(entry) = table.entries.get(&key) else {
            drop(table);
            return self.unknown(key, target, request);
        };
        if !bool::from(entry.target.ct_eq(&target)) {
            return Reply::Now(Answer::FORBIDDEN);
        }
        let line = Arc::clone(&entry.line);
        drop(table);
        match request.method {
            Method::Get => line.get(),
            Method::Post => self.post(key, &line, &request),
        }
    }

    /// Returns the largest message that is accepted from the connection with this id, in bytes: [`Limits::message`] unless it
    /// is live and its driver has set another limit.
    #[must_use]
    pub fn message_limit(&self, id: &str) -> usize {
        let table = self.shared.table();
        let entry = key_of(id).and_then(|key| table.entries.get(&key));
        let live = entry.filter(|entry| !entry.line.is_ended());
        live.map_or(self.shared.limits.message, |entry| entry.line.message_limit())
    }

    /// Releases held GETs, ends connections whose peer has gone, and forgets ended ids, each when it is due by `now`.
    ///
    /// Time counts from the first call; between two calls it stands still.
    pub fn expire(&self, now: Instant) {
        let began = *self.shared.began.get_or_init(|| now);
        let now = millis(now.saturating_duration_since(began));
        self.shared.clock.advance(now);
        while self.shared.expire_some(now) {}
    }

    /// Returns the number of ids in the table: those of live connections, and ended ones that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.table().entries.len()
    }

    /// Returns whether the table is empty, so that no connection uses memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn unknown(&self, key: Key, target: Fingerprint, request: Request<'_>) -> Reply {
        let messages = match (request.method, request.opens) {
            (Method::Get, Opens::Get) => Vec::new(),
            (Method::Post, Opens::Post) => match body::posted(&request.body, self.shared.limits.message) {
                Ok(Posted::Messages(messages)) => messages,
                Ok(Posted::Close(_)) => return Reply::Now(Answer::GONE),
                Err(bad) => return Reply::Now(bad.into()),
            },
            _ => return Reply::Now(Answer::GONE),
        };
        self.open(key, target, messages, request)
    }

    fn open(&self, key: Key, target: Fingerprint, messages: Vec<Message>, request: Request<'_>) -> Reply {
        let mut table = self.shared.table();
        if table.entries.contains_key(&key) {
            // A concurrent request with the same id opened the connection first.
            drop(table);
            return self.request(request);
        }
        if table.due.len() >= self.shared.limits.connections {
            return Reply::Now(Answer::BUSY);
        }
        let now = self.shared.clock.now();
        let opened_by_post = request.opens == Opens::Post;
        let (clock, limit) = (Arc::clone(&self.shared.clock), self.shared.limits.message);
        let (line, ticket) = Line::opened(clock, messages, opened_by_post, limit);
        let look_at = now + self.shared.shortest().min(self.shared.times.opening);
        table.due.insert((look_at, key));
        table.entries.insert(key, Entry { target, look_at, line: Arc::clone(&line) });
        drop(table);
        let carrier = Carrier::new(Arc::clone(&self.shared), key, Arc::clone(&line));
        let mut info = request.info;
        info.transport = NAME;
        Reply::Opened(Connection::new(carrier, info), Held::get(line, ticket))
    }

    fn post(&self, key: Key, line: &Arc<Line>, request: &Request<'_>) -> Reply {
        if let Some(refusal) = line.arrived() {
            return Reply::Now(refusal);
        }
        let limit = line.message_limit();
        let posted = match request.opens {
            Opens::Get => body::envelope(&request.body, limit).map(|message| Posted::Messages(vec![message])),
            Opens::Post => body::posted(&request.body, limit),
        };
        match (posted, request.opens) {
            (Ok(Posted::Messages(messages)), _) => line.post(messages),
            (Ok(Posted::Close(close)), _) => {
                self.shared.end(key, line, Closed::ByPeer(close), Side::Peer);
                Reply::Now(Answer::NOTHING)
            }
            (Err(BadBody::TooLarge), Opens::Post) => {
                let how = Closed::Violated(Close::new(1009, "message too large"));
                self.shared.end(key, line, how, Side::Peer);
                Reply::Now(line.refusal().unwrap_or(Answer::TOO_LARGE))
            }
            (Err(bad), _) => Reply::Now(bad.into()),
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl From<BadBody> for Answer {
    fn from(bad: BadBody) -> Self {
        match bad {
            BadBody::Malformed => Self::BAD_BODY,
            BadBody::TooLarge => Self::TOO_LARGE,
        }
    }
}

/// The first half of a SHA-256. That of an id finds the entry; that of a target proves that a request belongs to the entry.
type Fingerprint = [u8; 16];
pub(super) type Key = Fingerprint;

fn key_of(id: &str) -> Option<Key> {
    let is_valid = (1..=ID_LIMIT).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_valid.then(|| digest(id))
}

fn digest(text: &str) -> Fingerprint {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(text)[..16]);
    half
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The state that the hub and its carriers share. Lock order: the table, then a line.
pub(super) struct Shared {
    limits: Limits,
    times: Times,
    began: OnceLock<Instant>,
    clock: Arc<Clock>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    entries: HashMap<Key, Entry>,
    /// The time of the next check of each live connection; exactly one item for each.
    due: BTreeSet<(u64, Key)>,
    /// Ended ids, oldest first.
    remembered: VecDeque<Remembered>,
    leftover_bytes: usize,
}

struct Entry {
    target: Fingerprint,
    look_at: u64,
    line: Arc<Line>,
}

struct Remembered {
    until: u64,
    key: Key,
    bytes: usize,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the longest interval between two checks that misses no deadline: nothing that begins after a check is due earlier.
    ///
    /// The opening hold begins with the connection, so it matters for the first check only.
    fn shortest(&self) -> u64 {
        self.times.hold.min(self.times.gap)
    }

    /// Ends a connection, unless it has ended, and remembers its id.
    pub(super) fn end(&self, key: Key, line: &Line, how: Closed, by: Side) {
        let Some((leftover, wakers)) = line.end(how, by) else { return };
        self.table().retire(&self.limits, key, leftover, self.clock.now());
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Checks some of the connections that are due, so that requests need not wait for all. Returns whether more are due.
    fn expire_some(&self, now: u64) -> bool {
        let mut wakers = Vec::new();
        let latest = now + self.shortest();
        let mut table = self.table();
        let mut looks = LOOKS_AT_ONCE;
        while let Some((_, key)) = table.due.first().copied().filter(|(at, _)| *at <= now && looks > 0) {
            looks -= 1;
            table.due.pop_first();
            let Some(entry) = table.entries.get_mut(&key) else { continue };
            let next = match entry.line.look(now, &self.times) {
                Look::Again { at, waker } => {
                    wakers.extend(waker);
                    at
                }
                Look::Lost => {
                    let how = Closed::Lost("the peer stopped polling".into());
                    if let Some((leftover, woken)) = entry.line.end(how, Side::Peer) {
                        wakers.extend(woken.into_iter().flatten());
                        table.retire(&self.limits, key, leftover, now);
                    }
                    continue;
                }
                // The caller that ended it is about to call `retire`.
                Look::Ended => continue,
            };
            entry.look_at = next.clamp(now + 1, latest.max(now + 1));
            let look_at = entry.look_at;
            table.due.insert((look_at, key));
        }
        while table.remembered.front().is_some_and(|oldest| oldest.until <= now) {
            table.forget_oldest();
        }
        table.shrink();
        drop(table);
        wakers.into_iter().for_each(Waker::wake);
        looks == 0
    }
}

impl Table {
    /// Moves a connection that has just ended to the remembered ones.
    fn retire(&mut self, limits: &Limits, key: Key, bytes: usize, now: u64) {
        if let Some(entry) = self.entries.get(&key) {
            self.due.remove(&(entry.look_at, key));
        }
        self.remembered.push_back(Remembered { until: now + millis(limits.remember), key, bytes });
        self.leftover_bytes += bytes;
        while self.remembered.len() > limits.remembered {
            self.forget_oldest();
        }
        while self.leftover_bytes > limits.leftover_bytes {
            self.forget_largest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.remembered.pop_front();
        self.forget(oldest);
    }

    /// Forgets the id with the most undelivered bytes, so that ids with few keep their last messages. Of equal ids, forgets the oldest.
    fn forget_largest(&mut self) {
        let by_bytes = self.remembered.iter().enumerate().rev().max_by_key(|(_, it)| it.bytes);
        let largest = by_bytes.map(|(n, _)| n).and_then(|n| self.remembered.remove(n));
        self.forget(largest);
    }

    fn forget(&mut self, ended: Option<Remembered>) {
        if let Some(ended) = ended {
            self.leftover_bytes -= ended.bytes;
            self.entries.remove(&ended.key);
        }
    }

    /// Frees memory after many connections have ended.
    fn shrink(&mut self) {
        let (entries, remembered) = (self.entries.len(), self.remembered.len());
        if self.entries.capacity() > KEPT_CAPACITY.max(4 * entries) {
            self.entries.shrink_to(2 * entries);
        }
        if self.remembered.capacity() > KEPT_CAPACITY.max(4 * remembered) {
            self.remembered.shrink_to(2 * remembered);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;

    #[test]
    fn a_held_poll_takes_half_a_kilobyte() {
        let counts = 2 * size_of::<usize>();
        let line = counts + size_of::<Line>();
        // Tables are at least half full.
        let table = 2 * (size_of::<(Key, Entry)>() + 1 + size_of::<(u64, Key)>());
        let handles = size_of::<Carrier>() + size_of::<Held>();
        assert!(line + table + handles <= 500, "{line} + {table} + {handles}");
    }
}
