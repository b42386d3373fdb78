//! Remembers which transport worked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Buffered, Carrier, Close, Closed, Message, Sent};

/// The transport to begin with, or the first if none is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Option<Remembered>>);

#[derive(Debug, Clone, Copy)]
struct Remembered {
    index: usize,
    until: Instant,
    /// Whether something was received over the last connection.
    works: bool,
}

impl Memory {
    /// Returns the transport to begin with. It stays remembered if something is received over it again, but no longer than before.
    pub(super) fn take(&self, now: Instant) -> usize {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *memory = memory.filter(|it| it.works && now < it.until).map(|it| Remembered { works: false, ..it });
        memory.map_or(0, |it| it.index)
    }

    fn works(&self, index: usize, until: Instant) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = memory.filter(|it| it.index == index).map_or(until, |it| it.until);
        *memory = Some(Remembered { index, until, works: true });
    }
}

/// A carrier that records when something is received.
#[derive(Debug)]
pub(super) struct Watched {
    carrier: Box<dyn Carrier>,
    memory: Arc<Memory>,
    index: usize,
    /// How long to remember it; `None` after it was recorded.
    remembered: Option<Duration>,
}

impl Watched {
    pub(super) fn new(
        carrier: Box<dyn Carrier>,
        memory: Arc<Memory>,
        index: usize,
        remembered: Duration,
    ) -> Self {
        Self { carrier, memory, index, remembered: Some(remembered) }
    }
}

impl Carrier for Watched {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        let received = self.carrier.poll_recv(cx);
        if let Poll::Ready(Ok(_)) = &received {
            if let Some(time) = self.remembered.take() {
                let now = Instant::now();
                self.memory.works(self.index, now.checked_add(time).unwrap_or(now));
            }
        }
        received
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        self.carrier.try_send(batch)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.carrier.poll_flush(cx)
    }

    fn close(&mut self, why: Close) {
        self.carrier.close(why);
    }

    fn keep_alive(&mut self) {
        self.carrier.keep_alive();
    }

    fn take_back(&mut self) -> Vec<Message> {
        self.carrier.take_back()
    }

    fn arrivals(&self) -> u32 {
        self.carrier.arrivals()
    }

    fn buffered(&self) -> Buffered {
        self.carrier.buffered()
    }

    fn limit_messages(&mut self, bytes: usize) {
        self.carrier.limit_messages(bytes);
    }
}
