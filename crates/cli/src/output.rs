//! Writes results as text for people, or as one JSON object per line.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

use anstyle::Style;
use serde::Serialize;

use crate::{colour, escape::plain, failure::Failure};

/// How results are written to stdout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    is_terminal: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, is_terminal: io::stdout().is_terminal() }
    }

    /// Returns whether stdout is a terminal and results are text for people.
    pub(crate) fn is_for_people(&self) -> bool {
        self.is_terminal && !self.json
    }

    /// Returns whether results are written as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result, as text or as JSON.
    ///
    /// # Errors
    /// [`Failure::Unread`] if the reader has closed stdout.
    pub(crate) fn print(&self, result: &(impl Display + Serialize)) -> Result<(), Failure> {
        self.write(&self.line(result)?)
    }

    /// Writes lines to stdout.
    pub(crate) fn write(&self, lines: &str) -> Result<(), Failure> {
        // In one write, so that lines of several threads do not mix.
        io::stdout().lock().write_all(lines.as_bytes()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Unread,
            _ => Failure::because("cannot write to stdout", error),
        })
    }

    /// Prints a result; on a terminal, in colours. `style` returns the style of a line, and how many of its first bytes it applies to.
    pub(crate) fn print_styled(
        &self,
        result: &(impl Display + Serialize),
        style: impl Fn(&str) -> (Style, usize),
    ) -> Result<(), Failure> {
        if self.json || !colour::is_wanted(&io::stdout()) {
            return self.print(result);
        }
        let styled = |line: &str| {
            let (style, length) = style(line);
            colour::begin(line, length, style)
        };
        self.write(
            &self.line(result)?.lines().map(styled).fold(String::new(), |all, line| all + &line + "\n"),
        )
    }

    /// Returns a result as [`print`](Self::print) writes it.
    pub(crate) fn line(&self, result: &(impl Display + Serialize)) -> Result<String, Failure> {
        let mut line = if self.json {
            serde_json::to_string(result).map_err(|e| Failure::because("cannot write JSON", e))?
        } else {
            plain(&result.to_string())
        };
        line.push('\n');
        Ok(line)
    }

    /// Prints a result to stderr, for commands that write data to stdout.
    pub(crate) fn print_aside(&self, result: &(impl Display + Serialize)) -> Result<(), Failure> {
        let line = self.line(result)?;
        // If stderr is closed, there is no reader.
        _ = io::stderr().lock().write_all(line.as_bytes());
        Ok(())
    }

    /// Prints a note: to stderr as text, or to stdout among the results as JSON.
    pub(crate) fn note(&self, note: &(impl Display + Serialize)) -> Result<(), Failure> {
        if self.json {
            return self.print(note);
        }
        // If stderr is closed, there is no reader.
        let _ = writeln!(io::stderr().lock(), "{}", plain(&note.to_string()));
        Ok(())
    }
}
