//! What a client may yet need: what waits for it, and what it has not acknowledged.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chatcamp_protocol::limits;
use chatcamp_transport::Message;

/// What was said to one client and is not known to have arrived: first what a carrier has taken and the client has not
/// acknowledged, then what waits for a carrier. Empty, and without memory, while there is neither.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Message>,
    bytes: usize,
    /// How many a carrier has taken.
    taken: usize,
}

/// The bytes that all outboxes together may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    total: usize,
    left: AtomicUsize,
}

/// Bytes of a budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// For more that waits for this client.
    Session,
    /// For more that waits for all the clients together.
    Process,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { total: bytes, left: AtomicUsize::new(bytes) }
    }

    fn take(&self, bytes: usize) -> Result<(), Overflow> {
        self.take_down_to(0, bytes)
    }

    /// Takes bytes as long as so many are left.
    fn take_down_to(&self, least: usize, bytes: usize) -> Result<(), Overflow> {
        let taken = |left: usize| left.checked_sub(bytes).filter(|&left| left >= least);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
            .map(|_| ())
            .map_err(|_| Overflow::Process)
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

    /// Adds one that waits; what was taken makes room for it, and can then not be sent again.
    pub(super) fn push(&mut self, message: Message, budget: &Budget) -> Result<(), Overflow> {
        let bytes = message.len();
        while self.messages.len() >= limits::OUTBOX_MESSAGES || self.bytes + bytes > limits::OUTBOX_BYTES {
            if self.taken == 0 {
                return Err(Overflow::Session);
            }
            self.forget(1, budget);
        }
        while let Err(overflow) = budget.take(bytes) {
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
    ///
    /// What is merely not acknowledged gets half of the budget: clients that never do so take nothing from those who wait.
    pub(super) fn keep(&mut self, message: Message, budget: &Budget) {
        debug_assert!(self.is_idle());
        let bytes = message.len();
        while self.messages.len() >= limits::OUTBOX_MESSAGES || self.bytes + bytes > limits::OUTBOX_BYTES {
            if self.messages.is_empty() {
                return;
            }
            self.forget(1, budget);
        }
        if budget.take_down_to(budget.total / 2, bytes).is_err() {
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
            if !has_room || budget.take(bytes).is_err() {
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
        let bytes = self.messages.drain(..count).map(|message| message.len()).sum();
        self.bytes -= bytes;
        self.taken -= count;
        budget.give_back(bytes);
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

    fn left(budget: &Budget) -> usize {
        budget.left.load(Ordering::Relaxed)
    }

    #[test]
    fn an_outbox_is_bounded_by_itself_and_by_all() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (Outbox::default(), Outbox::default());
        one.push("123456".into(), &budget).unwrap();
        two.push("1234".into(), &budget).unwrap();
        assert_eq!(two.push("1".into(), &budget), Err(Overflow::Process), "nothing is left for anybody");
        one.clear(&budget);
        two.push("1".into(), &budget).unwrap();
        two.clear(&budget);
        assert_eq!(left(&budget), 10);

        let plenty = Budget::new(usize::MAX);
        for _ in 0..limits::OUTBOX_MESSAGES {
            one.push("1".into(), &plenty).unwrap();
        }
        assert_eq!(one.push("1".into(), &plenty), Err(Overflow::Session));
        assert!(two.push("x".repeat(limits::OUTBOX_BYTES + 1).into(), &plenty).is_err());
    }

    #[test]
    fn what_was_taken_makes_room_for_what_waits() {
        let budget = Budget::new(16);
        let mut outbox = Outbox::default();
        for text in ["1234", "5678"] {
            outbox.keep(text.into(), &budget);
        }
        outbox.push("9".into(), &budget).unwrap();
        assert_eq!((outbox.len(), outbox.taken(), left(&budget)), (3, 2, 7));
        outbox.push("abcdefgh".into(), &budget).unwrap();
        assert_eq!((outbox.len(), outbox.taken(), left(&budget)), (3, 1, 3));
        outbox.rewind();
        assert_eq!(outbox.waiting(), ["5678".into(), "9".into(), "abcdefgh".into()]);
        outbox.clear(&budget);
        assert_eq!(left(&budget), 16);
    }

    #[test]
    fn what_is_not_acknowledged_leaves_half_of_the_budget_to_those_who_wait() {
        let budget = Budget::new(16);
        let (mut hoarder, mut other) = (Outbox::default(), Outbox::default());
        for text in ["1234", "5678"] {
            hoarder.keep(text.into(), &budget);
        }
        hoarder.keep("9".into(), &budget);
        assert_eq!((hoarder.len(), left(&budget)), (0, 16), "nothing is kept where not all can be");
        hoarder.keep("12345678".into(), &budget);
        other.push("12345678".into(), &budget).unwrap();
    }

    #[test]
    fn what_comes_back_waits_before_the_rest_and_its_oldest_goes_first() {
        let budget = Budget::new(6);
        let mut outbox = Outbox::default();
        outbox.push("3".into(), &budget).unwrap();
        outbox.put_back(vec!["1".into(), "2".into()], &budget);
        assert_eq!(outbox.waiting(), ["1".into(), "2".into(), "3".into()]);
        outbox.put_back(vec!["--".into(), "+++".into()], &budget);
        assert_eq!((outbox.len(), left(&budget)), (4, 0));
        assert_eq!(outbox.waiting()[0].as_str(), "+++");
    }

    #[test]
    fn reserved_bytes_come_back() {
        let shared = Arc::new(Budget::new(10));
        let held = Reserved::new(&shared, 7).unwrap();
        assert!(Reserved::new(&shared, 4).is_err());
        drop(held);
        assert!(Reserved::new(&shared, 10).is_ok());
    }
}
