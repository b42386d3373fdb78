//! The driver's end of a connection.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    hub::{Key, Shared},
    line::{Line, Side},
};
use crate::{Buffered, Close, Closed, Message, Sent};

/// A handle to the line. A message counts as sent once it is in the queue for the next GET.
pub(super) struct Carrier {
    hub: Arc<Shared>,
    key: Key,
    line: Arc<Line>,
}

impl Carrier {
    pub(super) fn new(hub: Arc<Shared>, key: Key, line: Arc<Line>) -> Self {
        Self { hub, key, line }
    }
}

impl crate::Carrier for Carrier {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        self.line.poll_recv(cx)
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        self.line.try_send(batch)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.line.poll_flush(cx)
    }

    /// Completes at once: the answer to the next request contains the close.
    fn close(&mut self, why: Close) {
        self.hub.end(self.key, &self.line, Closed::ByUs(why.fitted()), Side::Driver);
    }

    fn keep_alive(&mut self) {
        self.line.keep_alive();
    }

    fn take_back(&mut self) -> Vec<Message> {
        self.line.take_back()
    }

    fn arrivals(&self) -> u32 {
        self.line.arrivals()
    }

    fn buffered(&self) -> Buffered {
        self.line.buffered()
    }

    fn limit_messages(&mut self, bytes: usize) {
        self.line.limit_messages(bytes);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let how = Closed::Lost("the connection was dropped".into());
        self.hub.end(self.key, &self.line, how, Side::Driver);
        self.line.forget_undelivered();
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier").field("line", &self.line).finish_non_exhaustive()
    }
}
