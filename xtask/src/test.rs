//! Runs tests: passes their output through and adds up the summaries of all test binaries.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use crate::cargo::line;
use crate::failure::Failure;

/// The number of tests that passed, failed and were skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    /// Reads the summary line of a test binary. Returns `None` for any other line.
    fn of_summary(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        let count = |what: &str| -> Option<u64> {
            counts.split("; ").find_map(|part| part.strip_suffix(what))?.trim().parse().ok()
        };
        Some(Self { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
    }

    /// Returns the number of tests that ran.
    fn ran(self) -> u64 {
        self.passed + self.failed
    }

    /// Adds a run of the tests that earlier runs skipped.
    pub(crate) fn add_run_of_skipped(&mut self, run: Self) {
        let left = self.skipped.saturating_sub(run.ran());
        *self += run;
        self.skipped = left;
    }
}

/// What runs of tests reported.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) counts: Counts,
    /// The name and the reason of each ignored test.
    pub(crate) ignored: Vec<(String, String)>,
}

impl Ran {
    /// Adds another run.
    pub(crate) fn add(&mut self, run: Self) {
        self.counts += run.counts;
        self.ignored.extend(run.ignored);
    }

    fn read(&mut self, line: &str) {
        if let Some(summary) = Counts::of_summary(line) {
            self.counts += summary;
        }
        let test = line.trim_end().strip_prefix("test ").and_then(|rest| rest.split_once(" ... ignored, "));
        if let Some((name, reason)) = test {
            self.ignored.push((name.to_owned(), reason.to_owned()));
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Runs a `cargo test`, copies its output to `to`, and returns what its binaries reported with the result.
pub(crate) fn run(mut test: Command, to: impl Write) -> (Ran, Result<(), Failure>) {
    let mut ran = Ran::default();
    let ended = stream(&mut test, to, &mut ran);
    let verdict = match ended {
        Err(why) => Err(why),
        Ok(false) => Err(format!("{} failed", line(&test)).into()),
        Ok(true) if ran.counts.ran() == 0 => Err(format!("{} ran no test", line(&test)).into()),
        Ok(true) => Ok(()),
    };
    (ran, verdict)
}

fn stream(test: &mut Command, to: impl Write, ran: &mut Ran) -> Result<bool, Failure> {
    let mut process = test.stdout(Stdio::piped()).spawn()?;
    let stdout = process.stdout.take().expect("stdout is piped");
    let copied = copy_and_read(BufReader::new(stdout), to, ran);
    let status = process.wait()?;
    copied?;
    Ok(status.success())
}

fn copy_and_read(mut from: impl BufRead, mut to: impl Write, ran: &mut Ran) -> io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        ran.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_added_up_and_every_byte_is_passed_on() {
        let output = "\
running 3 tests
test test result: ok. 9 passed ... ok
test documents::in_php ... ignored, needs php: apt-get install php-cli
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s

test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.02s
no newline at the end";
        let (mut ran, mut copy) = (Ran::default(), Vec::new());
        copy_and_read(output.as_bytes(), &mut copy, &mut ran).unwrap();
        assert_eq!(String::from_utf8(copy).unwrap(), output);
        assert_eq!(ran.counts.to_string(), "12 passed, 2 failed, 1 skipped");
        let (test, reason) = &ran.ignored[0];
        assert_eq!(
            (test.as_str(), reason.as_str()),
            ("documents::in_php", "needs php: apt-get install php-cli")
        );
    }

    #[test]
    fn a_run_of_skipped_tests_reduces_the_skipped() {
        let mut counts = Counts { passed: 100, failed: 0, skipped: 19 };
        counts.add_run_of_skipped(Counts { passed: 17, failed: 1, skipped: 0 });
        assert_eq!(counts, Counts { passed: 117, failed: 1, skipped: 1 });
    }

    #[test]
    fn a_command_that_runs_no_test_is_a_failure() {
        let (ran, verdict) = run(Command::new("true"), io::sink());
        assert_eq!(ran, Ran::default());
        assert!(verdict.unwrap_err().to_string().contains("no test"));
    }

    #[test]
    fn a_command_that_fails_is_a_failure_whatever_it_counted() {
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured'; exit 101"]);
        let (ran, verdict) = run(failing, io::sink());
        assert_eq!(ran.counts.passed, 1);
        assert!(verdict.is_err());
    }
}
