//! Time, randomness and tasks, passed in.
//!
//! Start from [`Runtime`]. [`network_cause`] says in plain words why a network failed.
//!
//! The drivers of client and server take all three from a [`Runtime`]. The same code therefore runs on tokio ([`Tokio`]), on
//! another executor, and in a simulation with virtual time.
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::{future::pending, time::Duration};
//!
//! use chatcamp_runtime::{Tokio, timeout};
//!
//! assert_eq!(timeout(&Tokio, Duration::from_millis(1), pending::<()>()).await, None);
//! # });
//! ```

mod network_cause;
#[cfg(feature = "tokio")]
mod tokio_runtime;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

pub use network_cause::network_cause;
#[cfg(feature = "tokio")]
pub use tokio_runtime::Tokio;

/// The wait that `after` uses if the result would overflow.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A boxed future that a runtime runs or returns.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Provides time, randomness and tasks.
///
/// # Duties of an implementer
/// - Time never runs backwards; a sleep never ends before its deadline.
/// - A spawned task runs until it ends, even if nothing waits for it.
pub trait Runtime: fmt::Debug + Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Instant;

    /// Returns a future that is ready at `deadline`.
    fn sleep_until(&self, deadline: Instant) -> Task;

    /// Runs a task concurrently with all others.
    fn spawn(&self, task: Task);

    /// Returns a uniformly distributed number, for jitter. Never use it for secrets.
    fn random(&self) -> u64 {
        // Without randomness, the middle of the range: no jitter, but no immediate retry either.
        getrandom::u64().unwrap_or(u64::MAX / 2)
    }
}

/// Returns `now + wait`, or a time 30 years ahead if that overflows.
#[must_use]
pub fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or_else(|| now + FAR)
}

/// Returns a random duration between `base` and twice that, so that many clients do not retry at the same time.
pub fn spread(runtime: &dyn Runtime, base: Duration) -> Duration {
    // Sixteen bits are fine enough.
    let share = u32::try_from(runtime.random() >> 48).unwrap_or(0);
    base.saturating_add((base / u32::from(u16::MAX)).saturating_mul(share))
}

/// Returns the delay before a retry: exponential back-off with full jitter.
///
/// The delay is between zero and `first` × 2^`failures`, at most `longest`. `failures` counts the failures before the last
/// one; `random` is uniformly distributed, such as [`Runtime::random`].
///
/// ```
/// use std::time::Duration;
///
/// let (first, longest) = (Duration::from_millis(500), Duration::from_secs(20));
/// let delay = chatcamp_runtime::backoff(first, longest, 3, u64::MAX / 2);
/// assert_eq!(delay.as_millis(), 1_999);
/// ```
#[must_use]
pub fn backoff(first: Duration, longest: Duration, failures: u32, random: u64) -> Duration {
    let bound = first.saturating_mul(1 << failures.min(30)).min(longest);
    // Whole microseconds and the upper 32 bits are fine enough.
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    let drawn = (u128::from(micros) * u128::from(random >> 32)) >> 32;
    Duration::from_micros(u64::try_from(drawn).unwrap_or(u64::MAX))
}

/// Runs `future` until `deadline`. Returns `None` if the deadline passes first.
///
/// # Cancel safety
/// Cancel safe if `future` is: dropping this drops it.
pub async fn timeout_at<T>(
    runtime: &dyn Runtime,
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut late = runtime.sleep_until(deadline);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => late.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Runs `future` for at most `limit`. Returns `None` if the limit passes first.
///
/// # Cancel safety
/// Cancel safe if `future` is: dropping this drops it.
pub async fn timeout<T>(
    runtime: &dyn Runtime,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    timeout_at(runtime, after(runtime.now(), limit), future).await
}

const _: fn(&dyn Runtime) = |_| ();

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_overflows_is_far_away() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::MAX), now + FAR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_ends_a_pending_future() {
        let begun = Tokio.now();
        let limit = Duration::from_secs(5);
        assert_eq!(timeout(&Tokio, limit, std::future::pending::<()>()).await, None);
        assert_eq!(Tokio.now() - begun, limit);
        assert_eq!(timeout(&Tokio, limit, async { 7 }).await, Some(7));
    }

    #[test]
    fn spread_returns_between_once_and_twice_the_base() {
        for _ in 0..100 {
            let drawn = spread(&Tokio, Duration::from_secs(1));
            assert!((1.0..=2.0).contains(&drawn.as_secs_f64()), "{drawn:?}");
        }
    }
}
