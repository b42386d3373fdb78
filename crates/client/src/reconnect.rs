//! When to try again: full jitter, so that a thousand clients do not come back at once.

use std::time::Duration;

/// The policy of later attempts, and of the first.
///
/// The delay before attempt *n* is drawn evenly from zero to `shortest` × 2ⁿ⁻¹, at most `longest`. A connection that
/// lived for `stable` starts the count anew. What the server asks for is waited for on top. A call of
/// [`connect`](crate::ChatCamp::connect) ends the delay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    shortest: Duration,
    longest: Duration,
    stable: Duration,
    keep_trying: bool,
}

impl Default for Reconnect {
    /// 0.5 s to 20 s, stable after 10 s, failing fast.
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
    /// Draws the first delay from zero to `shortest`, doubled each time up to `longest`.
    #[must_use]
    pub fn delays(mut self, shortest: Duration, longest: Duration) -> Self {
        (self.shortest, self.longest) = (shortest, longest.max(shortest));
        self
    }

    /// Starts the count anew once a connection has lived for this long.
    #[must_use]
    pub fn stable_after(mut self, stable: Duration) -> Self {
        self.stable = stable;
        self
    }

    /// Lets the first connect be retried like any other, until it succeeds or retrying makes no sense.
    #[must_use]
    pub fn keep_trying(mut self) -> Self {
        self.keep_trying = true;
        self
    }

    pub(crate) fn is_patient(&self) -> bool {
        self.keep_trying
    }
}

/// Where a client stands in its policy.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: Reconnect,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(policy: Reconnect) -> Self {
        Self { policy, attempts: 0 }
    }

    /// Which attempt comes next, from 1; 0 before the first delay.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempts
    }

    /// The delay before the next attempt; `random` is evenly distributed.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let most = self.policy.shortest.saturating_mul(1 << self.attempts.min(30)).min(self.policy.longest);
        self.attempts = self.attempts.saturating_add(1);
        // Whole microseconds; the top 32 bits are as even as all of them.
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        let drawn = (u128::from(micros) * u128::from(random >> 32)) >> 32;
        Duration::from_micros(u64::try_from(drawn).unwrap_or(u64::MAX))
    }

    /// A connection has ended that lived for `life`.
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
    fn only_a_stable_connection_starts_the_count_anew() {
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
