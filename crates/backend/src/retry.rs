//! The retry policy: a call never runs twice, and its time and attempts are bounded.

use std::{future::Future, time::Duration};

use chatcamp_runtime::backoff;
use tokio::time::Instant;

use crate::{Error, Refusal, pause::Pause};

/// Upper bound of the first delay.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Upper bound of all delays. They are random, so that many backends do not retry at the same time.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The limits of one call.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Time limit of one attempt.
    pub(crate) attempt: Duration,
    /// Time limit of the call, including all attempts and the delays between them.
    pub(crate) total: Duration,
    /// Maximum number of attempts after the first.
    pub(crate) retries: u32,
}

/// Whether and why a call can be repeated safely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The call reads, or has the same effect when repeated.
    Idempotent,
    /// The request has an idempotency key: the server executes it once.
    WithKey,
    /// The call is repeated only if it certainly did not run.
    Never,
}

/// The result of all attempts.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    pub(crate) result: Result<T, Error>,
    /// Whether an attempt before the last one may have run.
    pub(crate) may_have_run_before: bool,
}

impl<T> Outcome<T> {
    /// Returns the result of a deletion. `not_found` is a success if an earlier attempt may have deleted the entry.
    pub(crate) fn deleted(self, not_found: &str) -> Result<(), Error> {
        match self.result {
            Err(error) if self.may_have_run_before && error.code() == Some(not_found) => Ok(()),
            result => result.map(drop),
        }
    }
}

impl Policy {
    /// Makes attempts until one succeeds or a retry is useless or unsafe. Passes each attempt its time limit.
    ///
    /// No attempt begins during the pause. One that is refused for the rate begins a pause, and is repeated without counting as a retry.
    /// Without retries, neither applies.
    pub(crate) async fn run<T, F>(
        &self,
        pause: &Pause,
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
        // The last failure after which the request may have run.
        let mut uncertain = None;
        loop {
            let wait = pause.left();
            if !wait.is_zero() && self.retries > 0 {
                let spread = backoff(FIRST_WAIT, LONGEST_WAIT, 0, random());
                // A first attempt that could not wait so long is made at once: only the server knows whether it is too early.
                if wait + spread < left() {
                    tokio::time::sleep(wait + spread).await;
                }
            }
            let time = self.attempt.min(left());
            let limit = if time < self.attempt { self.total } else { self.attempt };
            let result = match attempt(time).await {
                // Report the configured limit, not the time that was left for the last attempt.
                Err(Error::TimedOut(_)) => Err(Error::TimedOut(limit)),
                result => result,
            };
            let may_have_run_before = uncertain.is_some();
            let error = match result {
                Err(error) if error.is_retryable() && !(repeat == Repeat::Never && error.may_have_run()) => {
                    error
                }
                Err(error) => {
                    let result = Err(final_error(error, uncertain));
                    return Outcome { result, may_have_run_before };
                }
                result => return Outcome { result, may_have_run_before },
            };
            if error.is_rate_limited() && self.retries > 0 {
                pause.begin(error.retry_after().unwrap_or_default());
                if pause.left() + FIRST_WAIT < left() {
                    continue;
                }
                return Outcome { result: Err(final_error(error, uncertain)), may_have_run_before };
            }
            let wait = error.retry_after().unwrap_or_default().saturating_add(backoff(
                FIRST_WAIT,
                LONGEST_WAIT,
                failures,
                random(),
            ));
            let is_last = failures >= self.retries || wait >= left();
            if is_last {
                return Outcome { result: Err(final_error(error, uncertain)), may_have_run_before };
            }
            if error.may_have_run() {
                uncertain = Some(error);
            }
            tokio::time::sleep(wait).await;
            failures += 1;
        }
    }
}

/// Returns the last failure, or an earlier `uncertain` one: a failed attempt does not tell whether an earlier one ran.
fn final_error(error: Error, uncertain: Option<Error>) -> Error {
    match (error, uncertain) {
        (Error::Refused(refusal), Some(_)) => Refusal { may_have_run_before: true, ..refusal }.into(),
        (error, Some(uncertain)) if !error.may_have_run() => uncertain,
        (error, _) => error,
    }
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

    fn refused_with(code: &str, status: u16, retry_after: Option<u64>) -> Error {
        let Error::Refused(refusal) = refused(status, retry_after) else { panic!("not a refusal") };
        Refusal { code: code.into(), ..refusal }.into()
    }

    fn in_progress() -> Error {
        refused_with(crate::code::REQUEST_IN_PROGRESS, 409, Some(1))
    }

    fn too_fast(retry_after: Option<u64>) -> Error {
        refused_with(crate::code::RATE_LIMITED, 429, retry_after)
    }

    fn proxy(status: u16) -> Error {
        Error::NotTheApi { url: "http://h".into(), status, at: None, retry_after: None }
    }

    /// Runs these failures, then a success; returns the outcome and the start of each attempt, in milliseconds.
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
        let outcome = policy.run(&Pause::default(), repeat, || random, attempt).await;
        (outcome, attempts.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_retried_only_if_it_cannot_run_twice() {
        use Repeat::{Idempotent, Never, WithKey};
        for (repeat, failure, retried) in [
            (Idempotent, unreachable(), true),
            (WithKey, broken(), true),
            (Idempotent, broken(), true),
            (Idempotent, Error::TimedOut(Duration::from_secs(10)), true),
            (Idempotent, refused(429, None), true),
            (Idempotent, refused(500, None), true),
            (Idempotent, refused(503, None), true),
            (Idempotent, proxy(502), true),
            (Idempotent, refused(400, None), false),
            (Idempotent, refused(404, None), false),
            (Idempotent, refused(409, None), false),
            (WithKey, in_progress(), true),
            (Idempotent, proxy(501), false),
            (Idempotent, proxy(200), false),
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
    async fn a_delay_that_the_server_asks_for_is_added() {
        let failures = vec![refused(429, Some(7)), refused(503, Some(2))];
        let (outcome, attempts) = play(&POLICY, Repeat::Idempotent, u64::MAX, failures).await;
        assert_eq!((outcome.result.unwrap(), attempts), ("done", vec![0, 7250, 9750]));

        for seconds in [60, 3600, u64::MAX] {
            let failure = refused(503, Some(seconds));
            let (outcome, attempts) = play(&POLICY, Repeat::Idempotent, u64::MAX, vec![failure]).await;
            assert_eq!(attempts, [0], "does not wait beyond the time limit of the call");
            assert_eq!(outcome.result.unwrap_err().retry_after(), Some(Duration::from_secs(seconds)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_refused_for_the_rate_waits_and_goes_on_until_its_time_is_over() {
        for repeat in [Repeat::Idempotent, Repeat::WithKey, Repeat::Never] {
            // More often than a call is retried.
            let failures = (0..6).map(|_| too_fast(Some(2))).collect();
            let (outcome, attempts) = play(&POLICY, repeat, u64::MAX, failures).await;
            let expected = [0, 2250, 4500, 6750, 9000, 11_250, 13_500];
            assert_eq!((outcome.result.unwrap(), attempts), ("done", expected.into()), "{repeat:?}");
        }
        // Other failures in between count as before.
        let failures = vec![unreachable(), too_fast(None), unreachable(), too_fast(Some(0)), unreachable()];
        let (outcome, attempts) = play(&POLICY, Repeat::Never, 0, failures).await;
        assert_eq!((outcome.result.unwrap(), attempts), ("done", vec![0, 0, 1000, 1000, 2000, 2000]));

        let failures = (0..100).map(|_| too_fast(Some(7))).collect();
        let (outcome, attempts) = play(&POLICY, Repeat::Never, 0, failures).await;
        assert_eq!(attempts, [0, 7000, 14_000, 21_000, 28_000, 35_000, 42_000, 49_000, 56_000]);
        let error = outcome.result.unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (Some(crate::code::RATE_LIMITED), false));
        let (outcome, _) = play(&POLICY, Repeat::WithKey, 0, vec![broken(), too_fast(Some(60))]).await;
        assert!(outcome.result.unwrap_err().may_have_run(), "the first attempt may have");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_for_the_rate_pauses_all_calls() {
        let (began, pause) = (Instant::now(), Pause::default());
        let call = async |policy: &Policy, time: u64, failure: Option<Error>| {
            let failure = RefCell::new(failure);
            let attempt = async |_| {
                tokio::time::sleep(Duration::from_millis(time)).await;
                failure.take().map_or(Ok(began.elapsed().as_secs()), Err)
            };
            policy.run(&pause, Repeat::Never, || 0, attempt).await.result
        };
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            call(&POLICY, 0, None).await
        };
        // The second is refused after the first, and for longer: that does not prolong the pause.
        let (first, second, later) = tokio::join!(
            call(&POLICY, 1, Some(too_fast(Some(3)))),
            call(&POLICY, 2, Some(too_fast(Some(9)))),
            later
        );
        assert_eq!((first.unwrap(), second.unwrap(), later.unwrap()), (3, 3, 3));

        pause.begin(Duration::from_secs(100));
        let now = call(&POLICY, 0, None).await.unwrap();
        assert_eq!(now, 3, "a call whose time ends before the pause does is made at once");
        assert!(pause.left() > Duration::from_secs(90));
        let once = Policy { retries: 0, ..POLICY };
        pause.begin(Duration::from_secs(10));
        assert!(call(&once, 0, Some(too_fast(Some(1)))).await.is_err(), "one attempt");
        pause.begin(Duration::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_bounded_in_number_and_in_time() {
        let failures = |n| (0..n).map(|_| broken()).collect();
        let (outcome, attempts) = play(&POLICY, Repeat::Idempotent, 0, failures(9)).await;
        assert_eq!((outcome.result.is_err(), attempts.len()), (true, 4));

        let endless = Policy { attempt: Duration::MAX, total: Duration::MAX, retries: 1 };
        let (_, attempts) = play(&endless, Repeat::Idempotent, 0, failures(9)).await;
        assert_eq!(attempts.len(), 2);

        let policy = Policy { retries: u32::MAX, ..POLICY };
        let (began, times) = (Instant::now(), RefCell::new(Vec::new()));
        let slow = async |time| {
            times.borrow_mut().push(time);
            tokio::time::sleep(time).await;
            Err::<(), _>(Error::TimedOut(time))
        };
        let outcome = policy.run(&Pause::default(), Repeat::Idempotent, || 0, slow).await;
        assert!(outcome.result.is_err());
        assert_eq!((began.elapsed(), times.take()), (policy.total, vec![policy.attempt; 6]));

        let policy = Policy { total: Duration::from_secs(25), ..policy };
        let outcome = policy.run(&Pause::default(), Repeat::Idempotent, || 0, slow).await;
        let said = outcome.result.unwrap_err().to_string();
        assert_eq!(said, "the server did not answer within 25s", "the limit, not the remaining time");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_reports_that_an_earlier_attempt_may_have_run() {
        let (outcome, _) = play(&POLICY, Repeat::Idempotent, 0, vec![broken(), refused(404, None)]).await;
        let error = outcome.result.unwrap_err();
        assert!(outcome.may_have_run_before && error.code().is_some() && error.may_have_run(), "{error:?}");
        let (outcome, _) = play(&POLICY, Repeat::Idempotent, 0, vec![broken(), proxy(404)]).await;
        assert!(outcome.result.unwrap_err().may_have_run());
        let (outcome, _) = play(&POLICY, Repeat::Idempotent, 0, vec![refused(409, None)]).await;
        assert!(!outcome.result.unwrap_err().may_have_run());

        let policy = Policy { retries: 1, ..POLICY };
        let (outcome, _) = play(&policy, Repeat::Idempotent, 0, vec![broken(), unreachable()]).await;
        assert!(outcome.result.unwrap_err().may_have_run());

        let (outcome, _) =
            play(&policy, Repeat::Idempotent, 0, vec![unreachable(), refused(404, None)]).await;
        assert!(!outcome.may_have_run_before);
    }

    #[tokio::test(start_paused = true)]
    async fn each_delay_is_random() {
        let asked = Cell::new(0);
        let random = || {
            asked.set(asked.get() + 1);
            0
        };
        _ = POLICY.run(&Pause::default(), Repeat::Idempotent, random, async |_| Err::<(), _>(broken())).await;
        assert_eq!(asked.get(), 4);
    }
}
