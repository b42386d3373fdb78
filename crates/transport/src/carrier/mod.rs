//! One open connection, as one object that never waits.

#[cfg(feature = "adapters")]
mod adapters;

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    task::{Context, Poll},
};

use crate::Message;

#[cfg(feature = "adapters")]
pub use adapters::{Frame, from_channels, from_stream_sink};

/// Maximum length of a close reason, in bytes.
#[cfg(any(feature = "adapters", feature = "websocket", feature = "long-poll"))]
const REASON_LIMIT: usize = 123;

/// One open connection that carries whole text messages in both directions.
///
/// No method waits, so one `&mut self` is full-duplex without a split, and any task may write straight to the network while
/// another task waits for input.
///
/// # Duties of an implementer
/// - **One driver.** [`poll_recv`](Self::poll_recv) and [`poll_flush`](Self::poll_flush) are called by one task; both may
///   wake the waker either was given last. [`try_send`](Self::try_send), [`close`](Self::close) and
///   [`keep_alive`](Self::keep_alive) may be called by any task in between.
/// - **Order and wholeness.** Messages arrive whole, once and in the order sent. A message larger than the carrier's limit
///   ends the connection (1009) and is never split.
/// - **Bounded.** `try_send` takes the longest prefix of the batch that fits a bounded buffer, in one write if possible. The
///   carrier delivers what it took. It always takes something when nothing is buffered.
/// - **The driver flushes before it waits.** A carrier may therefore hold bytes back until then, such as an opening answer
///   that should leave together with the first message.
/// - **The end stays.** Once `poll_recv` has returned [`Closed`] it returns the same again, `try_send`
///   takes nothing, `poll_flush` is ready. Messages that arrived before the end are received before it.
/// - **A loss is not a close.** Only a close that the peer sent is [`Closed::ByPeer`]; the end of a stream of bytes alone is
///   [`Closed::Lost`], so that a client knows to connect again.
/// - **Reports are true.** [`arrivals`](Self::arrivals) changes with everything that arrives and with nothing else,
///   [`take_back`](Self::take_back) returns nothing that may have left, [`buffered`](Self::buffered) falls when messages leave.
/// - **State lives in the object.** Dropping a future that polls it loses nothing. Dropping the object closes at best effort.
///
/// `testing::conformance` (feature `test-util`) checks these duties and names one that is violated.
pub trait Carrier: fmt::Debug + Send {
    /// Returns the next message, or how the connection ended.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>>;

    /// Takes messages from the front of `batch`. Never waits and never splits a message.
    fn try_send(&mut self, batch: &[Message]) -> Sent;

    /// Returns `Ready` when everything taken, and a requested close, has been handed to the network.
    ///
    /// # Errors
    /// [`Closed`] if the connection has ended.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>>;

    /// Starts to close the connection, after what was taken. Only the first call has an effect.
    ///
    /// The close is complete when `poll_recv` returns [`Closed`]; the driver decides how long it waits for that.
    fn close(&mut self, why: Close);

    /// Sends something that keeps the connection open and that a live peer answers. Does nothing by default.
    fn keep_alive(&mut self) {}

    /// Returns, in order, what was taken and has certainly not left; nothing by default.
    ///
    /// For resending over another connection: only [`close`](Self::close) may be called afterwards.
    fn take_back(&mut self) -> Vec<Message> {
        Vec::new()
    }

    /// Returns a count of everything that arrived, of any kind. While it does not change, the peer is silent.
    fn arrivals(&self) -> u32;

    /// Returns the memory held for messages on their way; zero by default.
    fn buffered(&self) -> Buffered {
        Buffered::default()
    }

    /// Limits the messages accepted from the peer from now on, in bytes; a larger one ends the connection (1009).
    ///
    /// The carrier's own limit, [`MESSAGE_LIMIT`](crate::MESSAGE_LIMIT) for those built in, applies too, and alone until
    /// this is called. A server accepts less from a peer that is not authenticated. A carrier that ignores the call, which is
    /// the default, accepts its own limit from everyone.
    fn limit_messages(&mut self, bytes: usize) {
        let _ = bytes;
    }
}

/// Memory that a [`Carrier`] holds for messages on their way, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Buffered {
    /// For what has arrived, and is incomplete or not received yet.
    pub incoming: usize,
    /// For what [`Carrier::try_send`] took, and has not left.
    pub outgoing: usize,
}

impl Buffered {
    /// Returns the bytes of both directions.
    #[must_use]
    pub fn total(self) -> usize {
        self.incoming + self.outgoing
    }
}

/// What [`Carrier::try_send`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The number of messages taken from the front of the batch.
    pub taken: usize,
    /// Whether everything taken has left. If not, the driver must be woken to flush.
    pub flushed: bool,
}

/// Why a connection is closed: a number as in WebSocket close codes, and a reason for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// 1000 for a normal close; 4000 to 4999 are for the application.
    pub code: u16,
    /// At most 123 bytes; longer reasons are truncated at a character.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// A normal close.
    pub const NORMAL: Self = Self { code: 1000, reason: Cow::Borrowed("") };

    /// Returns a close with `code` and `reason`.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Truncates the reason to its maximum length.
    #[cfg(any(feature = "adapters", feature = "websocket", feature = "long-poll"))]
    pub(crate) fn fitted(mut self) -> Self {
        if self.reason.len() > REASON_LIMIT {
            let end = (0..=REASON_LIMIT).rfind(|&end| self.reason.is_char_boundary(end)).unwrap_or(0);
            self.reason = self.reason[..end].to_owned().into();
        }
        self
    }
}

/// Code and reason on one line, whatever the peer wrote.
impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match &*self.reason {
            "" => Ok(()),
            reason => write!(f, ": {}", OneLine(reason)),
        }
    }
}

/// A text of the peer's choice, with everything escaped that could end a line of a log, move a terminal's cursor or turn the
/// direction of writing.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            let deceives = c.is_control()
                || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if deceives { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The peer closed it, with this code and reason (1005 if it gave no code).
    #[error("closed by the peer ({0})")]
    ByPeer(Close),
    /// This side closed it.
    #[error("closed ({0})")]
    ByUs(Close),
    /// The peer violated the rules of the transport, and was sent this code and reason.
    #[error("the peer violated the transport ({0})")]
    Violated(Close),
    /// The network failed.
    #[error("connection lost: {}", OneLine(.0))]
    Lost(Cow<'static, str>),
    /// No server answered the first message, over a transport that opens connections without asking the server, such as long-poll.
    #[error("cannot reach the server: {}", OneLine(.0))]
    Unreachable(Cow<'static, str>),
    /// What answered the first message over such a transport does not accept it: another service, or a proxy.
    #[error("the server does not accept this transport: {}", OneLine(.0))]
    Refused(Cow<'static, str>),
    /// The TLS handshake failed, or the server expects one, over a transport that opens connections without asking the server,
    /// such as long-poll.
    #[cfg(feature = "tls")]
    #[error("{0}")]
    Tls(Box<chatcamp_tls::TlsError>),
}

impl Closed {
    /// Returns the close code; 1006 if the network failed, 1015 if the TLS handshake did.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::ByPeer(close) | Self::ByUs(close) | Self::Violated(close) => close.code,
            Self::Lost(_) | Self::Unreachable(_) | Self::Refused(_) => 1006,
            #[cfg(feature = "tls")]
            Self::Tls(_) => 1015,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_reason_stays_on_its_line() {
        let close = Close::new(4000, "x\r\n2099-01-01 INFO chatcamp: FORGED\u{1b}[2J\u{202e}\u{2028}");
        for closed in [Closed::ByPeer(close.clone()), Closed::ByUs(close.clone()), Closed::Violated(close)] {
            let text = closed.to_string();
            assert!(text.contains(r"x\r\n2099") && text.contains("FORGED"), "{text}");
            assert!(!text.contains(['\r', '\n', '\u{1b}', '\u{202e}', '\u{2028}']), "{text:?}");
        }
        assert!(!Closed::Lost("a\nb".into()).to_string().contains('\n'));
        assert_eq!(
            Closed::ByPeer(Close::new(4000, "größer")).to_string(),
            "closed by the peer (4000: größer)"
        );
    }

    #[cfg(any(feature = "adapters", feature = "websocket", feature = "long-poll"))]
    #[test]
    fn long_reasons_are_truncated_at_a_character() {
        for (reason, length) in [("short".to_owned(), 5), ("a".repeat(200), 123), ("é".repeat(100), 122)] {
            assert_eq!(Close::new(1000, reason).fitted().reason.len(), length);
        }
    }
}
