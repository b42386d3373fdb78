//! Names of apps and API keys: something that people can see, and click.

use std::ops::RangeInclusive;

use super::AccountError;

/// Longest name, in bytes.
pub(super) const LONGEST: usize = 255;

/// Control characters, which no name has.
pub(crate) const CONTROL: &[RangeInclusive<char>] = &['\0'..='\u{1f}', '\u{7f}'..='\u{9f}'];

/// Characters of which nothing is seen, which may not be all of a name: spaces, marks of direction, fillers.
pub(crate) const INVISIBLE: &[RangeInclusive<char>] = &[
    ' '..=' ',
    '\u{a0}'..='\u{a0}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{1680}'..='\u{1680}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{2000}'..='\u{200f}',
    '\u{2028}'..='\u{202f}',
    '\u{205f}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3000}'..='\u{3000}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
];

/// The name without the spaces around it.
pub(super) fn trimmed(name: &str) -> Result<&str, AccountError> {
    let is_among = |ranges: &[RangeInclusive<char>], c| ranges.iter().any(|range| range.contains(&c));
    let is_seen = |c| !is_among(INVISIBLE, c);
    let is_good =
        name.len() <= LONGEST && !name.chars().any(|c| is_among(CONTROL, c)) && name.chars().any(is_seen);
    if is_good { Ok(name.trim()) } else { Err(AccountError::InvalidName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_something_to_see() {
        for (name, kept) in [
            ("shop", "shop"),
            ("  the \u{a0}shop\u{3000}", "the \u{a0}shop"),
            ("Ä 名前 👩\u{200d}👩", "Ä 名前 👩\u{200d}👩"),
            (&"x".repeat(255), &"x".repeat(255)),
        ] {
            assert_eq!(trimmed(name).unwrap(), kept);
        }
        for name in [
            "",
            "   ",
            "\u{a0}\u{3000}",
            "\u{200b}\u{202e}",
            "\u{3164}",
            "a\nb",
            "\tshop",
            "shop\u{85}",
            "\u{1b}[2J",
            &"x".repeat(256),
            &format!("{}x", " ".repeat(255)),
        ] {
            assert!(matches!(trimmed(name), Err(AccountError::InvalidName)), "{name:?}");
        }
    }
}
