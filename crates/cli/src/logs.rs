//! Logs to stderr, one line for each event, even if text from a peer contains line breaks.

use std::{
    env, fmt,
    io::{self, Write},
    path::Path,
};

use chatcamp_protocol::text::is_deceptive;
use chatcamp_server::ACTIVITY;
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        format,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
};

use crate::{
    activity::{self, Format},
    colour,
    failure::Failure,
};

/// The environment variable with the log filter.
const VARIABLE: &str = "CHATCAMP_LOG";

/// What a command logs, unless the environment says otherwise.
pub(crate) enum Detail {
    /// Also what users and backends do, for a developer who watches.
    Activity,
    Info,
    Warnings,
}

impl Detail {
    fn filter(&self) -> EnvFilter {
        EnvFilter::new(match self {
            Self::Activity => format!("info,{ACTIVITY}=debug"),
            Self::Info => "info".into(),
            Self::Warnings => "warn".into(),
        })
    }
}

/// Starts logging. `folder` is the data folder, for commands to try.
pub(crate) fn start(detail: &Detail, folder: &Path) -> Result<(), Failure> {
    let filter = match env::var(VARIABLE) {
        Ok(wanted) if !wanted.is_empty() => EnvFilter::try_new(&wanted)
            .map_err(|e| Failure::usage(format!("{VARIABLE} is not a log filter, such as `debug`: {e}")))?,
        _ => detail.filter(),
    };
    let colours = colour::is_wanted(&io::stderr());
    // The time of day in a terminal that a developer watches, otherwise the date and time in UTC.
    let time: fn(&mut Writer<'_>) -> fmt::Result = match detail {
        Detail::Activity => activity::write_time,
        Detail::Info | Detail::Warnings => |to| SystemTime.format_time(to),
    };
    let others = format().with_timer(time);
    tracing_subscriber::fmt()
        .with_ansi(colours)
        // An internal error means that writing to stderr has failed.
        .log_internal_errors(false)
        .event_format(Format { others, folder: folder.to_owned() })
        .with_env_filter(filter)
        .with_writer(move || Lines { to: io::stderr(), colours })
        .init();
    Ok(())
}

/// Writes each event as one line. The formatter writes an event in one call.
struct Lines<W> {
    to: W,
    /// Whether the formatter writes escape sequences for styles.
    colours: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let event_line = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = String::with_capacity(text.len());
        for (at, c) in event_line.char_indices() {
            if is_deceptive(c) && !(self.colours && is_style(&event_line[at..])) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        line.push_str(&text[event_line.len()..]);
        self.to.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Returns whether `text` begins with an escape sequence that only sets a style.
fn is_style(text: &str) -> bool {
    let Some(parameters) = text.strip_prefix("\u{1b}[") else { return false };
    parameters.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_a_peer_wrote() {
        for colours in [true, false] {
            let buffer = Buffer::default();
            let to = buffer.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_writer(move || Lines { to: to.clone(), colours })
                .with_ansi(colours)
                .finish();
            let forged = "x\r\n2099-01-01 INFO chatcamp: FORGED\u{1b}[2J\u{9b}2J\u{2028}\u{202e}";
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(user = %forged, reason = ?forged, text = forged, "{forged}");
                tracing::info!("the next line");
            });
            let log = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
            assert_eq!(log.lines().count(), 2, "{log}");
            assert!(!log.contains(['\r', '\u{9b}', '\u{2028}', '\u{202e}']), "{log:?}");
            assert!(!log.contains("\u{1b}[2J") && log.contains("\u{1b}") == colours, "{log:?}");
            assert_eq!(log.matches("FORGED").count(), 4, "{log}");
        }
    }
}
