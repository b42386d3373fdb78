//! `simulate`: the real client and server under seeded schedules, in a program of their own.

use crate::cargo::{cargo, line, succeed};
use crate::failure::Failure;

/// Runs what is asked for: `--seed N`, `--seeds N`, `--seconds N` and what else the program takes.
///
/// # Errors
///
/// If an invariant is broken; the program shows seed and steps.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut simulate = cargo(&["run", "--quiet", "--package", "chatcamp-simulation", "--"]);
    simulate.args(args);
    println!("{}", line(&simulate));
    succeed(simulate)
}

/// As many seeds as fit into a minute; the program says how many.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn for_a_minute() -> Result<(), Failure> {
    run(&["--seconds".to_owned(), "60".to_owned()])
}
