//! The reconnect policy: exponential back-off with full jitter, so that many clients do not reconnect at the same time.

use std::time::Duration;

use chatcamp_runtime::backoff;

/// When the client repeats an attempt to connect.
///
/// The delay before attempt *n* is random, from zero to `shortest` × 2ⁿ⁻¹, at most `longest`. The count restarts after a
/// connection that lasted for `stable`. A delay that the server asks for is added. A call of
/// [`connect`](crate::ChatCamp::connect) ends the delay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    shortest: Duration,
    longest: Duration,
    stable: Duration,
    keep_trying: bool,
}

impl Default for Reconnect {
    /// Delays from 0.5 s to 20 s, stable after 10 s; a failed first connect is not repeated.
    fn default() -> Self {
        Self {
            shortest: Duration::from_millis(500),
            longest: Duration::from_secs(20),
            stable: Duration::from_secs(10),
            keep_trying: false,
        }
    }
}

impl Reconnect {
    /// Sets the upper bound of the first delay, which doubles each time, and the longest bound.
    #[must_use]
    pub fn delays(mut self, shortest: Duration, longest: Duration) -> Self {
        self.shortest = shortest;
        self.longest = longest.max(shortest);
        self
    }

    /// Restarts the count after a connection that lasted this long.
    #[must_use]
    pub fn stable_after(mut self, stable: Duration) -> Self {
        self.stable = stable;
        self
    }

    /// Repeats the first connect too, until it succeeds or the error is not retryable.
    #[must_use]
    pub fn keep_trying(mut self) -> Self {
        self.keep_trying = true;
        self
    }

    pub(crate) fn is_patient(&self) -> bool {
        self.keep_trying
    }
}

/// The current count of attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: Reconnect,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(policy: Reconnect) -> Self {
        Self { policy, attempts: 0 }
    }

    /// Returns the number of the next attempt, from 1; 0 before the first delay.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempts
    }

    /// Returns the delay before the next attempt; `random` is uniformly distributed.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let delay = backoff(self.policy.shortest, self.policy.longest, self.attempts, random);
        self.attempts = self.attempts.saturating_add(1);
        delay
    }

    /// Records the end of a connection that lasted for `life`.
    pub(crate) fn lived(&mut self, life: Duration) {
        if life >= self.policy.stable {
            self.attempts = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = u64::MAX;

    fn seconds(delay: Duration) -> f64 {
        (delay.as_secs_f64() * 10.0).round() / 10.0
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Reconnect::default());
        let delays: Vec<_> = (0..8).map(|_| seconds(backoff.next(MOST))).collect();
        assert_eq!(delays, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]);
        assert_eq!(backoff.attempt(), 8);
    }

    #[test]
    fn each_delay_is_drawn_from_zero() {
        for (random, expected) in [(0, 0.0), (MOST / 4, 0.5), (MOST / 2, 1.0), (MOST, 2.0)] {
            let mut backoff = Backoff::new(Reconnect::default());
            (0..2).for_each(|_| assert_eq!(backoff.next(0), Duration::ZERO));
            assert_eq!(seconds(backoff.next(random)), expected);
        }
    }

    #[test]
    fn only_a_stable_connection_restarts_the_count() {
        let mut backoff = Backoff::new(Reconnect::default());
        (0..3).for_each(|_| assert_eq!(backoff.next(0), Duration::ZERO));
        backoff.lived(Duration::from_millis(9_999));
        assert_eq!(seconds(backoff.next(MOST)), 4.0);
        backoff.lived(Duration::from_secs(10));
        assert_eq!((backoff.attempt(), seconds(backoff.next(MOST))), (0, 0.5));
    }

    #[test]
    fn extreme_policies_do_not_overflow() {
        let mut backoff = Backoff::new(Reconnect::default().delays(Duration::MAX, Duration::ZERO));
        for _ in 0..40 {
            backoff.next(MOST);
        }
        let mut none = Backoff::new(Reconnect::default().delays(Duration::ZERO, Duration::ZERO));
        assert_eq!(none.next(MOST), Duration::ZERO);
    }
}
