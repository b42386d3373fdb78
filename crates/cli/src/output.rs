//! The one place that writes results: for people, or one JSON object per line.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use serde::Serialize;

use crate::{escape::plain, failure::Failure};

/// How results are written to stdout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result: as it displays itself for people, or serialised.
    ///
    /// # Errors
    /// [`Failure::Unread`] when whoever read has gone.
    pub(crate) fn print(&self, result: &(impl Display + Serialize)) -> Result<(), Failure> {
        let line = self.line(result)?;
        // In one piece, so that lines of several threads do not mix.
        io::stdout().lock().write_all(line.as_bytes()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::because("cannot write to stdout", error),
        })
    }

    /// A result as [`print`](Self::print) writes it.
    pub(crate) fn line(&self, result: &(impl Display + Serialize)) -> Result<String, Failure> {
        let mut line = match self.json {
            true => serde_json::to_string(result).map_err(|e| Failure::because("cannot write JSON", e))?,
            false => plain(&result.to_string()),
        };
        line.push('\n');
        Ok(line)
    }

    /// Prints a result to stderr, as stdout holds data.
    pub(crate) fn print_aside(&self, result: &(impl Display + Serialize)) -> Result<(), Failure> {
        let line = self.line(result)?;
        // If stderr is closed, nobody reads it.
        _ = io::stderr().lock().write_all(line.as_bytes());
        Ok(())
    }

    /// Prints what stands beside the results: to stderr for people, among the results as JSON.
    pub(crate) fn note(&self, note: &(impl Display + Serialize)) -> Result<(), Failure> {
        if self.json {
            return self.print(note);
        }
        // Where stderr is gone, nobody wants notes.
        let _ = writeln!(io::stderr().lock(), "{}", plain(&note.to_string()));
        Ok(())
    }
}
