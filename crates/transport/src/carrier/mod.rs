//! One open connection, as one object that never waits.

#[cfg(feature = "adapters")]
mod adapters;

use std::{
    borrow::Cow,
    fmt,
    task::{Context, Poll},
};

use crate::Message;

#[cfg(feature = "adapters")]
pub use adapters::{Frame, from_channels, from_stream_sink};

/// Longest reason of a close, in bytes.
#[cfg(any(feature = "adapters", feature = "websocket", feature = "long-poll"))]
const REASON_LIMIT: usize = 123;

/// One open connection that carries whole text messages in both directions.
///
/// Nothing in it waits, so one `&mut self` is full-duplex and needs no split, and whoever has something to
/// send may write straight to the network while another task waits for input.
///
/// # Duties of an implementer
/// - **One driver.** [`poll_recv`](Self::poll_recv) and [`poll_flush`](Self::poll_flush) are called by one task; both may
///   wake the waker either was given last. [`try_send`](Self::try_send), [`close`](Self::close) and
///   [`keep_alive`](Self::keep_alive) may be called by any task in between.
/// - **Order and wholeness.** Messages arrive in the order sent, once, whole. A message larger than the
///   carrier's limit ends the connection (1009), and is never cut.
/// - **Bounded.** `try_send` takes the longest prefix of the batch that fits a bounded buffer, in one write
///   where it can. What it takes is the carrier's to deliver. It always takes something when nothing is buffered.
/// - **The driver flushes before it waits.** A carrier may therefore hold bytes back until then, such as an
///   opening answer that should leave together with the first message.
/// - **The end is an answer.** Once `poll_recv` has returned [`Closed`] it returns the same again, `try_send`
///   takes nothing, `poll_flush` is ready. Messages that arrived before the end are received before it.
/// - **State lives in the object.** Dropping a future that polls it loses nothing. Dropping the object closes at best effort.
pub trait Carrier: fmt::Debug + Send {
    /// The next message, or the end.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>>;

    /// Takes messages from the front of `batch`, never waits, never splits one.
    fn try_send(&mut self, batch: &[Message]) -> Sent;

    /// Ready when everything taken, and a requested close, has been handed to the network.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>>;

    /// Starts to end the connection, after what was taken. The first call counts.
    ///
    /// The end is complete when `poll_recv` returns [`Closed`]; a driver waits for that no longer than it likes.
    fn close(&mut self, why: Close);

    /// Sends whatever keeps the connection open and makes a live peer show itself; nothing where that is not known.
    fn keep_alive(&mut self) {}

    /// Gives back what was taken and has certainly not left, in order; nothing where that is not known.
    ///
    /// For who sends it again over another connection: of this one only a close is asked after it.
    fn take_back(&mut self) -> Vec<Message> {
        Vec::new()
    }

    /// Counts what arrived, of any kind: a driver that sees it stand still knows that the peer is silent.
    fn arrivals(&self) -> u32;
}

/// How much a [`Carrier::try_send`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Messages taken from the front of the batch.
    pub taken: usize,
    /// Whether everything taken has left: if not, the driver must be woken to flush.
    pub flushed: bool,
}

/// Why a connection is being ended: a number in the manner of WebSocket close codes, and a reason for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// 1000 for a normal end; 4000 to 4999 are the application's.
    pub code: u16,
    /// At most 123 bytes; longer reasons are cut at a character.
    pub reason: Cow<'static, str>,
}

impl Close {
    /// A normal end: the work is done.
    pub const NORMAL: Self = Self { code: 1000, reason: Cow::Borrowed("") };

    /// An end with `code` and `reason`.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// The same with as much of the reason as fits.
    #[cfg(any(feature = "adapters", feature = "websocket", feature = "long-poll"))]
    pub(crate) fn fitted(mut self) -> Self {
        if self.reason.len() > REASON_LIMIT {
            let end = (0..=REASON_LIMIT).rfind(|&end| self.reason.is_char_boundary(end)).unwrap_or(0);
            self.reason = self.reason[..end].to_owned().into();
        }
        self
    }
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The peer ended it, with this code and reason (1005 where it gave none).
    #[error("closed by the peer ({}{}{})", .0.code, if .0.reason.is_empty() { "" } else { ": " }, .0.reason)]
    ByPeer(Close),
    /// This side ended it.
    #[error("closed ({}{}{})", .0.code, if .0.reason.is_empty() { "" } else { ": " }, .0.reason)]
    ByUs(Close),
    /// The peer broke the rules of the transport; it was told with this code and reason.
    #[error("the peer violated the transport ({}: {})", .0.code, .0.reason)]
    Violated(Close),
    /// The network failed.
    #[error("the connection broke: {0}")]
    Lost(Cow<'static, str>),
}

impl Closed {
    /// The code of the end; 1006 where the network failed.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::ByPeer(close) | Self::ByUs(close) | Self::Violated(close) => close.code,
            Self::Lost(_) => 1006,
        }
    }
}

#[cfg(test)]
#[cfg(any(feature = "adapters", feature = "websocket", feature = "long-poll"))]
mod tests {
    use super::*;

    #[test]
    fn long_reasons_are_cut_at_a_character() {
        for (reason, length) in [("short".to_owned(), 5), ("a".repeat(200), 123), ("é".repeat(100), 122)] {
            assert_eq!(Close::new(1000, reason).fitted().reason.len(), length);
        }
    }
}
