//! The trace of a schedule: the last lines in full, and a digest of all of them.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    time::Duration,
};

use parking_lot::Mutex;

/// The trace of a schedule. No line may contain a secret or anything that the seed does not determine.
#[derive(Debug)]
pub(crate) struct Trace {
    keep: usize,
    lines: Mutex<Lines>,
}

#[derive(Debug)]
struct Lines {
    digest: u64,
    count: u64,
    last: VecDeque<String>,
}

impl Trace {
    /// Keeps this many of the last lines.
    pub(crate) fn new(keep: usize) -> Self {
        // The offset basis of FNV-1a.
        let lines = Lines { digest: 0xcbf2_9ce4_8422_2325, count: 0, last: VecDeque::new() };
        Self { keep, lines: Mutex::new(lines) }
    }

    /// Counts a step without keeping a line for it.
    pub(crate) fn count_step(&self, task: u64) {
        let mut lines = self.lines.lock();
        lines.count += 1;
        lines.add(&task.to_le_bytes());
    }

    pub(crate) fn note(&self, at: Duration, what: fmt::Arguments<'_>) {
        let mut lines = self.lines.lock();
        let mut line = if lines.last.len() < self.keep {
            String::new()
        } else {
            lines.last.pop_front().unwrap_or_default()
        };
        line.clear();
        write!(line, "{:>10.3} {what}", at.as_secs_f64()).expect("a string takes every text");
        lines.add(line.as_bytes());
        lines.count += 1;
        lines.last.push_back(line);
    }

    /// Returns the digest of all lines (FNV-1a), which differs if any line does.
    pub(crate) fn digest(&self) -> u64 {
        self.lines.lock().digest
    }

    pub(crate) fn count(&self) -> u64 {
        self.lines.lock().count
    }

    pub(crate) fn last(&self) -> Vec<String> {
        self.lines.lock().last.iter().cloned().collect()
    }
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_counts_and_the_last_are_kept() {
        let (one, two) = (Trace::new(9), Trace::new(9));
        for n in 0..10 {
            one.note(Duration::ZERO, format_args!("{n}"));
            two.note(Duration::ZERO, format_args!("{}", n.max(1)));
        }
        assert_ne!(one.digest(), two.digest());
        assert_eq!((one.last().len(), one.count()), (9, 10));
        assert!(one.last()[0].ends_with(" 1"));
    }
}
