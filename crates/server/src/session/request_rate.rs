//! The rate of the requests of one session.

use std::{sync::atomic::Ordering, time::Duration};

use super::Session;
use crate::rate::{Meter, Rate};

/// The connection of a session ends when this many times the burst were refused.
const REFUSED_BURSTS: u32 = 3;

/// What to do with a request, judged by the rate of the session's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestPace {
    /// Carry it out.
    Allowed,
    /// Refuse it. One more is allowed after this time.
    TooFast(Duration),
    /// Refuse it and end the connection: the client ignores refusals. It may resume its session after `resume_after`.
    Flood {
        /// The time after which one more request is allowed.
        wait: Duration,
        /// The time after which the whole burst is available.
        resume_after: Duration,
    },
}

impl Session {
    /// Counts a request at millisecond `now`. Requests that are refused do not count against the rate; they are counted apart. A
    /// request that is allowed takes one from that count, and a pause after which the whole burst is available resets it.
    ///
    /// The caller holds the lock of the session's work, as the driver of its connection does.
    pub(crate) fn count_request(&self, rate: Rate, now: u32) -> RequestPace {
        let mut meter = self.requests.get();
        let mut refused = self.refused.load(Ordering::Relaxed);
        let pace = count(&mut meter, &mut refused, rate, now);
        self.requests.set(meter);
        self.refused.store(refused, Ordering::Relaxed);
        pace
    }

    /// Returns the time that the client has to wait before it may resume the session; `None` unless its requests flooded the server.
    pub(crate) fn flood_wait(&self, rate: Rate, now: u32) -> Option<Duration> {
        let is_flood = self.refused.load(Ordering::Relaxed) >= most_refused(rate);
        let wait = self.requests.get().until_full(rate, now);
        (is_flood && !wait.is_zero()).then_some(wait)
    }
}

/// Counts a request at millisecond `now`, given the number of refused requests.
fn count(meter: &mut Meter, refused: &mut u16, rate: Rate, now: u32) -> RequestPace {
    if meter.is_full(rate, now) {
        *refused = 0;
    }
    match meter.take(rate, now) {
        Ok(()) => {
            *refused = refused.saturating_sub(1);
            RequestPace::Allowed
        }
        Err(wait) if *refused < most_refused(rate) => {
            *refused += 1;
            RequestPace::TooFast(wait)
        }
        Err(wait) => RequestPace::Flood { wait, resume_after: meter.until_full(rate, now) },
    }
}

/// Returns the number of refused requests after which the next one ends the connection.
fn most_refused(rate: Rate) -> u16 {
    u16::try_from(rate.burst.max(1).saturating_mul(REFUSED_BURSTS)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use super::*;

    const RATE: Rate = Rate { per_second: 20, burst: 100 };

    /// Counts requests, each after a pause in milliseconds. Returns how many were allowed, too fast and a flood.
    fn outcomes(rate: Rate, pauses: impl IntoIterator<Item = u32>) -> (usize, usize, usize) {
        let (mut now, mut meter, mut refused) = (7, Meter::full(7), 0);
        let mut counts = (0, 0, 0);
        for pause in pauses {
            now += pause;
            match count(&mut meter, &mut refused, rate, now) {
                RequestPace::Allowed => counts.0 += 1,
                RequestPace::TooFast(_) => counts.1 += 1,
                RequestPace::Flood { .. } => counts.2 += 1,
            }
        }
        counts
    }

    #[test]
    fn four_bursts_at_once_are_a_flood() {
        assert_eq!(outcomes(RATE, repeat_n(0, 405)), (100, 300, 5));
        assert_eq!(
            outcomes(Rate { per_second: 0, burst: 0 }, repeat_n(0, 6)),
            (1, 3, 2),
            "as if both were 1"
        );
        let large = Rate { per_second: 1000, burst: 1_000_000 };
        assert_eq!(outcomes(large, repeat_n(0, 1_065_540)), (1_000_000, 65_535, 5));
    }

    #[test]
    fn a_client_at_twice_the_rate_is_served_at_the_rate_and_never_a_flood() {
        const SECONDS: usize = 500;
        let (allowed, refused, floods) = outcomes(RATE, repeat_n(25, 40 * SECONDS));
        assert!((20 * SECONDS..=20 * SECONDS + 100).contains(&allowed), "{allowed}");
        assert_eq!((refused, floods), (40 * SECONDS - allowed, 0));
    }

    /// A model with a bucket of requests, a count of the refused ones, and no clock that wraps.
    #[test]
    fn it_decides_as_a_bucket_and_a_count_do() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        let mut seen = [0; 3];
        for _ in 0..300 {
            let rate = Rate { per_second: 1 + below(1000) as u32, burst: 1 + below(20) as u32 };
            let interval = u64::from(1000 / rate.per_second);
            let full = u64::from(rate.burst) * interval;
            let mut now = below(1 << 32) as u32;
            let (mut meter, mut refused) = (Meter::full(now), 0);
            let (mut bucket, mut refused_in_model) = (full, 0_u64);
            for _ in 0..400 {
                let pause = match below(40) {
                    0 => 2 * full,
                    1..10 => below(2 * interval),
                    _ => 0,
                };
                now = now.wrapping_add(pause as u32);
                bucket = (bucket + pause).min(full);
                if bucket == full {
                    refused_in_model = 0;
                }
                let expected = if bucket >= interval {
                    bucket -= interval;
                    refused_in_model = refused_in_model.saturating_sub(1);
                    seen[0] += 1;
                    RequestPace::Allowed
                } else {
                    let wait = Duration::from_millis(interval - bucket);
                    if refused_in_model < 3 * u64::from(rate.burst) {
                        refused_in_model += 1;
                        seen[1] += 1;
                        RequestPace::TooFast(wait)
                    } else {
                        seen[2] += 1;
                        RequestPace::Flood { wait, resume_after: Duration::from_millis(full - bucket) }
                    }
                };
                assert_eq!(count(&mut meter, &mut refused, rate, now), expected, "{rate:?}");
            }
        }
        assert!(seen.iter().all(|&times| times > 1000), "each outcome was tested: {seen:?}");
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn the_state_of_the_rate_is_in_the_padding_of_a_session() {
        assert!(size_of::<Session>() <= 352);
    }
}
