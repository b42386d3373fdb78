//! Requests that say by an idempotency key that they may be repeated: the first one's answer is every other one's.
//!
//! An answer is remembered for 24 hours, in memory: a restart forgets, and so does too much to remember, the oldest first.
//! Answers hold secrets, so that nothing here can be printed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chatcamp_protocol::AppId;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::answer::{Answer, Code, Refusal};

/// How long an answer is remembered, in seconds.
const LIFETIME: u64 = 24 * 60 * 60;
/// Answers remembered, at most, of one app and of all together.
const APP_ANSWERS: usize = 10_000;
const ANSWERS: usize = 100_000;
/// Bytes of them, at most, of one app and of all together.
const APP_BYTES: usize = 16 * 1024 * 1024;
const BYTES: usize = 64 * 1024 * 1024;
/// What remembering an answer takes besides its body, roughly.
const ENTRY: usize = 512;
/// Requests with a key that are carried out at one moment, at most.
const AT_ONCE: usize = 4096;

/// The answers remembered, and the requests that will have one.
#[derive(Default)]
pub(super) struct Repeats(Mutex<Kept>);

/// What a request with a key turned out to be.
pub(super) enum Begun {
    /// The first one: what is answered to it is to be told.
    First(First),
    /// A repeated one, with this answer.
    Repeated(Answer),
}

/// A first request until it is answered; one that never is leaves no trace.
pub(super) struct First {
    repeats: Arc<Repeats>,
    app: AppId,
    key: Arc<str>,
    /// With the time of it, in Unix seconds.
    answer: Option<(Answer, u64)>,
}

/// Tells what one key is given to: method and body, without keeping them.
type Fingerprint = [u8; 32];

#[derive(Default)]
struct Kept {
    apps: HashMap<AppId, OfApp>,
    /// All answers, the oldest first.
    order: BTreeMap<u64, (AppId, Arc<str>)>,
    /// Counts the answers there ever were.
    count: u64,
    bytes: usize,
    running: usize,
}

#[derive(Default)]
struct OfApp {
    entries: HashMap<Arc<str>, Entry>,
    order: BTreeMap<u64, Arc<str>>,
    bytes: usize,
}

struct Entry {
    fingerprint: Fingerprint,
    done: Option<Done>,
}

struct Done {
    answer: Answer,
    /// Unix seconds.
    at: u64,
    bytes: usize,
}

pub(super) fn fingerprint(method: &str, body: &[u8]) -> Fingerprint {
    Sha256::new().chain_update(method).chain_update([0]).chain_update(body).finalize().into()
}

impl Repeats {
    /// Begins a request with a key, at `now` in Unix seconds.
    pub(super) fn begin(
        self: &Arc<Self>,
        app: &AppId,
        key: &str,
        fingerprint: Fingerprint,
        now: u64,
    ) -> Result<Begun, Refusal> {
        let mut kept = self.0.lock();
        kept.forget_old(now);
        if let Some(entry) = kept.apps.get(app).and_then(|of_app| of_app.entries.get(key)) {
            return entry.repeat(fingerprint);
        }
        if kept.running >= AT_ONCE {
            return Err(Refusal::new(
                Code::Overloaded,
                "too many requests with idempotency keys are under way",
            ));
        }
        kept.running += 1;
        let key: Arc<str> = key.into();
        let of_app = kept.apps.entry(app.clone()).or_default();
        of_app.entries.insert(key.clone(), Entry { fingerprint, done: None });
        Ok(Begun::First(First { repeats: self.clone(), app: app.clone(), key, answer: None }))
    }
}

impl Entry {
    fn repeat(&self, fingerprint: Fingerprint) -> Result<Begun, Refusal> {
        if self.fingerprint != fingerprint {
            let message = "this idempotency key was given to another request";
            return Err(Refusal::new(Code::IdempotencyKeyReused, message));
        }
        match &self.done {
            Some(done) => Ok(Begun::Repeated(done.answer.replayed())),
            None => {
                let message = "the first request with this idempotency key is still being carried out";
                Err(Refusal::new(Code::RequestInProgress, message))
            }
        }
    }
}

impl First {
    /// Remembers the answer, given at `now`, unless it is a passing one.
    pub(super) fn answered(mut self, answer: &Answer, now: u64) {
        self.answer = (!answer.is_passing()).then(|| (answer.clone(), now));
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let mut kept = self.repeats.0.lock();
        kept.running -= 1;
        match self.answer.take() {
            Some((answer, now)) => kept.remember(&self.app, &self.key, answer, now),
            None => kept.forget_unanswered(&self.app, &self.key),
        }
    }
}

impl Kept {
    fn remember(&mut self, app: &AppId, key: &Arc<str>, answer: Answer, now: u64) {
        let number = self.count;
        let bytes = ENTRY + key.len() + answer.body.len();
        let Some(of_app) = self.apps.get_mut(app) else { return };
        let Some(entry) = of_app.entries.get_mut(key) else { return };
        entry.done = Some(Done { answer, at: now, bytes });
        of_app.order.insert(number, key.clone());
        of_app.bytes += bytes;
        self.order.insert(number, (app.clone(), key.clone()));
        self.bytes += bytes;
        self.count += 1;
        while let Some(oldest) = self.apps.get(app).and_then(OfApp::oldest_over_bounds) {
            self.forget(oldest);
        }
        while self.order.len() > ANSWERS || self.bytes > BYTES {
            let Some((&oldest, _)) = self.order.first_key_value() else { return };
            self.forget(oldest);
        }
    }

    fn forget_old(&mut self, now: u64) {
        while let Some((&oldest, (app, key))) = self.order.first_key_value() {
            let done = self.apps.get(app).and_then(|of_app| of_app.entries.get(key)?.done.as_ref());
            if done.is_some_and(|done| now.saturating_sub(done.at) < LIFETIME) {
                return;
            }
            self.forget(oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some((app, key)) = self.order.remove(&number) else { return };
        let Some(of_app) = self.apps.get_mut(&app) else { return };
        of_app.order.remove(&number);
        if let Some(done) = of_app.entries.remove(&key).and_then(|entry| entry.done) {
            of_app.bytes -= done.bytes;
            self.bytes -= done.bytes;
        }
        if of_app.entries.is_empty() {
            self.apps.remove(&app);
        }
    }

    fn forget_unanswered(&mut self, app: &AppId, key: &str) {
        let Some(of_app) = self.apps.get_mut(app) else { return };
        of_app.entries.remove(key);
        if of_app.entries.is_empty() {
            self.apps.remove(app);
        }
    }
}

impl OfApp {
    fn oldest_over_bounds(&self) -> Option<u64> {
        let is_over = self.order.len() > APP_ANSWERS || self.bytes > APP_BYTES;
        self.order.first_key_value().filter(|_| is_over).map(|(&number, _)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::answer::RequestId, *};

    const NOW: u64 = 1_800_000_000;

    fn app(n: usize) -> AppId {
        AppId::new(n.to_string()).unwrap()
    }

    fn begin(repeats: &Arc<Repeats>, app: &AppId, key: &str, body: &[u8], now: u64) -> Result<Begun, Code> {
        repeats.begin(app, key, fingerprint("users.create", body), now).map_err(|refusal| refusal.code)
    }

    fn first(repeats: &Arc<Repeats>, app: &AppId, key: &str, now: u64) -> First {
        match begin(repeats, app, key, b"body", now) {
            Ok(Begun::First(first)) => first,
            Ok(Begun::Repeated(_)) => panic!("{key} is remembered"),
            Err(code) => panic!("{key}: {code:?}"),
        }
    }

    /// The body of the answer remembered.
    fn remembered(repeats: &Arc<Repeats>, app: &AppId, key: &str, now: u64) -> Option<String> {
        match begin(repeats, app, key, b"body", now) {
            Ok(Begun::Repeated(answer)) => Some(String::from_utf8_lossy(&answer.body).into_owned()),
            _ => None,
        }
    }

    fn answer(text: &str) -> Answer {
        RequestId::new().success(serde_json::json!({ "said": text }))
    }

    #[test]
    fn a_repeated_request_has_the_first_ones_answer_for_a_day() {
        let (repeats, ours, other) = (Arc::<Repeats>::default(), app(1), app(2));
        let said = answer("once");
        let running = first(&repeats, &ours, "k", NOW);
        assert_eq!(begin(&repeats, &ours, "k", b"body", NOW).err(), Some(Code::RequestInProgress));
        assert_eq!(begin(&repeats, &ours, "k", b"other", NOW).err(), Some(Code::IdempotencyKeyReused));
        running.answered(&said, NOW);
        let expected = Some(String::from_utf8_lossy(&said.body).into_owned());
        for now in [NOW, NOW - 5, NOW + LIFETIME - 1] {
            assert_eq!(remembered(&repeats, &ours, "k", now), expected);
        }
        assert_eq!(begin(&repeats, &ours, "k", b"other", NOW).err(), Some(Code::IdempotencyKeyReused));
        let another_method = repeats.begin(&ours, "k", fingerprint("users.upsert", b"body"), NOW);
        assert_eq!(another_method.err().map(|refusal| refusal.code), Some(Code::IdempotencyKeyReused));
        drop(first(&repeats, &other, "k", NOW));
        drop(first(&repeats, &ours, "k", NOW + LIFETIME));
    }

    #[test]
    fn what_was_not_answered_or_only_for_now_is_not_remembered() {
        let (repeats, app) = (Arc::<Repeats>::default(), app(1));
        drop(first(&repeats, &app, "k", NOW));
        let passing = Refusal::new(Code::StoreUnavailable, "later").answer(&RequestId::new());
        first(&repeats, &app, "k", NOW).answered(&passing, NOW);
        let lasting = Refusal::new(Code::UserExists, "no").answer(&RequestId::new());
        first(&repeats, &app, "k", NOW).answered(&lasting, NOW);
        assert!(remembered(&repeats, &app, "k", NOW).is_some_and(|body| body.contains("USER_EXISTS")));
        let kept = repeats.0.lock();
        assert_eq!((kept.running, kept.order.len()), (0, 1));
    }

    #[test]
    fn the_oldest_answers_make_room_for_new_ones() {
        let repeats = Arc::<Repeats>::default();
        let (busy, quiet, small) = (app(1), app(2), answer(""));
        first(&repeats, &quiet, "k", NOW).answered(&small, NOW);
        for n in 0..=APP_ANSWERS {
            first(&repeats, &busy, &n.to_string(), NOW).answered(&small, NOW);
        }
        assert!(remembered(&repeats, &busy, "0", NOW).is_none());
        assert!(remembered(&repeats, &busy, "1", NOW).is_some());
        assert!(remembered(&repeats, &quiet, "k", NOW).is_some(), "another app has room of its own");

        let large = answer(&"x".repeat(60_000));
        for n in 0..=APP_BYTES / 60_000 {
            first(&repeats, &busy, &format!("large {n}"), NOW).answered(&large, NOW);
        }
        assert!(remembered(&repeats, &busy, "1", NOW).is_none());
        for n in 3..9 {
            for m in 0..=APP_BYTES / 60_000 {
                first(&repeats, &app(n), &m.to_string(), NOW).answered(&large, NOW);
            }
        }
        assert!(remembered(&repeats, &quiet, "k", NOW).is_none(), "all together have bounds too");
        {
            let kept = repeats.0.lock();
            assert!(kept.bytes <= BYTES && kept.bytes > BYTES - 70_000, "{}", kept.bytes);
            assert_eq!(kept.bytes, kept.apps.values().map(|of_app| of_app.bytes).sum::<usize>());
            assert_eq!(
                kept.order.len(),
                kept.apps.values().map(|of_app| of_app.entries.len()).sum::<usize>()
            );
        }
        repeats.0.lock().forget_old(NOW + LIFETIME);
        let kept = repeats.0.lock();
        assert_eq!((kept.bytes, kept.order.len(), kept.apps.len()), (0, 0, 0));
    }

    #[test]
    fn only_so_many_are_carried_out_at_once() {
        let (repeats, app) = (Arc::<Repeats>::default(), app(1));
        let mut running: Vec<_> = (0..AT_ONCE).map(|n| first(&repeats, &app, &n.to_string(), NOW)).collect();
        assert_eq!(begin(&repeats, &app, "one more", b"", NOW).err(), Some(Code::Overloaded));
        running.pop();
        assert!(begin(&repeats, &app, "one more", b"", NOW).is_ok());
    }
}
