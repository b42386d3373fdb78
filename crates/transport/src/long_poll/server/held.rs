//! A request that is answered later.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Answer, line::Line};

/// Resolves to the [`Answer`] of a held request; `Unpin`, so it needs no pinning.
///
/// Dropping it abandons the request. No message is lost: the next GET gets the waiting messages.
#[must_use = "the peer waits for the answer"]
pub struct Held {
    line: Arc<Line>,
    ticket: u32,
    is_get: bool,
}

impl Held {
    pub(super) fn get(line: Arc<Line>, ticket: u32) -> Self {
        Self { line, ticket, is_get: true }
    }

    pub(super) fn post(line: Arc<Line>, ticket: u32) -> Self {
        Self { line, ticket, is_get: false }
    }
}

impl Future for Held {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if self.is_get { self.line.poll_get(self.ticket, cx) } else { self.line.poll_post(self.ticket, cx) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.line.give_up(self.ticket);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("is_get", &self.is_get).finish_non_exhaustive()
    }
}

const _: fn() = || {
    fn holds<T: Unpin + Send + 'static>() {}
    holds::<Held>();
};
