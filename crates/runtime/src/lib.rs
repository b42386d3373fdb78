//! Time, randomness and tasks, passed in.
//!
//! The drivers of client and server ask a [`Runtime`] for all three, and nothing else for any of them. So the same code runs
//! on tokio ([`Tokio`]), on an executor of one's own, and in a simulation whose clock stands still.

#[cfg(feature = "tokio")]
mod on_tokio;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

#[cfg(feature = "tokio")]
pub use on_tokio::Tokio;

/// What `after` takes for a moment beyond all clocks.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A future that a runtime keeps or runs.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where drivers have their time, their randomness and their tasks from.
///
/// # Duties of an implementer
/// - Time never runs backwards; a sleep ends at its moment or later, never earlier.
/// - A task runs until it ends, without anybody waiting for it.
pub trait Runtime: fmt::Debug + Send + Sync {
    /// The moment it is.
    fn now(&self) -> Instant;

    /// Ends at `deadline`.
    fn sleep_until(&self, deadline: Instant) -> Task;

    /// Runs a task beside all others.
    fn spawn(&self, task: Task);

    /// An evenly distributed number, for what is to be spread. Secrets are made elsewhere.
    fn random(&self) -> u64 {
        // Without randomness the middle is as good as any: it spreads nothing, but keeps away.
        getrandom::u64().unwrap_or(u64::MAX / 2)
    }
}

/// The moment `wait` after `now`, far away where that lies beyond all clocks.
#[must_use]
pub fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or_else(|| now + FAR)
}

/// A time between `base` and twice that, so that many who are told to come back do not come at once.
pub fn spread(runtime: &dyn Runtime, base: Duration) -> Duration {
    // Sixteen bits are as even as sixty-four.
    let share = u32::try_from(runtime.random() >> 48).unwrap_or(0);
    base.saturating_add((base / u32::from(u16::MAX)).saturating_mul(share))
}

/// The output of `future`, or nothing when `deadline` comes first.
///
/// # Cancel safety
/// As `future`.
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

/// The same with a time from now on.
///
/// # Cancel safety
/// As `future`.
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
    fn a_time_beyond_all_clocks_is_far_away() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::MAX), now + FAR);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_out_ends_what_does_not_end() {
        let (begun, limit) = (Tokio.now(), Duration::from_secs(5));
        assert_eq!(timeout(&Tokio, limit, std::future::pending::<()>()).await, None);
        assert_eq!(Tokio.now() - begun, limit);
        assert_eq!(timeout(&Tokio, limit, async { 7 }).await, Some(7));
    }

    #[test]
    fn what_is_spread_lies_between_once_and_twice() {
        for _ in 0..100 {
            let drawn = spread(&Tokio, Duration::from_secs(1));
            assert!((1.0..=2.0).contains(&drawn.as_secs_f64()), "{drawn:?}");
        }
    }
}
