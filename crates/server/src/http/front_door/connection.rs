//! One HTTP connection, as its requests see it.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use chatcamp_transport::long_poll::{self, Held};

use super::{no_news, socket::Socket};
use crate::admission::{PendingConnection, Stay};

/// A connection that hyper serves, in the extensions of its requests.
#[derive(Clone)]
pub(in crate::http) struct HttpConnection(Arc<Inner<dyn Socket>>);

struct Inner<S: ?Sized> {
    pending: PendingConnection,
    phase: AtomicU8,
    is_in_page: AtomicBool,
    socket: S,
}

/// What a connection does at this moment. All changes are made by its one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// The head of a request is being read.
    Head,
    /// A request is being carried out.
    Request,
    /// There is a response, of which nothing is written yet.
    Response,
    /// A response is being written, or the next request waited for.
    Idle,
}

impl HttpConnection {
    /// A connection with the beginning of a first request.
    pub(super) fn new(socket: impl Socket, pending: PendingConnection) -> Self {
        Self(Arc::new(Inner {
            pending,
            phase: AtomicU8::new(Phase::Head as u8),
            is_in_page: AtomicBool::new(false),
            socket,
        }))
    }

    pub(in crate::http) fn mark_authenticated(&self) {
        self.0.pending.mark_authenticated();
    }

    pub(super) fn socket(&self) -> &dyn Socket {
        &self.0.socket
    }

    pub(super) fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Relaxed) {
            0 => Phase::Head,
            1 => Phase::Request,
            2 => Phase::Response,
            _ => Phase::Idle,
        }
    }

    pub(super) fn is_in_page(&self) -> bool {
        self.0.is_in_page.load(Ordering::Relaxed)
    }

    /// Bytes of a request arrived.
    pub(super) fn received(&self) {
        if self.phase() == Phase::Idle {
            self.set(Phase::Head, Some(Stay::Handshake));
        }
    }

    /// A request is complete, its body excepted.
    pub(super) fn requested(&self, is_page: bool) {
        self.0.is_in_page.store(is_page, Ordering::Relaxed);
        self.set(Phase::Request, Some(Stay::Http));
    }

    /// There is a response.
    pub(super) fn responded(&self) {
        self.0.is_in_page.store(false, Ordering::Relaxed);
        self.set(Phase::Response, Some(Stay::Idle));
    }

    /// The response begins to be written.
    pub(super) fn writes(&self) {
        if self.phase() == Phase::Response {
            self.set(Phase::Idle, None);
        }
    }

    fn set(&self, phase: Phase, stay: Option<Stay>) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
        if let Some(stay) = stay {
            self.0.pending.change(stay);
        }
    }

    /// Waits for the answer of a poll that waits for news; it has none if the client closes its half of the connection, or all
    /// of it, as in `held_answer`.
    pub(in crate::http) async fn held_answer(&self, held: Held) -> long_poll::Answer {
        tokio::select! {
            biased;
            answer = held => answer,
            () = poll_fn(|cx| self.0.socket.poll_peer_end(cx)) => no_news(),
        }
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpConnection").field(&self.phase()).finish()
    }
}
