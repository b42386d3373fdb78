//! Escapes text for terminals.

/// Escapes the characters of a result that could mislead a terminal or its reader; keeps line breaks.
pub(crate) fn plain(text: &str) -> String {
    escaped(text, |c| is_misleading(c) && c != '\n')
}

/// Escapes a text that another party chose, such as a name, including its line breaks: it cannot look like our own output.
pub(crate) fn field(text: &str) -> String {
    escaped(text, is_misleading)
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether `c` is a control character, changes the direction of the text, or breaks lines in some viewers only.
fn is_misleading(c: char) -> bool {
    let changes_direction =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || changes_direction || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c\td\ne é"), "a\\u{1b}[2Jb\\u{9b}c\\td\ne é");
    }

    #[test]
    fn a_field_stays_on_its_line_and_in_its_direction() {
        for misleading in ["\u{202e}", "\u{202a}", "\u{2066}", "\u{2069}", "\u{200f}", "\u{2028}"] {
            assert_eq!(
                [plain(misleading), field(misleading)],
                [misleading.escape_unicode().to_string(), field(misleading)]
            );
        }
        assert_eq!(field("a\r\nb é עברית"), "a\\r\\nb é עברית");
    }
}
