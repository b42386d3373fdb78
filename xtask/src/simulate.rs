//! `simulate`: runs the simulator, with the real client and server under seeded schedules.

use crate::cargo::{cargo, line, succeed};
use crate::failure::Failure;

/// Runs the simulator with `args`, such as `--seed N`, `--seeds N` or `--seconds N`.
///
/// # Errors
///
/// If an invariant is broken; the simulator prints the seed and the steps.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut simulate = cargo(&["run", "--quiet", "--package", "chatcamp-simulation", "--"]);
    simulate.args(args);
    println!("{}", line(&simulate));
    succeed(simulate)
}

/// Runs as many seeds as fit into a minute; the simulator prints how many.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn for_a_minute() -> Result<(), Failure> {
    run(&["--seconds".to_owned(), "60".to_owned()])
}
