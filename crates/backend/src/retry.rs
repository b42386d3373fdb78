//! When a call is tried again: never where that could do a thing twice, never for ever.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use crate::{Error, Refusal};

/// Waits grow from up to this …
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// … to up to this, each drawn from zero on, so that many backends do not come back at once.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The bounds of one call.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// For one attempt.
    pub(crate) attempt: Duration,
    /// For the call, with all attempts and the waits between them.
    pub(crate) total: Duration,
    /// Attempts after the first.
    pub(crate) retries: u32,
}

/// What makes a second attempt of a call harmless, if anything does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The call reads, or says how things are to be.
    AsItIs,
    /// The server knows the request by its key and does it once.
    Keyed,
    /// Nothing does: it is sent again only when it certainly was not carried out.
    Never,
}

/// What came of all attempts.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T, Error>,
    /// Whether an attempt before the last one may have been carried out.
    pub(crate) may_have_run_before: bool,
}

impl<T> Outcome<T> {
    /// What came of taking something away. That it is not there, as `not_found` says, may be this call's own doing.
    pub(crate) fn gone(self, not_found: &str) -> Result<(), Error> {
        match self.result {
            Err(error) if self.may_have_run_before && error.code() == Some(not_found) => Ok(()),
            result => result.map(drop),
        }
    }
}

impl Policy {
    /// Makes attempts until one brings an answer or there is no sense in another; each is told its time.
    pub(crate) async fn run<T, F>(
        &self,
        repeat: Repeat,
        random: impl Fn() -> u64,
        attempt: impl Fn(Duration) -> F,
    ) -> Outcome<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let began = Instant::now();
        let left = || self.total.saturating_sub(began.elapsed());
        let mut failures = 0;
        // The latest failure after which it is open whether the request was carried out.
        let mut open = None;
        loop {
            let time = self.attempt.min(left());
            let limit = if time < self.attempt { self.total } else { self.attempt };
            let result = match attempt(time).await {
                // Of the last attempt the time is what others left of it: no number that anybody knows.
                Err(Error::TimedOut(_)) => Err(Error::TimedOut(limit)),
                result => result,
            };
            let may_have_run_before = open.is_some();
            let error = match result {
                Err(error) if error.is_retryable() && !(repeat == Repeat::Never && error.may_have_run()) => {
                    error
                }
                Err(error) => {
                    let result = Err(settled(error, open));
                    return Outcome { result, may_have_run_before };
                }
                result => return Outcome { result, may_have_run_before },
            };
            let wait = error.retry_after().unwrap_or_default().saturating_add(jitter(failures, random()));
            let is_last = failures >= self.retries || wait >= left();
            if is_last {
                return Outcome { result: Err(settled(error, open)), may_have_run_before };
            }
            if error.may_have_run() {
                open = Some(error);
            }
            tokio::time::sleep(wait).await;
            failures += 1;
        }
    }
}

/// The last failure, or the latest `open` one: that an attempt came to nothing says nothing of those before.
fn settled(error: Error, open: Option<Error>) -> Error {
    match (error, open) {
        (Error::Refused(refusal), Some(_)) => Refusal { may_have_run_before: true, ..refusal }.into(),
        (error, Some(open)) if !error.may_have_run() => open,
        (error, _) => error,
    }
}

/// A time from zero to a bound that doubles with each failure.
fn jitter(failures: u32, random: u64) -> Duration {
    let bound = FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT);
    bound.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    const POLICY: Policy =
        Policy { attempt: Duration::from_secs(10), total: Duration::from_secs(60), retries: 3 };

    fn unreachable() -> Error {
        Error::Unreachable("no".into())
    }

    fn broken() -> Error {
        Error::Broken("cut".into())
    }

    fn refused(status: u16, retry_after: Option<u64>) -> Error {
        let retry_after = retry_after.map(Duration::from_secs);
        let (code, message, request_id) = ("CODE".into(), "why".into(), "id".into());
        let may_have_run_before = false;
        Refusal { status, code, message, request_id, retry_after, may_have_run_before }.into()
    }

    fn in_progress() -> Error {
        let Error::Refused(refusal) = refused(409, Some(1)) else { panic!("it is a refusal") };
        Refusal { code: crate::code::REQUEST_IN_PROGRESS.into(), ..refusal }.into()
    }

    fn proxy(status: u16) -> Error {
        Error::NotTheApi { status, at: None, retry_after: None }
    }

    /// Plays these failures, then a success; returns what came of it and when each attempt began, in milliseconds.
    async fn play(
        policy: &Policy,
        repeat: Repeat,
        random: u64,
        failures: Vec<Error>,
    ) -> (Outcome<&'static str>, Vec<u128>) {
        let (began, failures) = (Instant::now(), RefCell::new(failures.into_iter()));
        let attempts = RefCell::new(Vec::new());
        let attempt = async |_| {
            attempts.borrow_mut().push(began.elapsed().as_millis());
            failures.borrow_mut().next().map_or(Ok("done"), Err)
        };
        let outcome = policy.run(repeat, || random, attempt).await;
        (outcome, attempts.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_cannot_run_twice_is_tried_again() {
        use Repeat::{AsItIs, Keyed, Never};
        for (repeat, failure, retried) in [
            (AsItIs, unreachable(), true),
            (Keyed, broken(), true),
            (AsItIs, broken(), true),
            (AsItIs, Error::TimedOut(Duration::from_secs(10)), true),
            (AsItIs, refused(429, None), true),
            (AsItIs, refused(500, None), true),
            (AsItIs, refused(503, None), true),
            (AsItIs, proxy(502), true),
            (AsItIs, refused(400, None), false),
            (AsItIs, refused(404, None), false),
            (AsItIs, refused(409, None), false),
            (Keyed, in_progress(), true),
            (AsItIs, proxy(501), false),
            (AsItIs, proxy(200), false),
            (Never, unreachable(), true),
            (Never, refused(429, None), true),
            (Never, broken(), false),
            (Never, Error::TimedOut(Duration::from_secs(10)), false),
            (Never, refused(503, None), false),
            (Never, proxy(502), false),
        ] {
            let case = format!("{repeat:?} {failure:?}");
            let (outcome, attempts) = play(&POLICY, repeat, 0, vec![failure]).await;
            assert_eq!((outcome.result.is_ok(), attempts.len() == 2), (retried, retried), "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_drawn_from_zero_to_a_doubling_bound() {
        let failures = || (0..8).map(|_| unreachable()).collect();
        let policy = Policy { retries: 8, ..POLICY };
        let (_, attempts) = play(&policy, Repeat::Never, u64::MAX, failures()).await;
        assert_eq!(attempts, [0, 250, 750, 1750, 3750, 7750, 12750, 17750, 22750]);
        let (_, attempts) = play(&policy, Repeat::Never, 0, failures()).await;
        assert_eq!(attempts, [0; 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_says_how_long_to_wait_at_least() {
        let failures = vec![refused(429, Some(7)), refused(503, Some(2))];
        let (outcome, attempts) = play(&POLICY, Repeat::AsItIs, u64::MAX, failures).await;
        assert_eq!((outcome.result.unwrap(), attempts), ("done", vec![0, 7250, 9750]));

        for seconds in [60, 3600, u64::MAX] {
            let failure = refused(503, Some(seconds));
            let (outcome, attempts) = play(&POLICY, Repeat::AsItIs, u64::MAX, vec![failure]).await;
            assert_eq!(attempts, [0], "there is no sense in waiting for what comes after the end");
            assert_eq!(outcome.result.unwrap_err().retry_after(), Some(Duration::from_secs(seconds)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_bounded_in_number_and_in_time() {
        let failures = |n| (0..n).map(|_| broken()).collect();
        let (outcome, attempts) = play(&POLICY, Repeat::AsItIs, 0, failures(9)).await;
        assert_eq!((outcome.result.is_err(), attempts.len()), (true, 4));

        let endless = Policy { attempt: Duration::MAX, total: Duration::MAX, retries: 1 };
        let (_, attempts) = play(&endless, Repeat::AsItIs, 0, failures(9)).await;
        assert_eq!(attempts.len(), 2);

        let policy = Policy { retries: u32::MAX, ..POLICY };
        let (began, times) = (Instant::now(), RefCell::new(Vec::new()));
        let slow = async |time| {
            times.borrow_mut().push(time);
            tokio::time::sleep(time).await;
            Err::<(), _>(Error::TimedOut(time))
        };
        let outcome = policy.run(Repeat::AsItIs, || 0, slow).await;
        assert!(outcome.result.is_err());
        assert_eq!((began.elapsed(), times.take()), (policy.total, vec![policy.attempt; 6]));

        let policy = Policy { total: Duration::from_secs(25), ..policy };
        let outcome = policy.run(Repeat::AsItIs, || 0, slow).await;
        let said = outcome.result.unwrap_err().to_string();
        assert_eq!(said, "no answer within 25s", "the limit, and not what was left of it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_may_have_run_is_reported_as_such_to_the_end() {
        let (outcome, _) = play(&POLICY, Repeat::AsItIs, 0, vec![broken(), refused(404, None)]).await;
        let error = outcome.result.unwrap_err();
        assert!(outcome.may_have_run_before && error.code().is_some() && error.may_have_run(), "{error:?}");
        let (outcome, _) = play(&POLICY, Repeat::AsItIs, 0, vec![broken(), proxy(404)]).await;
        assert!(outcome.result.unwrap_err().may_have_run());
        let (outcome, _) = play(&POLICY, Repeat::AsItIs, 0, vec![refused(409, None)]).await;
        assert!(!outcome.result.unwrap_err().may_have_run());

        let policy = Policy { retries: 1, ..POLICY };
        let (outcome, _) = play(&policy, Repeat::AsItIs, 0, vec![broken(), unreachable()]).await;
        assert!(outcome.result.unwrap_err().may_have_run());

        let (outcome, _) = play(&policy, Repeat::AsItIs, 0, vec![unreachable(), refused(404, None)]).await;
        assert!(!outcome.may_have_run_before);
    }

    #[tokio::test(start_paused = true)]
    async fn random_numbers_are_asked_for_each_wait() {
        let asked = Cell::new(0);
        let random = || {
            asked.set(asked.get() + 1);
            0
        };
        _ = POLICY.run(Repeat::AsItIs, random, async |_| Err::<(), _>(broken())).await;
        assert_eq!(asked.get(), 4);
    }
}
