//! Colours on a terminal: off if the output is not a terminal, or with `NO_COLOR`.

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anstyle::{AnsiColor, Style};

/// Something works: a user is connected.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Something needs attention: a connection is lost.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// Something failed or was refused.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// An event of a backend.
pub(crate) const EVENT: Style = AnsiColor::Cyan.on_default();
/// Text to copy.
pub(crate) const COPY: Style = Style::new().bold();
/// Times and labels.
pub(crate) const DIM: Style = Style::new().dimmed();

/// Returns whether `stream` gets colours.
pub(crate) fn is_wanted(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Returns the text with its beginning, `length` bytes, in a style.
pub(crate) fn begin(text: &str, length: usize, style: Style) -> String {
    let (begin, rest) = text.split_at(length);
    format!("{style}{begin}{style:#}{rest}")
}
