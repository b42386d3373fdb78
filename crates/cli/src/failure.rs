//! Why a command failed, and how that is said.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use chatcamp_server::{AccountError, DataDirError};
use chatcamp_store::StoreError;

use crate::escape::plain;

/// Any cause.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// Why a command ends without having done all it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was called in a way that cannot work. Exit code 2.
    Usage(Cause),
    /// It was refused, or something failed. Exit code 1.
    Failed(Cause),
    /// Nobody reads its output any more, which is fine.
    Unread,
}

/// A cause with what it prevented.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Prevented {
    what: String,
    #[source]
    cause: Cause,
}

impl Failure {
    /// A mistake in how the command was called.
    pub(crate) fn usage(why: impl Into<Cause>) -> Self {
        Self::Usage(why.into())
    }

    /// Something failed.
    pub(crate) fn failed(why: impl Into<Cause>) -> Self {
        Self::Failed(why.into())
    }

    /// Something failed, and `what` could not be done.
    pub(crate) fn because(what: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self::failed(Prevented { what: what.into(), cause: cause.into() })
    }

    /// Says it, in one line on stderr.
    pub(crate) fn report(&self) -> ExitCode {
        let (cause, code) = match self {
            Self::Usage(cause) => (cause, 2),
            Self::Failed(cause) => (cause, 1),
            Self::Unread => return ExitCode::SUCCESS,
        };
        let line = plain(&format!("error: {}", chain(&**cause))).replace('\n', " ");
        // Where even stderr is gone, the exit code has to do.
        let _ = writeln!(io::stderr().lock(), "{line}");
        ExitCode::from(code)
    }
}

/// An error and its sources, those left out that the text before them contains.
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
            AccountError::InvalidToken(_) | AccountError::OverLimit(_) | AccountError::InvalidName => {
                Self::usage(error)
            }
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
