//! Counts and the summary of an import.

use std::{fmt, time::Duration};

use chatcamp_server::Written;
use serde::Serialize;

/// The numbers of imported users and failed lines.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Tally {
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
    pub(super) failed: u64,
    /// Unknown fields of imported and failed lines.
    pub(super) ignored_fields: u64,
}

/// The summary at the end.
#[derive(Serialize)]
pub(super) struct Summary {
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// The number of the last completed line.
    pub(super) lines: u64,
    pub(super) seconds: f64,
    /// Users per second.
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

    /// Returns the number of users who are now as their lines say.
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

/// Returns the number of users per second.
pub(super) fn rate(users: u64, took: Duration) -> u64 {
    (users as f64 / took.as_secs_f64().max(0.001)) as u64
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tally: Tally { created, updated, unchanged, failed, ignored_fields }, seconds, rate, ..
        } = self;
        write!(f, "created {created}, updated {updated}, unchanged {unchanged}, failed {failed}")?;
        if *ignored_fields > 0 {
            write!(f, ", ignored {ignored_fields} unknown fields")?;
        }
        write!(f, "    {seconds:.1} s, {rate} users/s")
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.error)
    }
}
