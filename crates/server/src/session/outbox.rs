//! The messages that a session keeps for its client: queued ones, and sent ones that are not acknowledged.

use std::collections::VecDeque;

use chatcamp_protocol::limits;
use chatcamp_transport::Message;

use super::{Budget, Overflow};

/// Messages to one client that are not known to have arrived. First those that a carrier has taken and the client has not
/// acknowledged, then those that wait for a carrier. An empty outbox has no heap memory.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Message>,
    bytes: usize,
    /// The number of messages that a carrier has taken.
    taken: usize,
}

/// The memory of a message besides its text, in bytes: its slot in the queue, and the overhead of the allocator.
const PER_MESSAGE: usize = 64;

impl Outbox {
    /// Returns whether no message waits for a carrier.
    pub(super) fn is_idle(&self) -> bool {
        self.taken == self.messages.len()
    }

    /// Returns the number of messages, taken and waiting.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns the number of messages that a carrier has taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.messages.len() * PER_MESSAGE
    }

    /// Queues a message. Drops taken messages to make room if necessary; those can then not be sent again.
    ///
    /// # Errors
    /// [`Overflow`] if there is no room even without taken messages.
    pub(super) fn push(&mut self, message: Message, budget: &Budget) -> Result<(), Overflow> {
        let bytes = message.len();
        while self.messages.len() >= limits::OUTBOX_MESSAGES || self.bytes + bytes > limits::OUTBOX_BYTES {
            if self.taken == 0 {
                return Err(Overflow::Session);
            }
            self.forget(1, budget);
        }
        while let Err(overflow) = budget.take(bytes + PER_MESSAGE) {
            if self.taken == 0 {
                return Err(overflow);
            }
            self.forget(1, budget);
        }
        self.bytes += bytes;
        self.messages.push_back(message);
        Ok(())
    }

    /// Keeps a message that a carrier has just taken. If it does not fit, all kept messages are dropped: the session could only
    /// be resumed with all of them.
    pub(super) fn keep(&mut self, message: Message, budget: &Budget) {
        debug_assert!(self.is_idle());
        let bytes = message.len();
        while self.messages.len() >= limits::OUTBOX_MESSAGES || self.bytes + bytes > limits::OUTBOX_BYTES {
            if self.messages.is_empty() {
                return;
            }
            self.forget(1, budget);
        }
        if budget.take(bytes + PER_MESSAGE).is_err() {
            self.clear(budget);
            return;
        }
        self.bytes += bytes;
        self.taken += 1;
        self.messages.push_back(message);
    }

    /// Queues messages that a carrier has given back, before all others. If there is too little room, the oldest of them are lost.
    pub(super) fn put_back(&mut self, messages: Vec<Message>, budget: &Budget) {
        debug_assert_eq!(self.taken, 0);
        for message in messages.into_iter().rev() {
            let bytes = message.len();
            let has_room =
                self.messages.len() < limits::OUTBOX_MESSAGES && self.bytes + bytes <= limits::OUTBOX_BYTES;
            if !has_room || budget.take(bytes + PER_MESSAGE).is_err() {
                return;
            }
            self.bytes += bytes;
            self.messages.push_front(message);
        }
    }

    /// Returns the messages that wait for a carrier, in order.
    pub(super) fn waiting(&mut self) -> &[Message] {
        &self.messages.make_contiguous()[self.taken..]
    }

    /// Marks the first `count` waiting messages as taken by a carrier.
    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
    }

    /// Drops the first `count` messages, which are taken.
    pub(super) fn forget(&mut self, count: usize, budget: &Budget) {
        debug_assert!(count <= self.taken);
        let bytes: usize = self.messages.drain(..count).map(|message| message.len()).sum();
        self.bytes -= bytes;
        self.taken -= count;
        budget.give_back(bytes + count * PER_MESSAGE);
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
    }

    /// Marks all messages as waiting, for another carrier.
    pub(super) fn rewind(&mut self) {
        self.taken = 0;
    }

    /// Drops all messages.
    pub(super) fn clear(&mut self, budget: &Budget) {
        self.taken = self.messages.len();
        self.forget(self.taken, budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a budget for `messages` messages with `bytes` bytes of text in total.
    fn budget(bytes: usize, messages: usize) -> Budget {
        Budget::new(bytes + messages * PER_MESSAGE)
    }

    #[test]
    fn an_outbox_is_bounded_by_its_own_limits_and_by_the_budget() {
        let budget = budget(10, 2);
        let (mut one, mut two) = (Outbox::default(), Outbox::default());
        one.push("123456".into(), &budget).unwrap();
        two.push("1234".into(), &budget).unwrap();
        assert_eq!(two.push("".into(), &budget), Err(Overflow::Process), "the slot of a message counts too");
        one.clear(&budget);
        two.push("1".into(), &budget).unwrap();
        two.clear(&budget);
        assert_eq!(budget.left(), budget.total());

        let plenty = Budget::new(usize::MAX);
        for _ in 0..limits::OUTBOX_MESSAGES {
            one.push("1".into(), &plenty).unwrap();
        }
        assert_eq!(one.push("1".into(), &plenty), Err(Overflow::Session));
        assert!(two.push("x".repeat(limits::OUTBOX_BYTES + 1).into(), &plenty).is_err());
    }

    #[test]
    fn taken_messages_are_dropped_to_make_room_for_queued_ones() {
        let budget = budget(16, 3);
        let mut outbox = Outbox::default();
        for text in ["1234", "5678"] {
            outbox.keep(text.into(), &budget);
        }
        outbox.push("9".into(), &budget).unwrap();
        assert_eq!((outbox.len(), outbox.taken(), budget.left()), (3, 2, 7));
        outbox.push("abcdefgh".into(), &budget).unwrap();
        assert_eq!((outbox.len(), outbox.taken(), budget.left()), (3, 1, 3));
        outbox.rewind();
        assert_eq!(outbox.waiting(), ["5678".into(), "9".into(), "abcdefgh".into()]);
        outbox.clear(&budget);
        assert_eq!(budget.left(), budget.total());
    }

    #[test]
    fn all_kept_messages_are_dropped_if_one_does_not_fit() {
        let budget = budget(16, 2);
        let mut outbox = Outbox::default();
        for text in ["1234", "5678"] {
            outbox.keep(text.into(), &budget);
        }
        outbox.keep("9".into(), &budget);
        assert_eq!((outbox.len(), budget.left()), (0, budget.total()));
    }

    #[test]
    fn returned_messages_are_queued_first_and_the_oldest_are_lost_first() {
        let budget = budget(6, 4);
        let mut outbox = Outbox::default();
        outbox.push("3".into(), &budget).unwrap();
        outbox.put_back(vec!["1".into(), "2".into()], &budget);
        assert_eq!(outbox.waiting(), ["1".into(), "2".into(), "3".into()]);
        outbox.put_back(vec!["--".into(), "+++".into()], &budget);
        assert_eq!((outbox.len(), budget.left()), (4, 0));
        assert_eq!(outbox.waiting()[0].as_str(), "+++");
    }
}
