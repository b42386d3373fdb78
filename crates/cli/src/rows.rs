//! Results of commands that scripts read: labels and columns on a terminal, bare values otherwise.
//!
//! If stdout is not a terminal, one value is a line, an entry of a list is a line of values separated by tabs, and other results are
//! lines of a name, a tab and a value. Values contain no tabs and no line breaks: both are escaped.

use std::fmt::{Display, Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::{escape::field, failure::Failure, output::Output};

/// The title of a column, and its width on a terminal.
pub(crate) type Column = (&'static str, usize);

/// A list, whose entries are printed one by one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    out: Output,
    columns: &'static [Column],
}

impl Output {
    /// Prints a result whose only new value is `value`.
    pub(crate) fn print_value(
        &self,
        result: &(impl Display + Serialize),
        value: impl Display,
    ) -> Result<(), Failure> {
        if self.is_json() || self.is_for_people() {
            return self.print(result);
        }
        self.write(&format!("{}\n", field(&value.to_string())))
    }

    /// Prints a result with several values, under the names that they have in JSON.
    pub(crate) fn print_fields(&self, result: &(impl Display + Serialize)) -> Result<(), Failure> {
        if self.is_json() || self.is_for_people() {
            return self.print(result);
        }
        let fields = serde_json::to_value(result).map_err(|e| Failure::because("cannot write JSON", e))?;
        self.write(&named_lines(&fields))
    }

    /// Begins a list; prints the titles of its columns on a terminal.
    pub(crate) fn table(self, columns: &'static [Column]) -> Result<Table, Failure> {
        if self.is_for_people() {
            self.write(&aligned(columns.iter().map(|(title, _)| *title), columns))?;
        }
        Ok(Table { out: self, columns })
    }
}

impl Table {
    /// Prints an entry of the list: `cells` as text, or `entry` as JSON.
    pub(crate) fn print<const N: usize>(
        &self,
        entry: &impl Serialize,
        cells: [String; N],
    ) -> Result<(), Failure> {
        debug_assert_eq!(N, self.columns.len());
        if self.out.is_json() {
            let json = serde_json::to_string(entry).map_err(|e| Failure::because("cannot write JSON", e))?;
            return self.out.write(&format!("{json}\n"));
        }
        let cells = cells.map(|cell| field(&cell));
        if self.out.is_for_people() {
            return self.out.write(&aligned(cells.iter().map(String::as_str), self.columns));
        }
        self.out.write(&format!("{}\n", cells.join("\t")))
    }
}

/// Returns a line of cells, each as wide as its column; longer cells are kept whole.
fn aligned<'a>(cells: impl Iterator<Item = &'a str>, columns: &[Column]) -> String {
    let mut line = String::new();
    for (cell, (_, width)) in cells.zip(columns) {
        // Writing to a string does not fail.
        let _ = write!(line, "{cell:<width$}  ");
    }
    format!("{}\n", line.trim_end())
}

/// Returns a line for each field of an object, and for each element of a field that is a list.
fn named_lines(fields: &Value) -> String {
    let mut lines = String::new();
    for (name, value) in fields.as_object().into_iter().flatten() {
        let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // Writing to a string does not fail.
            let _ = writeln!(lines, "{name}\t{}", field(&text));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_aligned_and_not_cut() {
        let columns = &[("ID", 4), ("NAME", 6), ("STATUS", 0)];
        for (cells, line) in [
            (["a", "Ä", "locked"], "a     Ä       locked\n"),
            (["abcdef", "", ""], "abcdef\n"),
            (["a", "abcdefgh", "x"], "a     abcdefgh  x\n"),
        ] {
            assert_eq!(aligned(cells.into_iter(), columns), line);
        }
    }

    #[test]
    fn a_value_stays_on_its_line() {
        let fields = json!({"a": "x\ty\nz", "b": ["1", "2"], "c": [], "d": {"k": "v\t"}, "e": true});
        assert_eq!(named_lines(&fields), "a\tx\\ty\\nz\nb\t1\nb\t2\nd\t{\"k\":\"v\\t\"}\ne\ttrue\n");
    }
}
