//! Events: a stream per reader, each with a bounded queue.

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

/// Maximum number of events in the queue of one reader.
const QUEUE_EVENTS: usize = 1024;
/// A queue that holds this many bytes takes no further event.
const QUEUE_BYTES: usize = 1024 * 1024;
/// Size of an event without its text, in bytes.
const OVERHEAD: usize = 64;

/// An event of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The user is connected, for the first time or again.
    Connected {
        /// The user, with its private fields.
        user: Box<User>,
        /// Whether the session was resumed or is new.
        continuity: Continuity,
        /// The name of the transport, such as `websocket`.
        transport: &'static str,
    },
    /// The connection ended or another attempt to reconnect failed. The client makes the next attempt by itself.
    Reconnecting {
        /// The reason.
        why: Interruption,
        /// The delay before the next attempt, from now.
        after: Duration,
    },
    /// The client is disconnected until the application connects again.
    Disconnected {
        /// The reason.
        reason: EndReason,
    },
    /// The user's own object was changed on another connection or by the backend.
    UserChanged(Box<User>),
    /// The access token has an expiry time; follows `Connected` if the server states it.
    TokenExpires {
        /// The remaining lifetime, from now.
        expires_in: Duration,
        /// Whether a provider will be asked for another token. If not, the session ends when the token expires.
        refreshable: bool,
    },
    /// The app's backend published an event to the user.
    App {
        /// The type, chosen by the backend.
        kind: String,
        /// The data, chosen by the backend.
        data: Body,
    },
    /// A message of a type that this version does not know.
    Other {
        /// The type.
        t: String,
        /// The body.
        d: Body,
    },
    /// The reader was too slow and its queue was full: events are missing here.
    /// [`ChatCamp::state`](crate::ChatCamp::state) returns the current state.
    Lagged {
        /// Number of missing events.
        missed: u64,
    },
}

/// Why a client reconnects.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// The connection ended, and the server gave no reason.
    #[error(transparent)]
    Closed(Closed),
    /// The server ended the connection and gave a reason.
    #[error("the server ended the connection: {0}")]
    Server(Refusal),
    /// The server was silent for too long.
    #[error("the server was silent for too long")]
    Silent,
    /// The server violated the protocol.
    #[error("the server violated the protocol")]
    Violation,
    /// An attempt failed.
    #[error(transparent)]
    Attempt(ConnectError),
    /// The application connects the same user with another credential.
    #[error("the credential was replaced")]
    CredentialReplaced,
}

/// The events of one client since the subscription; each reader has its own queue.
///
/// The queue holds at most 1,024 events and about 1 MiB; further events are dropped and replaced by one [`Event::Lagged`].
/// Also a [`Stream`]. It ends when the last handle of the client is dropped.
pub struct Events(Arc<Queue>);

impl Events {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }

    /// Waits for the next event. Returns `None` after the client has ended.
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

/// The queue of one reader.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Event>,
    bytes: usize,
    /// Number of events dropped since the last one in the queue.
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
        inner.note_missed();
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
            inner.note_missed();
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
    /// Adds `Lagged` to the queue if events were dropped.
    fn note_missed(&mut self) {
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
    fn dropped_events_are_counted_where_they_are_missing() {
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
    fn bytes_are_bounded_and_freed() {
        let queue = Queue::default();
        (0..20).for_each(|n| queue.push(&other(n, QUEUE_BYTES / 10)));
        assert_eq!(drain(&queue).last().unwrap(), "lagged 10");
        assert_eq!(queue.inner.lock().bytes, 0);
    }

    #[test]
    fn an_ended_queue_is_read_to_its_end() {
        let queue = Queue::default();
        queue.push(&other(1, 0));
        queue.end();
        assert_eq!(drain(&queue), ["1"]);
        assert!(matches!(queue.poll_pop(&Context::from_waker(Waker::noop())), Poll::Ready(None)));
    }
}
