//! The state of a connection that hyper serves, shared with its requests.

use std::{
    fmt,
    future::poll_fn,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use chatcamp_transport::long_poll::{self, Held};

use super::{no_messages, socket::Socket};
use crate::admission::{PendingConnection, PendingKind};

/// A connection that hyper serves. Its requests carry it as an extension.
#[derive(Clone)]
pub(in crate::http) struct HttpConnection(Arc<Inner<dyn Socket>>);

struct Inner<S: ?Sized> {
    pending: PendingConnection,
    /// Whether a trusted proxy has opened the connection: then each request counts for its own client.
    is_of_proxy: bool,
    phase: AtomicU8,
    is_in_page: AtomicBool,
    /// Whether the client may still be sending when the connection ends.
    is_sending: AtomicBool,
    socket: S,
}

/// What a connection is doing. Only the connection's task changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// The head of a request is being read.
    Head,
    /// A request is being processed.
    Request,
    /// A response is ready, and none of it is written yet.
    Response,
    /// A response is being written, or the next request is awaited.
    Idle,
}

impl HttpConnection {
    /// Creates a connection on which the first bytes of a request have arrived.
    pub(super) fn new(socket: impl Socket, pending: PendingConnection, is_of_proxy: bool) -> Self {
        Self(Arc::new(Inner {
            pending,
            is_of_proxy,
            phase: AtomicU8::new(Phase::Head as u8),
            is_in_page: AtomicBool::new(false),
            is_sending: AtomicBool::new(false),
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

    /// Records that bytes of a request have arrived.
    pub(super) fn received(&self) {
        if self.phase() == Phase::Idle {
            self.count_for(None);
            self.set(Phase::Head, Some(PendingKind::Handshake));
        }
    }

    /// Returns whether the client may still be sending: its last request has a body, or an invalid head.
    pub(super) fn is_sending(&self) -> bool {
        self.0.is_sending.load(Ordering::Relaxed)
    }

    /// Records that a head was refused, after which anything may follow.
    pub(super) fn refused(&self) {
        self.0.is_sending.store(true, Ordering::Relaxed);
    }

    /// Records that the head of a request of `client` is complete; `is_page` says whether mounted pages answer it, and `has_body` whether
    /// a body follows.
    pub(super) fn requested(&self, client: IpAddr, is_page: bool, has_body: bool) {
        self.count_for(Some(client));
        self.0.is_sending.store(has_body, Ordering::Relaxed);
        self.0.is_in_page.store(is_page, Ordering::Relaxed);
        self.set(Phase::Request, Some(PendingKind::Http));
    }

    /// Records that the response is ready.
    pub(super) fn responded(&self) {
        self.0.is_in_page.store(false, Ordering::Relaxed);
        self.set(Phase::Response, Some(PendingKind::Idle));
    }

    /// Records that a write has begun.
    pub(super) fn writes(&self) {
        if self.phase() == Phase::Response {
            self.set(Phase::Idle, None);
        }
    }

    fn count_for(&self, client: Option<IpAddr>) {
        if self.0.is_of_proxy {
            self.0.pending.count_for(client);
        }
    }

    fn set(&self, phase: Phase, kind: Option<PendingKind>) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
        if let Some(kind) = kind {
            self.0.pending.change(kind);
        }
    }

    /// Waits for the answer of a poll that waits for messages.
    ///
    /// Returns an answer without messages if the client closes the connection or its half of it; `held_answer` in the front
    /// door says why.
    pub(in crate::http) async fn held_answer(&self, held: Held) -> long_poll::Answer {
        tokio::select! {
            biased;
            answer = held => answer,
            () = poll_fn(|cx| self.0.socket.poll_peer_end(cx)) => no_messages(),
        }
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpConnection").field(&self.phase()).finish()
    }
}
