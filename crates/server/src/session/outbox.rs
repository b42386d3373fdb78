//! What a connection had no room for.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chatcamp_protocol::limits;
use chatcamp_transport::Message;

/// Messages that wait for one client; empty, and without memory, while the client reads.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Message>,
    bytes: usize,
}

/// The bytes that all outboxes together may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

/// There is no room: for this client, or for all that do not read.
#[derive(Debug)]
pub(crate) struct Overflow;

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    fn take(&self, bytes: usize) -> Result<(), Overflow> {
        let taken = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).map(|_| ()).map_err(|_| Overflow)
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Reserved {
    pub(crate) fn new(budget: &Arc<Budget>, bytes: usize) -> Result<Self, Overflow> {
        budget.take(bytes)?;
        Ok(Self { budget: budget.clone(), bytes })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn push(&mut self, message: Message, budget: &Budget) -> Result<(), Overflow> {
        let bytes = message.len();
        if self.messages.len() >= limits::OUTBOX_MESSAGES || self.bytes + bytes > limits::OUTBOX_BYTES {
            return Err(Overflow);
        }
        budget.take(bytes)?;
        self.bytes += bytes;
        self.messages.push_back(message);
        Ok(())
    }

    /// All of it, in order.
    pub(super) fn batch(&mut self) -> &[Message] {
        self.messages.make_contiguous()
    }

    /// Forgets the first `count` messages.
    pub(super) fn advance(&mut self, count: usize, budget: &Budget) {
        let bytes = self.messages.drain(..count).map(|message| message.len()).sum();
        self.bytes -= bytes;
        budget.give_back(bytes);
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
    }

    pub(super) fn clear(&mut self, budget: &Budget) {
        self.advance(self.messages.len(), budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_is_bounded_by_itself_and_by_all() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (Outbox::default(), Outbox::default());
        one.push("123456".into(), &budget).unwrap();
        two.push("1234".into(), &budget).unwrap();
        assert!(two.push("1".into(), &budget).is_err(), "nothing is left for anybody");
        one.advance(1, &budget);
        two.push("1".into(), &budget).unwrap();
        two.clear(&budget);
        assert_eq!(budget.left.load(Ordering::Relaxed), 10);

        let shared = Arc::new(Budget::new(10));
        let held = Reserved::new(&shared, 7).unwrap();
        assert!(Reserved::new(&shared, 4).is_err());
        drop(held);
        assert!(Reserved::new(&shared, 10).is_ok());

        let plenty = Budget::new(usize::MAX);
        for _ in 0..limits::OUTBOX_MESSAGES {
            one.push("1".into(), &plenty).unwrap();
        }
        assert!(one.push("1".into(), &plenty).is_err());
        assert!(two.push("x".repeat(limits::OUTBOX_BYTES + 1).into(), &plenty).is_err());
    }
}
