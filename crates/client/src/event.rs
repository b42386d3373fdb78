//! What happens: a stream of events with a bounded queue of its own.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use chatcamp_auth::client::Refusal;
use chatcamp_protocol::{User, handshake::Continuity};
use chatcamp_transport::Closed;
use futures_core::Stream;
use parking_lot::Mutex;

use crate::{Body, ConnectError, EndReason};

/// Events waiting for one reader, at most.
const QUEUE_EVENTS: usize = 1024;
/// Bytes waiting for one reader with which no further event is taken.
const QUEUE_BYTES: usize = 1024 * 1024;
/// What an event counts beside its text, in bytes.
const OVERHEAD: usize = 64;

/// What happens to a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The user is connected, for the first time or again.
    Connected {
        /// The user, as its owner sees it.
        user: Box<User>,
        /// Whether the session goes on or is new.
        continuity: Continuity,
        /// The name of the transport, such as `websocket`.
        transport: &'static str,
    },
    /// The connection is gone, or another attempt to bring it back has failed; the next begins by itself.
    Reconnecting {
        /// What happened.
        why: Interruption,
        /// When the next attempt begins, from now.
        after: Duration,
    },
    /// It is over until the application connects again.
    Disconnected {
        /// Why.
        reason: EndReason,
    },
    /// The user's own object changed elsewhere, on another connection or by the backend.
    UserChanged(Box<User>),
    /// The access token ends; follows `Connected` where the server says so.
    TokenExpires {
        /// How long it is good from now.
        expires_in: Duration,
        /// Whether a provider will be asked for another. If not, the session ends with the token.
        refreshable: bool,
    },
    /// The app's backend published an event to the user.
    App {
        /// Its type, of the backend's choice.
        kind: String,
        /// Its data, of the backend's choice.
        data: Body,
    },
    /// A message of a type this version has no name for.
    Other {
        /// The type.
        t: String,
        /// The body.
        d: Body,
    },
    /// This reader was too slow for its queue: so many events are missing here. How things stand,
    /// [`ChatCamp::state`](crate::ChatCamp::state) says.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// Why a client reconnects.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// The connection ended without a word from the server.
    #[error(transparent)]
    Closed(Closed),
    /// The server ended the connection and said why.
    #[error("the server ended the connection: {0}")]
    Server(Refusal),
    /// Nothing was heard from the server for too long.
    #[error("nothing was heard from the server for too long")]
    Silent,
    /// The server sent what the protocol does not allow.
    #[error("the server broke the protocol")]
    Violation,
    /// An attempt failed.
    #[error(transparent)]
    Attempt(ConnectError),
    /// The same user connects with another credential.
    #[error("the credential was replaced")]
    CredentialReplaced,
}

/// The events of one client from the moment it was asked for; each reader has its own.
///
/// At most 1,024 events and about 1 MiB wait; beyond that events are missed, and [`Event::Lagged`] stands in their
/// place. Also a [`Stream`]. It ends when the last handle of the client is dropped.
pub struct Events(Arc<Queue>);

impl Events {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }

    /// Waits for the next event; `None` once the client is gone.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.0.poll_pop(cx)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_pop(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.0.inner.lock().events.len()).finish()
    }
}

/// One reader's queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Event>,
    bytes: usize,
    /// Events missed since the last one in the queue.
    missed: u64,
    ended: bool,
    reader: Option<Waker>,
}

impl Queue {
    pub(crate) fn push(&self, event: &Event) {
        let mut inner = self.inner.lock();
        if inner.events.len() >= QUEUE_EVENTS || inner.bytes >= QUEUE_BYTES {
            inner.missed += 1;
            return;
        }
        inner.settle();
        inner.bytes += cost(event);
        inner.events.push_back(event.clone());
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    pub(crate) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.ended = true;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    fn poll_pop(&self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let mut inner = self.inner.lock();
        if inner.events.is_empty() {
            inner.settle();
        }
        if let Some(event) = inner.events.pop_front() {
            inner.bytes -= cost(&event);
            return Poll::Ready(Some(event));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Inner {
    /// Puts the gap, if there is one, where it is.
    fn settle(&mut self) {
        if self.missed > 0 {
            let lagged = Event::Lagged { missed: std::mem::take(&mut self.missed) };
            self.bytes += cost(&lagged);
            self.events.push_back(lagged);
        }
    }
}

fn cost(event: &Event) -> usize {
    OVERHEAD
        + match event {
            Event::App { kind, data } => kind.len() + data.as_str().len(),
            Event::Other { t, d } => t.len() + d.as_str().len(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn other(n: usize, bytes: usize) -> Event {
        let raw = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes))).unwrap();
        Event::Other { t: n.to_string(), d: Body::new(&raw) }
    }

    fn drain(queue: &Queue) -> Vec<String> {
        let mut names = Vec::new();
        let cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(event)) = queue.poll_pop(&cx) {
            names.push(match event {
                Event::Lagged { missed } => format!("lagged {missed}"),
                Event::Other { t, .. } => t,
                other => panic!("{other:?}"),
            });
        }
        names
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_is_missing() {
        let queue = Queue::default();
        (0..QUEUE_EVENTS + 3).for_each(|n| queue.push(&other(n, 0)));
        let cx = Context::from_waker(Waker::noop());
        assert!(queue.poll_pop(&cx).is_ready());
        queue.push(&other(9000, 0));
        let names = drain(&queue);
        assert_eq!(&names[names.len() - 3..], ["1023", "lagged 3", "9000"]);
        queue.push(&other(9001, 0));
        assert_eq!(drain(&queue), ["9001"]);
    }

    #[test]
    fn bytes_are_bounded_too_and_given_back() {
        let queue = Queue::default();
        (0..20).for_each(|n| queue.push(&other(n, QUEUE_BYTES / 10)));
        assert_eq!(drain(&queue).last().unwrap(), "lagged 10");
        assert_eq!(queue.inner.lock().bytes, 0);
    }

    #[test]
    fn a_queue_that_has_ended_is_read_to_its_end() {
        let queue = Queue::default();
        queue.push(&other(1, 0));
        queue.end();
        assert_eq!(drain(&queue), ["1"]);
        assert!(matches!(queue.poll_pop(&Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }
}
