//! Times for readers: relative to now, and in UTC.

use std::fmt;

use jiff::Timestamp;
use maud::{Markup, html};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time in Unix seconds, displayed as date and time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Utc(pub(super) u64);

/// A past time, relative to `now`, with the exact time as a tooltip; 0 is shown as "never".
pub(super) fn ago(then: u64, now: u64) -> Markup {
    html! {
        @if then == 0 { "never" } @else {
            time datetime=(Utc(then).iso()) title=(Utc(then)) {
                @if now.saturating_sub(then) < MINUTE { "just now" } @else { (duration(now - then)) " ago" }
            }
        }
    }
}

/// A future time, relative to `now`, with the exact time as a tooltip.
pub(super) fn until(then: u64, now: u64) -> Markup {
    html! {
        time datetime=(Utc(then).iso()) title=(Utc(then)) {
            @if then <= now { "now" } @else { "in " (duration(then - now)) }
        }
    }
}

/// Formats a duration in minutes or larger units: with seconds, a page that reloads its data would change all the time.
pub(super) fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..MINUTE => return "less than a minute".into(),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..DAY => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

impl Utc {
    pub(super) fn iso(self) -> String {
        self.to_string().replacen(' ', "T", 1).replacen(" UTC", "Z", 1)
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The calendar ends with the year 9999.
        let seconds = i64::try_from(self.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        write!(f, "{}", seconds.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d %H:%M:%S UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_763_806_245, "2025-11-22 10:10:45 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(Utc(seconds).to_string(), text);
        }
        assert_eq!(Utc(1_763_806_245).iso(), "2025-11-22T10:10:45Z");
    }

    #[test]
    fn durations_are_in_the_largest_unit_that_fits() {
        for (seconds, text) in [
            (0, "less than a minute"),
            (59, "less than a minute"),
            (60, "1 minute"),
            (7199, "1 hour"),
            (7200, "2 hours"),
            (86_400, "1 day"),
            (864_000, "10 days"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
