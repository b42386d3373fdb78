//! Why a network failed, in plain words.

use std::{error::Error, io, io::ErrorKind};

/// How Rust begins the error of a failed name lookup, which has a kind of no name.
const LOOKUP: &str = "failed to lookup address information: ";

/// Returns on one line why a connection failed: in plain words if an I/O error is the cause, otherwise the text of the error and of its
/// sources.
///
/// The text is for the end of a message such as `cannot reach http://127.0.0.1:9080: …`.
///
/// # Examples
/// ```
/// use std::io;
///
/// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
/// assert_eq!(chatcamp_runtime::network_cause(&refused), "connection refused; is the server running?");
/// ```
#[must_use]
pub fn network_cause(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(words) = error.downcast_ref().and_then(plain) {
            return words;
        }
        let more = error.to_string();
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}

/// Returns the plain words for an I/O error, or `None` if its own text is the best.
fn plain(error: &io::Error) -> Option<String> {
    let words = match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused; is the server running?",
        ErrorKind::ConnectionReset => "the connection was reset",
        ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            "the connection was closed too early"
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            "no route to the host; check the network"
        }
        ErrorKind::TimedOut => "the connection timed out; check the host, the port and the firewall",
        _ => {
            let text = error.to_string();
            let why = text.strip_prefix(LOOKUP)?;
            return Some(format!("the host name cannot be resolved ({why}); check the URL"));
        }
    };
    Some(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] io::Error);

    #[test]
    fn an_io_error_is_found_behind_other_errors_and_explained() {
        for (kind, words) in [
            (ErrorKind::ConnectionRefused, "connection refused; is the server running?"),
            (ErrorKind::UnexpectedEof, "the connection was closed too early"),
            (ErrorKind::NetworkUnreachable, "no route to the host; check the network"),
        ] {
            assert_eq!(network_cause(&Outer("tcp connect error", kind.into())), words);
        }
        let lookup = io::Error::other(format!("{LOOKUP}Name or service not known"));
        assert_eq!(
            network_cause(&Outer("dns error", lookup)),
            "the host name cannot be resolved (Name or service not known); check the URL"
        );
    }

    #[test]
    fn another_error_keeps_its_text_and_that_of_its_sources_once() {
        let full = io::Error::other("disk full");
        assert_eq!(network_cause(&Outer("cannot open", full)), "cannot open: disk full");
        let full = io::Error::other("disk full");
        assert_eq!(network_cause(&Outer("cannot open: disk full", full)), "cannot open: disk full");
    }
}
