//! Failures of commands, and how they are reported.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use chatcamp_server::{AccountError, DataDirError};
use chatcamp_store::StoreError;

use crate::{colour, escape::plain};

/// Any cause.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments or their files are invalid. Exit code 2.
    Usage(Cause),
    /// The command was refused or failed. Exit code 1.
    Failed(Cause),
    /// The reader of stdout has closed it, which is not an error. Exit code 0.
    Unread,
}

/// A cause, and the action that it prevented.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Prevented {
    what: String,
    #[source]
    cause: Cause,
}

impl Failure {
    /// Creates a failure for invalid arguments.
    pub(crate) fn usage(why: impl Into<Cause>) -> Self {
        Self::Usage(why.into())
    }

    /// Creates a failure with a cause.
    pub(crate) fn failed(why: impl Into<Cause>) -> Self {
        Self::Failed(why.into())
    }

    /// Creates a failure with a cause, and with `what` could not be done.
    pub(crate) fn because(what: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::failed(Prevented { what: what.into(), cause: cause.into() })
    }

    /// Reports the failure in one line on stderr, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (cause, code) = match self {
            Self::Usage(cause) => (cause, 2),
            Self::Failed(cause) => (cause, 1),
            Self::Unread => return ExitCode::SUCCESS,
        };
        let line = plain(&format!("error: {}", chain(&**cause))).replace('\n', " ");
        let stderr = io::stderr();
        let line =
            if colour::is_wanted(&stderr) { colour::begin(&line, "error:".len(), colour::BAD) } else { line };
        // If stderr is closed too, only the exit code remains.
        let _ = writeln!(stderr.lock(), "{line}");
        ExitCode::from(code)
    }
}

/// Returns the text of an error and its sources, except those whose text it already contains.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        Self::failed(error)
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::InvalidToken(_)
            | AccountError::OverLimit(_)
            | AccountError::InvalidName
            | AccountError::TooManyOrigins(_) => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_repeats_nothing() {
        let inner = Prevented { what: "disk full".into(), cause: "28".into() };
        let outer = Prevented { what: "cannot write: disk full".into(), cause: inner.into() };
        assert_eq!(chain(&outer), "cannot write: disk full: 28");
    }
}
