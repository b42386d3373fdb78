//! Connections within a process: bounded, ordered, no globals and no sockets.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{
    Buffered, Carrier, Close, Closed, ConnectError, Connection, ConnectionInfo, MESSAGE_LIMIT, Message, Sent,
};

/// Maximum number of connections that wait to be accepted.
const BACKLOG: usize = 1024;
/// Maximum number of messages on their way in one direction.
const PIPE_MESSAGES: usize = 64;
/// Bytes on their way in one direction from which on no message is taken.
const PIPE_BYTES: usize = 256 * 1024;

/// Makes a network: the listener accepts what the transport dials.
#[must_use]
pub fn network() -> (Transport, Listener) {
    let (dial, accept) = mpsc::channel(BACKLOG);
    (Transport { dial, info: ConnectionInfo::new("memory") }, Listener { accept })
}

/// Returns the two ends of one connection.
#[must_use]
pub fn pair() -> (Connection, Connection) {
    let info = ConnectionInfo::new("memory");
    let (a, b) = ends();
    (Connection::new(a, info.clone()), Connection::new(b, info))
}

/// Dials the [`Listener`] that it was made with; clones dial the same listener.
#[derive(Debug, Clone)]
pub struct Transport {
    dial: mpsc::Sender<Connection>,
    info: ConnectionInfo,
}

impl Transport {
    /// Sets the query that the listener sees, like the query string of an upgrade request.
    #[must_use]
    pub fn with_query(mut self, query: impl Into<String>) -> Self {
        self.info.query = Some(query.into());
        self
    }
}

#[async_trait]
impl crate::Transport for Transport {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let (ours, theirs) = ends();
        let theirs = Connection::new(theirs, self.info.clone());
        self.dial.send(theirs).await.map_err(|_| ConnectError::unreachable("the listener was dropped"))?;
        Ok(Connection::new(ours, ConnectionInfo::new("memory")))
    }

    fn is_exposed(&self) -> bool {
        false
    }
}

/// Accepts what its [`Transport`] dials; ends when the last clone of the transport is dropped.
#[derive(Debug)]
pub struct Listener {
    accept: mpsc::Receiver<Connection>,
}

#[async_trait]
impl crate::Listener for Listener {
    async fn accept(&mut self) -> Option<Connection> {
        self.accept.recv().await
    }
}

/// One direction.
#[derive(Default)]
struct Pipe {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Set by the sending end; no message follows.
    end: Option<Closed>,
    /// Set by the receiving end when it receives nothing more.
    is_closed: bool,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

impl Pipe {
    fn has_room(&self) -> bool {
        self.messages.len() < PIPE_MESSAGES && self.bytes < PIPE_BYTES
    }

    fn end(&mut self, how: Closed) {
        self.end.get_or_insert(how);
        [self.receiver.take(), self.sender.take()].into_iter().flatten().for_each(Waker::wake);
    }
}

/// One end of a connection.
struct End {
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
    closed: Option<Closed>,
    arrivals: u32,
    /// Largest message that is accepted, in bytes.
    limit: usize,
}

fn ends() -> (End, End) {
    let (a, b) = (Arc::<Mutex<Pipe>>::default(), Arc::<Mutex<Pipe>>::default());
    let end =
        |incoming, outgoing| End { incoming, outgoing, closed: None, arrivals: 0, limit: MESSAGE_LIMIT };
    (end(a.clone(), b.clone()), end(b, a))
}

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

impl End {
    /// Stops both directions: the peer sees `theirs`, this side `ours`.
    fn stop(&mut self, ours: Closed, theirs: Closed) {
        if self.closed.is_none() {
            self.closed = Some(ours);
            lock(&self.outgoing).end(theirs);
            let mut incoming = lock(&self.incoming);
            incoming.messages.clear();
            incoming.is_closed = true;
            [incoming.sender.take(), incoming.receiver.take()].into_iter().flatten().for_each(Waker::wake);
        }
    }
}

impl Carrier for End {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        if let Some(closed) = &self.closed {
            return Poll::Ready(Err(closed.clone()));
        }
        let mut pipe = lock(&self.incoming);
        if let Some(message) = pipe.messages.pop_front() {
            pipe.bytes -= message.len();
            self.arrivals = self.arrivals.wrapping_add(1);
            pipe.sender.take().into_iter().for_each(Waker::wake);
            if message.len() > self.limit {
                drop(pipe);
                let why = Close::new(1009, "message too large");
                self.stop(Closed::Violated(why.clone()), Closed::ByPeer(why));
                return self.poll_recv(cx);
            }
            return Poll::Ready(Ok(message));
        }
        if let Some(end) = pipe.end.clone() {
            drop(pipe);
            self.stop(end.clone(), end.clone());
            return Poll::Ready(Err(end));
        }
        pipe.receiver = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        let mut pipe = lock(&self.outgoing);
        let mut taken = 0;
        if self.closed.is_none() && !pipe.is_closed {
            while let Some(message) = batch.get(taken).filter(|_| pipe.has_room()) {
                pipe.bytes += message.len();
                pipe.messages.push_back(message.clone());
                taken += 1;
            }
        }
        if taken > 0 {
            pipe.receiver.take().into_iter().for_each(Waker::wake);
        }
        Sent { taken, flushed: taken == batch.len() }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if let Some(closed) = &self.closed {
            return Poll::Ready(Err(closed.clone()));
        }
        let mut pipe = lock(&self.outgoing);
        if !pipe.is_closed {
            if pipe.has_room() {
                return Poll::Ready(Ok(()));
            }
            pipe.sender = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(pipe);
        // The peer sets the end before it stops receiving.
        let end = lock(&self.incoming).end.clone();
        Poll::Ready(Err(end.expect("the peer set it")))
    }

    fn close(&mut self, why: Close) {
        self.stop(Closed::ByUs(why.clone()), Closed::ByPeer(why));
    }

    fn arrivals(&self) -> u32 {
        self.arrivals
    }

    fn buffered(&self) -> Buffered {
        Buffered { incoming: lock(&self.incoming).bytes, outgoing: lock(&self.outgoing).bytes }
    }

    fn limit_messages(&mut self, bytes: usize) {
        self.limit = bytes.min(MESSAGE_LIMIT);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let lost = Closed::Lost("the peer dropped the connection".into());
        self.stop(lost.clone(), lost);
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("closed", &self.closed).finish_non_exhaustive()
    }
}
