//! Names of apps and API keys. A name has at least one visible character, so that people can see and click it.

use std::ops::RangeInclusive;

use super::AccountError;

/// The maximum length of a name, in bytes.
pub(super) const LONGEST: usize = 255;

/// Control characters, which a name may not contain.
pub(crate) const CONTROL: &[RangeInclusive<char>] = &['\0'..='\u{1f}', '\u{7f}'..='\u{9f}'];

/// Invisible characters: spaces, direction marks, fillers. A name may not consist of these alone.
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

/// Returns the name without the white space around it.
///
/// # Errors
/// [`AccountError::InvalidName`].
pub(super) fn trimmed(name: &str) -> Result<&str, AccountError> {
    let is_among = |ranges: &[RangeInclusive<char>], c| ranges.iter().any(|range| range.contains(&c));
    let is_visible = |c| !is_among(INVISIBLE, c);
    let is_valid =
        name.len() <= LONGEST && !name.chars().any(|c| is_among(CONTROL, c)) && name.chars().any(is_visible);
    if is_valid { Ok(name.trim()) } else { Err(AccountError::InvalidName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_visible_character() {
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
