//! What a client may yet need: what waits for it, and what it has not acknowledged.

use std::collections::VecDeque;

use chatcamp_protocol::limits;
use chatcamp_transport::Message;

use super::{Budget, Overflow};

/// What was said to one client and is not known to have arrived: first what a carrier has taken and the client has not
/// acknowledged, then what waits for a carrier. Empty, and without memory, while there is neither.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Message>,
    bytes: usize,
    /// How many a carrier has taken.
    taken: usize,
}

/// Memory that a message costs besides its text, in bytes: its place in the queue, and what allocators add.
const PER_MESSAGE: usize = 64;

impl Outbox {
    /// Whether nothing waits for a carrier.
    pub(super) fn is_idle(&self) -> bool {
        self.taken == self.messages.len()
    }

    /// How many messages there are, taken and waiting.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many of them a carrier has taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.messages.len() * PER_MESSAGE
    }

    /// Adds one that waits; what was taken makes room for it, and can then not be sent again.
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

    /// Keeps one that a carrier has just taken; where there is no room for it, nothing is kept.
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

    /// Lets what a carrier has given back wait again, before everything else; the oldest of it is lost where there is no room.
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

    /// What waits, in order.
    pub(super) fn waiting(&mut self) -> &[Message] {
        &self.messages.make_contiguous()[self.taken..]
    }

    /// A carrier has taken the first `count` that waited.
    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
    }

    /// Forgets the first `count` messages, which are taken.
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

    /// Lets everything wait again, for another carrier.
    pub(super) fn rewind(&mut self) {
        self.taken = 0;
    }

    pub(super) fn clear(&mut self, budget: &Budget) {
        self.taken = self.messages.len();
        self.forget(self.taken, budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget for so many bytes of so many messages.
    fn budget(bytes: usize, messages: usize) -> Budget {
        Budget::new(bytes + messages * PER_MESSAGE)
    }

    #[test]
    fn an_outbox_is_bounded_by_itself_and_by_all() {
        let budget = budget(10, 2);
        let (mut one, mut two) = (Outbox::default(), Outbox::default());
        one.push("123456".into(), &budget).unwrap();
        two.push("1234".into(), &budget).unwrap();
        assert_eq!(two.push("".into(), &budget), Err(Overflow::Process), "the place of a message counts too");
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
    fn what_was_taken_makes_room_for_what_waits() {
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
    fn nothing_is_kept_where_not_all_can_be() {
        let budget = budget(16, 2);
        let mut outbox = Outbox::default();
        for text in ["1234", "5678"] {
            outbox.keep(text.into(), &budget);
        }
        outbox.keep("9".into(), &budget);
        assert_eq!((outbox.len(), budget.left()), (0, budget.total()));
    }

    #[test]
    fn what_comes_back_waits_before_the_rest_and_its_oldest_goes_first() {
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
