//! Rates: how often something may happen.
//!
//! The algorithm is GCRA, the generic cell rate algorithm of ATM networks: the state is one time, that at which the whole burst is
//! available again. Times are milliseconds in a `u32`, so that a session has room for one.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// How often something may happen: `burst` times at once, and `per_second` times a second in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of times per second, 1 to 1,000. The time between two is rounded down to whole milliseconds.
    pub per_second: u32,
    /// The number of times at once after a pause, 1 to 1,000,000.
    pub burst: u32,
}

/// The state of one rate: when the whole burst is available again, in milliseconds of the clock that
/// [`take`](Self::take) is given.
///
/// The clock may wrap. A time that is further ahead than the burst lasts cannot have been stored by `take`, so it is in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meter(u32);

impl Rate {
    /// Returns the time between two in the long run, in milliseconds.
    fn interval(self) -> u32 {
        1000 / self.per_second.clamp(1, 1000)
    }

    /// Returns the time in which the whole burst becomes available, in milliseconds.
    fn window(self) -> u32 {
        self.interval() * self.burst.clamp(1, 1_000_000)
    }
}

impl Meter {
    /// Returns a state in which the whole burst is available.
    pub(crate) fn full(now: u32) -> Self {
        Self(now)
    }

    /// Counts one more.
    ///
    /// # Errors
    /// How long to wait until one more is allowed. The attempt is not counted.
    pub(crate) fn take(&mut self, rate: Rate, now: u32) -> Result<(), Duration> {
        let after = self.ahead(rate, now) + rate.interval();
        match after.checked_sub(rate.window()) {
            None | Some(0) => {
                self.0 = now.wrapping_add(after);
                Ok(())
            }
            Some(wait) => Err(Duration::from_millis(wait.into())),
        }
    }

    /// Counts one more, also if the burst is used up. Returns how long to delay it so that the rate holds: zero within the burst.
    ///
    /// One that would be delayed for more than `longest` is not counted. Then `longest` is returned.
    pub(crate) fn delay(&mut self, rate: Rate, longest: Duration, now: u32) -> Duration {
        let most = rate.window() + millis(longest);
        let after = self.ahead_within(most, now) + rate.interval();
        if after > most {
            return longest;
        }
        self.0 = now.wrapping_add(after);
        Duration::from_millis(after.saturating_sub(rate.window()).into())
    }

    /// Returns whether the whole burst is available, so that the state holds nothing worth keeping.
    pub(crate) fn is_full(self, rate: Rate, now: u32) -> bool {
        self.ahead(rate, now) == 0
    }

    /// Returns the time until the whole burst is available.
    pub(crate) fn until_full(self, rate: Rate, now: u32) -> Duration {
        Duration::from_millis(self.ahead(rate, now).into())
    }

    /// Returns the same for a state that [`delay`](Self::delay) counts with.
    pub(crate) fn is_full_within(self, rate: Rate, longest: Duration, now: u32) -> bool {
        self.ahead_within(rate.window() + millis(longest), now) == 0
    }

    /// Returns how many are allowed at once now.
    #[cfg(feature = "api")]
    pub(crate) fn remaining(self, rate: Rate, now: u32) -> u32 {
        (rate.window() - self.ahead(rate, now)) / rate.interval()
    }

    /// Returns the time until the whole burst is available, in milliseconds.
    fn ahead(self, rate: Rate, now: u32) -> u32 {
        self.ahead_within(rate.window(), now)
    }

    /// Returns the same if the time may be up to `most` milliseconds ahead.
    fn ahead_within(self, most: u32, now: u32) -> u32 {
        let ahead = self.0.wrapping_sub(now);
        if ahead <= most { ahead } else { 0 }
    }
}

/// Converts a wait to milliseconds, at most a million seconds.
fn millis(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).min(1_000_000_000)
}

/// A [`Meter`] that several threads read, and one at a time changes.
#[derive(Debug)]
pub(crate) struct SharedMeter(AtomicU32);

impl SharedMeter {
    pub(crate) fn new(meter: Meter) -> Self {
        Self(AtomicU32::new(meter.0))
    }

    pub(crate) fn get(&self) -> Meter {
        Meter(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, meter: Meter) {
        self.0.store(meter.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 5, burst: 3 };

    #[test]
    fn a_burst_is_allowed_and_then_one_per_interval() {
        let mut meter = Meter::full(10_000);
        for _ in 0..3 {
            assert_eq!(meter.take(RATE, 10_000), Ok(()));
        }
        assert_eq!(meter.take(RATE, 10_000), Err(Duration::from_millis(200)));
        assert_eq!(meter.remaining(RATE, 10_199), 0);
        assert_eq!((meter.remaining(RATE, 10_200), meter.remaining(RATE, 10_600)), (1, 3));
        assert_eq!(
            meter.take(RATE, 10_150),
            Err(Duration::from_millis(50)),
            "a refused attempt does not count"
        );
        assert_eq!(meter.take(RATE, 10_200), Ok(()));
        assert_eq!(meter.take(RATE, 10_200), Err(Duration::from_millis(200)));
        assert!(!meter.is_full(RATE, 10_799) && meter.is_full(RATE, 10_800));
    }

    #[test]
    fn a_delay_keeps_the_rate_beyond_the_burst_and_has_a_bound() {
        let longest = Duration::from_millis(900);
        for begin in [10_000, u32::MAX - 700] {
            let mut meter = Meter::full(begin);
            let delays: Vec<_> = (0..10).map(|_| meter.delay(RATE, longest, begin).as_millis()).collect();
            assert_eq!(delays, [0, 0, 0, 200, 400, 600, 800, 900, 900, 900]);
            let now = begin.wrapping_add(800);
            assert_eq!(
                meter.delay(RATE, longest, now),
                Duration::from_millis(200),
                "the last ones did not count"
            );
            assert!(!meter.is_full_within(RATE, longest, begin.wrapping_add(1_599)));
            assert!(meter.is_full_within(RATE, longest, begin.wrapping_add(1_600)));
        }
    }

    #[test]
    fn the_clock_may_wrap() {
        let late = u32::MAX - 100;
        let mut meter = Meter::full(late);
        for _ in 0..3 {
            assert_eq!(meter.take(RATE, late), Ok(()));
        }
        assert_eq!(meter.take(RATE, late.wrapping_add(150)), Err(Duration::from_millis(50)));
        assert_eq!(meter.take(RATE, late.wrapping_add(200)), Ok(()));
        assert!(meter.is_full(RATE, late.wrapping_add(u32::MAX / 2)));
    }

    /// A bucket that holds `burst` and gains one per interval decides in the same way.
    #[test]
    fn it_decides_as_a_bucket_does() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        for _ in 0..300 {
            let rate = Rate { per_second: 1 + below(1000) as u32, burst: 1 + below(50) as u32 };
            let interval = u64::from(rate.interval());
            let full = u64::from(rate.burst) * interval;
            let mut now = below(1 << 32) as u32;
            let (mut meter, mut bucket) = (Meter::full(now), full);
            for _ in 0..100 {
                let pause = match below(3) {
                    0 => 0,
                    1 => below(2 * interval),
                    _ => below(2 * full),
                };
                now = now.wrapping_add(pause as u32);
                bucket = (bucket + pause).min(full);
                match meter.take(rate, now) {
                    Ok(()) => bucket = bucket.checked_sub(interval).expect("the bucket has one"),
                    Err(wait) => assert_eq!(bucket + wait.as_millis() as u64, interval, "{rate:?}"),
                }
            }
        }
    }
}
