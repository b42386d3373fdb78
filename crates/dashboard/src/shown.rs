//! Texts of others, so that one sees what is there: what reorders a line or cannot be seen is shown by its number.

use std::fmt;

use maud::{Markup, Render, html};

/// A text of somebody else's choice, on one line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a>(pub(crate) &'a str);

/// A text of somebody else's choice, which may have lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines<'a>(pub(crate) &'a str);

/// A run of characters that are themselves, or one that is shown by its number.
enum Piece<'a> {
    Plain(&'a str),
    Mark(char),
}

impl Shown<'_> {
    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        pieces(self.0, |c| c.is_control())
    }

    /// Whether there is nothing to see, and nothing to click.
    fn is_blank(&self) -> bool {
        self.0.chars().all(|c| c.is_whitespace() || is_unseen(c))
            && self.pieces().all(|piece| match piece {
                Piece::Plain(_) => true,
                Piece::Mark(_) => false,
            })
    }
}

/// For titles and labels; pages show it as markup.
impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.is_blank() { "\"" } else { "" };
        f.write_str(quote)?;
        for piece in self.pieces() {
            match piece {
                Piece::Plain(text) => f.write_str(text)?,
                Piece::Mark(c) => write!(f, "[{}]", number(c))?,
            }
        }
        f.write_str(quote)
    }
}

impl Render for Shown<'_> {
    fn render(&self) -> Markup {
        let is_blank = self.is_blank();
        html! {
            @if is_blank { span.blank { "\"" (self.0) "\"" } } @else { (marked(self.pieces())) }
        }
    }
}

impl Render for Lines<'_> {
    fn render(&self) -> Markup {
        marked(pieces(self.0, |c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')))
    }
}

fn marked<'a>(pieces: impl Iterator<Item = Piece<'a>>) -> Markup {
    html! {
        @for piece in pieces {
            @match piece {
                Piece::Plain(text) => (text),
                Piece::Mark(c) => span.mark title="A character that cannot be seen" { (number(c)) },
            }
        }
    }
}

fn pieces(text: &str, is_marked: impl Fn(char) -> bool) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let marks = |c: char| is_marked(c) || reorders(c);
        let length = match marks(first) {
            true => first.len_utf8(),
            false => rest.find(marks).unwrap_or(rest.len()),
        };
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        Some(if marks(first) { Piece::Mark(first) } else { Piece::Plain(piece) })
    })
}

/// Embeddings, overrides and isolates: text behind them is not in the order in which it is written.
fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What takes no room by itself: joiners, marks of direction, fillers, variation selectors, tags.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

fn number(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        for (text, shown) in [
            ("alice", "alice"),
            ("שלום \u{200f}a", "שלום \u{200f}a"),
            ("👩\u{200d}🚀", "👩\u{200d}🚀"),
            ("bob\u{202e}lived", "bob[U+202E]lived"),
            ("\u{2066}", "[U+2066]"),
            ("a\nb\u{1}", "a[U+000A]b[U+0001]"),
            (" ", "\" \""),
            ("\u{200b}\u{feff}", "\"\u{200b}\u{feff}\""),
            ("\u{3000}", "\"\u{3000}\""),
        ] {
            assert_eq!(Shown(text).to_string(), shown);
        }
    }

    #[test]
    fn markup_is_escaped_and_keeps_lines_where_it_has_them() {
        let mark = |number| {
            format!("<span class=\"mark\" title=\"A character that cannot be seen\">{number}</span>")
        };
        assert_eq!(Shown("<b>\u{202e}").render().into_string(), format!("&lt;b&gt;{}", mark("U+202E")));
        assert_eq!(Lines("a\n\u{202e}&").render().into_string(), format!("a\n{}&amp;", mark("U+202E")));
        assert_eq!(Shown(" ").render().into_string(), "<span class=\"blank\">&quot; &quot;</span>");
    }
}
