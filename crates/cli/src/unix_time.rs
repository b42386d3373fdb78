//! Displays Unix times as dates.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

/// Unix seconds, displayed as a date and time in UTC; 0 is displayed as `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct UnixTime(pub(crate) u64);

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("never");
        }
        // The calendar ends with the year 9999; later times are displayed as its end.
        let seconds = i64::try_from(self.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        f.pad(&seconds.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d %H:%M:%SZ").to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_times_are_displayed_as_dates() {
        for (seconds, text) in [
            (0, "never"),
            (1, "1970-01-01 00:00:01Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_763_806_245, "2025-11-22 10:10:45Z"),
            (4_107_542_399, "2100-02-28 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(UnixTime(seconds).to_string(), text);
        }
        assert!(!UnixTime(u64::MAX).to_string().is_empty());
    }
}
