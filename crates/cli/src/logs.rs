//! Logs, to stderr.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// Says what is logged.
const VARIABLE: &str = "CHATCAMP_LOG";

/// Starts logging at `level`, unless the environment says otherwise.
pub(crate) fn start(level: &str) -> Result<(), Failure> {
    let filter = match env::var(VARIABLE) {
        Ok(wanted) if !wanted.is_empty() => EnvFilter::try_new(&wanted)
            .map_err(|e| Failure::usage(format!("{VARIABLE} is no log filter: {e}")))?,
        _ => EnvFilter::new(level),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // It would print to a stderr that has just failed.
        .log_internal_errors(false)
        .init();
    Ok(())
}
