//! Escapes text for terminals.

use chatcamp_protocol::text::{OneLine, is_deceptive};

/// Escapes the characters of a result that could mislead a terminal or its reader; keeps line breaks.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) && c != '\n' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Escapes text from another party, such as a name, including line breaks, so that it cannot imitate output of this program.
pub(crate) fn field(text: &str) -> String {
    OneLine(text).to_string()
}

/// Quotes a word for a POSIX shell if it needs quotes.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@%+=,~".contains(&b);
    if !word.is_empty() && !word.starts_with('~') && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{9b}c\td\ne é"), "a\\u{1b}[2Jb\\u{9b}c\\td\ne é");
    }

    #[test]
    fn a_word_is_quoted_only_if_a_shell_would_change_it() {
        for (word, quoted) in [
            ("./chatcamp-data", "./chatcamp-data"),
            ("my data", "'my data'"),
            ("it's", r"'it'\''s'"),
            ("~x", "'~x'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
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
