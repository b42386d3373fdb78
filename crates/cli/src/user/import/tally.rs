//! What came of an import.

use std::{fmt, time::Duration};

use chatcamp_server::Written;
use serde::Serialize;

/// Counts of users, and of lines that are none.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Tally {
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
    pub(super) failed: u64,
}

/// The last word.
#[derive(Serialize)]
pub(super) struct Summary {
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// The number of the last line that is done.
    pub(super) lines: u64,
    pub(super) seconds: f64,
    /// Users a second.
    pub(super) rate: u64,
}

/// A line that was not imported.
#[derive(Serialize)]
pub(super) struct BadLine {
    pub(super) line: u64,
    pub(super) error: String,
}

impl Tally {
    pub(super) fn count(&mut self, written: Written) {
        *match written {
            Written::Created => &mut self.created,
            Written::Claimed | Written::Changed => &mut self.updated,
            Written::Unchanged => &mut self.unchanged,
        } += 1;
    }

    /// Users who are as their lines say.
    pub(super) fn users(&self) -> u64 {
        self.created + self.updated + self.unchanged
    }
}

impl Summary {
    pub(super) fn new(tally: Tally, lines: u64, took: Duration) -> Self {
        Self {
            tally,
            lines,
            seconds: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            rate: rate(tally.users(), took),
        }
    }
}

/// So many in that time, a second.
pub(super) fn rate(users: u64, took: Duration) -> u64 {
    (users as f64 / took.as_secs_f64().max(0.001)) as u64
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally: Tally { created, updated, unchanged, failed }, seconds, rate, .. } = self;
        write!(f, "created {created}, updated {updated}, unchanged {unchanged}, failed {failed}")?;
        write!(f, "    {seconds:.1} s, {rate} users/s")
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.error)
    }
}
