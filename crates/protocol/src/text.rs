//! Text of a peer's choice, fit to be shown.

use std::fmt::{self, Write as _};

/// Shows a text on one line: what could end the line, move a terminal's cursor or turn the direction of writing is escaped.
///
/// For close reasons, user ids, error messages: whatever another machine chose and a log or a terminal shows.
#[derive(Debug, Clone, Copy)]
pub struct OneLine<'a>(pub &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_deceptive(c) { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Whether a character is a control character, ends a line, or turns the direction of what follows.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_on_its_line_and_in_its_direction() {
        for (text, shown) in [
            ("a b é עברית \\ \"", "a b é עברית \\ \""),
            ("x\r\n2099 FORGED", r"x\r\n2099 FORGED"),
            ("\u{1b}[2J\u{9b}\u{7f}\t", r"\u{1b}[2J\u{9b}\u{7f}\t"),
            ("\u{202e}\u{2066}\u{200f}\u{61c}", r"\u{202e}\u{2066}\u{200f}\u{61c}"),
            ("\u{2028}\u{2029}\u{85}", r"\u{2028}\u{2029}\u{85}"),
        ] {
            assert_eq!(OneLine(text).to_string(), shown);
        }
    }
}
