//! Moments for people.

use std::fmt;

use serde::Serialize;

const DAY: u64 = 24 * 60 * 60;

/// Unix seconds; shown as date and time in UTC, 0 as `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Moment(pub(crate) u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("never");
        }
        let ((year, month, day), second) = (date(self.0 / DAY), self.0 % DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        f.pad(&format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z"))
    }
}

/// Year, month and day in the Gregorian calendar, so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, usize, u64) {
    const CYCLE: u64 = 146_097;
    let mut year = 1970 + 400 * (days / CYCLE);
    days %= CYCLE;
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    loop {
        let february = 28 + u64::from(is_leap(year));
        for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            if days < length {
                return (year, month, days + 1);
            }
            days -= length;
        }
        year += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        for (seconds, text) in [
            (0, "never"),
            (1, "1970-01-01 00:00:01Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_763_806_245, "2025-11-22 10:10:45Z"),
            (4_107_542_399, "2100-02-28 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(Moment(seconds).to_string(), text);
        }
        assert!(!Moment(u64::MAX).to_string().is_empty());
    }
}
