//! Text of users, with invisible and reordering characters made visible: they are shown as their code points.

use std::fmt;

use maud::{Markup, Render, html};

/// A text on one line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VisibleText<'a>(pub(crate) &'a str);

/// A text of several lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VisibleLines<'a>(pub(crate) &'a str);

/// A run of characters that is shown unchanged, or one character that is shown as its code point.
enum Piece<'a> {
    Plain(&'a str),
    CodePoint(char),
}

impl VisibleText<'_> {
    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        pieces(self.0, |c| c.is_control())
    }

    /// Returns whether the text has no visible character.
    fn is_blank(&self) -> bool {
        self.0.chars().all(|c| c.is_whitespace() || is_invisible(c))
            && self.pieces().all(|piece| match piece {
                Piece::Plain(_) => true,
                Piece::CodePoint(_) => false,
            })
    }
}

/// For titles and labels. In the content of a page, the text is rendered as markup.
impl fmt::Display for VisibleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.is_blank() { "\"" } else { "" };
        f.write_str(quote)?;
        for piece in self.pieces() {
            match piece {
                Piece::Plain(text) => f.write_str(text)?,
                Piece::CodePoint(c) => write!(f, "[{}]", code_point(c))?,
            }
        }
        f.write_str(quote)
    }
}

impl Render for VisibleText<'_> {
    fn render(&self) -> Markup {
        let is_blank = self.is_blank();
        html! {
            @if is_blank { span.blank { "\"" (self.0) "\"" } } @else { (marked(self.pieces())) }
        }
    }
}

impl Render for VisibleLines<'_> {
    fn render(&self) -> Markup {
        marked(pieces(self.0, |c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')))
    }
}

fn marked<'a>(pieces: impl Iterator<Item = Piece<'a>>) -> Markup {
    html! {
        @for piece in pieces {
            @match piece {
                Piece::Plain(text) => (text),
                Piece::CodePoint(c) => span.code-point title="Invisible character" { (code_point(c)) },
            }
        }
    }
}

fn pieces(text: &str, is_replaced: impl Fn(char) -> bool) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let needs_code_point = |c: char| is_replaced(c) || reorders(c);
        let length = if needs_code_point(first) {
            first.len_utf8()
        } else {
            rest.find(needs_code_point).unwrap_or(rest.len())
        };
        let (piece, remainder) = rest.split_at(length);
        rest = remainder;
        Some(if needs_code_point(first) { Piece::CodePoint(first) } else { Piece::Plain(piece) })
    })
}

/// Embeddings, overrides and isolates: they change the order in which the following text is displayed.
fn reorders(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters without width: joiners, direction marks, fillers, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

fn code_point(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_made_visible() {
        for (text, visible) in [
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
            assert_eq!(VisibleText(text).to_string(), visible);
        }
    }

    #[test]
    fn markup_is_escaped_and_line_breaks_are_kept() {
        let code_point =
            |number| format!("<span class=\"code-point\" title=\"Invisible character\">{number}</span>");
        assert_eq!(
            VisibleText("<b>\u{202e}").render().into_string(),
            format!("&lt;b&gt;{}", code_point("U+202E"))
        );
        assert_eq!(
            VisibleLines("a\n\u{202e}&").render().into_string(),
            format!("a\n{}&amp;", code_point("U+202E"))
        );
        assert_eq!(VisibleText(" ").render().into_string(), "<span class=\"blank\">&quot; &quot;</span>");
    }
}
