//! The one place that writes results: for people, or one JSON object per line.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use serde::Serialize;

use crate::failure::Failure;

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

/// A result's text with all made visible that could play tricks on a terminal; its lines stay lines.
pub(crate) fn plain(text: &str) -> String {
    escaped(text, |c| is_tricky(c) && c != '\n')
}

/// What somebody else chose, such as a name, on one line: it cannot pass for a line of ours.
pub(crate) fn field(text: &str) -> String {
    escaped(text, is_tricky)
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_escaped(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// Control characters, marks that turn the direction of what follows, and ends of lines that are none to us.
fn is_tricky(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c\td\ne é"), "a\\u{1b}[2Jb\\u{9b}c\\td\ne é");
    }

    #[test]
    fn what_somebody_else_chose_stays_on_its_line_and_in_its_direction() {
        for tricky in ["\u{202e}", "\u{202a}", "\u{2066}", "\u{2069}", "\u{200f}", "\u{2028}"] {
            assert_eq!([plain(tricky), field(tricky)], [tricky.escape_unicode().to_string(), field(tricky)]);
        }
        assert_eq!(field("a\r\nb é עברית"), "a\\r\\nb é עברית");
    }
}
