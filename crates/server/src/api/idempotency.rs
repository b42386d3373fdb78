//! Idempotency keys: a repeated request with the same key gets the answer to the first one.
//!
//! Answers are kept in memory for 24 hours. They are lost by a restart, and the oldest are dropped when there are too many.
//! Not `Debug`: answers contain secrets.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chatcamp_protocol::{ApiCode, AppId};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::answer::{ApiAnswer, Refusal};

/// How long an answer is kept, in seconds.
const LIFETIME: u64 = 24 * 60 * 60;
/// The maximum number of answers kept, of one app and of all apps together.
const APP_ANSWERS: usize = 10_000;
const ANSWERS: usize = 100_000;
/// The maximum number of bytes of answers kept, of one app and of all apps together.
const APP_BYTES: usize = 16 * 1024 * 1024;
const BYTES: usize = 64 * 1024 * 1024;
/// Roughly the memory that an answer takes besides its body and key.
const ENTRY: usize = 512;
/// The maximum number of requests with a key that run at the same time.
const AT_ONCE: usize = 4096;

/// The answers kept, and the requests that are running.
#[derive(Default)]
pub(super) struct IdempotencyCache(Mutex<Cached>);

/// The result of beginning a request with a key.
pub(super) enum Attempt {
    /// The key is new: run the request, and report its answer.
    First(First),
    /// The request was repeated and has this answer.
    Repeated(ApiAnswer),
}

/// A running request with a new key. If it is dropped without an answer, its key is forgotten.
pub(super) struct First {
    cache: Arc<IdempotencyCache>,
    app: AppId,
    key: Arc<str>,
    /// The answer and its time, in Unix seconds.
    answer: Option<(ApiAnswer, u64)>,
}

/// A hash of the method and body that a key was used for.
type Fingerprint = [u8; 32];

#[derive(Default)]
struct Cached {
    apps: HashMap<AppId, OfApp>,
    /// All answers, oldest first.
    order: BTreeMap<u64, (AppId, Arc<str>)>,
    /// The number of answers so far.
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
    answer: ApiAnswer,
    /// Unix seconds.
    at: u64,
    bytes: usize,
}

pub(super) fn fingerprint(method: &str, body: &[u8]) -> Fingerprint {
    Sha256::new().chain_update(method).chain_update([0]).chain_update(body).finalize().into()
}

impl IdempotencyCache {
    /// Begins a request with a key, at `now` in Unix seconds.
    pub(super) fn begin(
        self: &Arc<Self>,
        app: &AppId,
        key: &str,
        fingerprint: Fingerprint,
        now: u64,
    ) -> Result<Attempt, Refusal> {
        let mut cached = self.0.lock();
        cached.forget_old(now);
        if let Some(entry) = cached.apps.get(app).and_then(|of_app| of_app.entries.get(key)) {
            return entry.repeat(fingerprint);
        }
        if cached.running >= AT_ONCE {
            return Err(Refusal::new(
                ApiCode::Overloaded,
                "too many requests with idempotency keys are under way",
            ));
        }
        cached.running += 1;
        let key: Arc<str> = key.into();
        let of_app = cached.apps.entry(app.clone()).or_default();
        of_app.entries.insert(key.clone(), Entry { fingerprint, done: None });
        Ok(Attempt::First(First { cache: self.clone(), app: app.clone(), key, answer: None }))
    }
}

impl Entry {
    fn repeat(&self, fingerprint: Fingerprint) -> Result<Attempt, Refusal> {
        if self.fingerprint != fingerprint {
            let message = "this idempotency key was given to another request";
            return Err(Refusal::new(ApiCode::IdempotencyKeyReused, message));
        }
        match &self.done {
            Some(done) => Ok(Attempt::Repeated(done.answer.replayed())),
            None => {
                let message = "the first request with this idempotency key is still being carried out";
                Err(Refusal::new(ApiCode::RequestInProgress, message))
            }
        }
    }
}

impl First {
    /// Keeps the answer, given at `now`, unless a retry may be answered differently.
    pub(super) fn answered(mut self, answer: &ApiAnswer, now: u64) {
        self.answer = (!answer.is_temporary()).then(|| (answer.clone(), now));
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let mut cached = self.cache.0.lock();
        cached.running -= 1;
        match self.answer.take() {
            Some((answer, now)) => cached.remember(&self.app, &self.key, answer, now),
            None => cached.forget_unanswered(&self.app, &self.key),
        }
    }
}

impl Cached {
    fn remember(&mut self, app: &AppId, key: &Arc<str>, answer: ApiAnswer, now: u64) {
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

    fn begin(
        cache: &Arc<IdempotencyCache>,
        app: &AppId,
        key: &str,
        body: &[u8],
        now: u64,
    ) -> Result<Attempt, ApiCode> {
        cache.begin(app, key, fingerprint("users.create", body), now).map_err(|refusal| refusal.code)
    }

    fn begin_first(cache: &Arc<IdempotencyCache>, app: &AppId, key: &str, now: u64) -> First {
        match begin(cache, app, key, b"body", now) {
            Ok(Attempt::First(first)) => first,
            Ok(Attempt::Repeated(_)) => panic!("{key} is remembered"),
            Err(code) => panic!("{key}: {code:?}"),
        }
    }

    /// Returns the body of the kept answer, or `None`.
    fn remembered(cache: &Arc<IdempotencyCache>, app: &AppId, key: &str, now: u64) -> Option<String> {
        match begin(cache, app, key, b"body", now) {
            Ok(Attempt::Repeated(answer)) => Some(String::from_utf8_lossy(&answer.body).into_owned()),
            _ => None,
        }
    }

    fn answer(text: &str) -> ApiAnswer {
        RequestId::new().success(serde_json::json!({ "said": text }), Vec::new())
    }

    #[test]
    fn a_repeated_request_gets_the_first_answer_for_a_day() {
        let cache = Arc::<IdempotencyCache>::default();
        let ours = app(1);
        let other = app(2);
        let said = answer("once");
        let running = begin_first(&cache, &ours, "k", NOW);
        assert_eq!(begin(&cache, &ours, "k", b"body", NOW).err(), Some(ApiCode::RequestInProgress));
        assert_eq!(begin(&cache, &ours, "k", b"other", NOW).err(), Some(ApiCode::IdempotencyKeyReused));
        running.answered(&said, NOW);
        let expected = Some(String::from_utf8_lossy(&said.body).into_owned());
        for now in [NOW, NOW - 5, NOW + LIFETIME - 1] {
            assert_eq!(remembered(&cache, &ours, "k", now), expected);
        }
        assert_eq!(begin(&cache, &ours, "k", b"other", NOW).err(), Some(ApiCode::IdempotencyKeyReused));
        let another_method = cache.begin(&ours, "k", fingerprint("users.upsert", b"body"), NOW);
        assert_eq!(another_method.err().map(|refusal| refusal.code), Some(ApiCode::IdempotencyKeyReused));
        drop(begin_first(&cache, &other, "k", NOW));
        drop(begin_first(&cache, &ours, "k", NOW + LIFETIME));
    }

    #[test]
    fn a_missing_or_retryable_answer_is_not_kept() {
        let cache = Arc::<IdempotencyCache>::default();
        let app = app(1);
        drop(begin_first(&cache, &app, "k", NOW));
        let passing = Refusal::new(ApiCode::StoreUnavailable, "later").answer(&RequestId::new());
        begin_first(&cache, &app, "k", NOW).answered(&passing, NOW);
        let lasting = Refusal::new(ApiCode::UserExists, "no").answer(&RequestId::new());
        begin_first(&cache, &app, "k", NOW).answered(&lasting, NOW);
        assert!(remembered(&cache, &app, "k", NOW).is_some_and(|body| body.contains("USER_EXISTS")));
        let cached = cache.0.lock();
        assert_eq!((cached.running, cached.order.len()), (0, 1));
    }

    #[test]
    fn the_oldest_answers_are_dropped_for_new_ones() {
        let cache = Arc::<IdempotencyCache>::default();
        let busy = app(1);
        let quiet = app(2);
        let small = answer("");
        begin_first(&cache, &quiet, "k", NOW).answered(&small, NOW);
        for n in 0..=APP_ANSWERS {
            begin_first(&cache, &busy, &n.to_string(), NOW).answered(&small, NOW);
        }
        assert!(remembered(&cache, &busy, "0", NOW).is_none());
        assert!(remembered(&cache, &busy, "1", NOW).is_some());
        assert!(remembered(&cache, &quiet, "k", NOW).is_some(), "another app has its own limit");

        let large = answer(&"x".repeat(60_000));
        for n in 0..=APP_BYTES / 60_000 {
            begin_first(&cache, &busy, &format!("large {n}"), NOW).answered(&large, NOW);
        }
        assert!(remembered(&cache, &busy, "1", NOW).is_none());
        for n in 3..9 {
            for m in 0..=APP_BYTES / 60_000 {
                begin_first(&cache, &app(n), &m.to_string(), NOW).answered(&large, NOW);
            }
        }
        assert!(remembered(&cache, &quiet, "k", NOW).is_none(), "all apps together have limits too");
        {
            let cached = cache.0.lock();
            assert!(cached.bytes <= BYTES && cached.bytes > BYTES - 70_000, "{}", cached.bytes);
            assert_eq!(cached.bytes, cached.apps.values().map(|of_app| of_app.bytes).sum::<usize>());
            assert_eq!(
                cached.order.len(),
                cached.apps.values().map(|of_app| of_app.entries.len()).sum::<usize>()
            );
        }
        cache.0.lock().forget_old(NOW + LIFETIME);
        let cached = cache.0.lock();
        assert_eq!((cached.bytes, cached.order.len(), cached.apps.len()), (0, 0, 0));
    }

    #[test]
    fn a_limited_number_of_requests_runs_at_once() {
        let cache = Arc::<IdempotencyCache>::default();
        let app = app(1);
        let mut running: Vec<_> =
            (0..AT_ONCE).map(|n| begin_first(&cache, &app, &n.to_string(), NOW)).collect();
        assert_eq!(begin(&cache, &app, "one more", b"", NOW).err(), Some(ApiCode::Overloaded));
        running.pop();
        assert!(begin(&cache, &app, "one more", b"", NOW).is_ok());
    }
}
