//! Numbering of what must not be lost: server envelopes (`s`) and native requests (`r`).
//!
//! Both run 1, 2, 3 … without gaps for the life of a session, over however many connections it has.

/// Hands out the numbers 1, 2, 3 …
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    last: u64,
}

impl Counter {
    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "a counter never ends, an iterator may")]
    pub fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The number handed out last; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }
}

/// Follows the numbers of a peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracker {
    seen: u64,
}

/// What the number of an arriving message says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is the one expected: process it.
    Next,
    /// It was processed before: drop it.
    Repeated,
    /// Messages before it are missing: the connection cannot be trusted.
    Gap,
}

impl Tracker {
    /// Judges `number`, and remembers it when it is the next one.
    pub fn arrive(&mut self, number: u64) -> Arrival {
        match number.checked_sub(self.seen) {
            Some(1) => {
                self.seen = number;
                Arrival::Next
            }
            None | Some(0) => Arrival::Repeated,
            Some(_) => Arrival::Gap,
        }
    }

    /// The highest number processed; 0 before the first.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_start_at_one() {
        let mut counter = Counter::default();
        assert_eq!((counter.last(), counter.next(), counter.next(), counter.last()), (0, 1, 2, 2));
    }

    #[test]
    fn each_number_is_processed_once_and_in_order() {
        let mut tracker = Tracker::default();
        let arrivals = [1, 1, 2, 4, 3, 0, u64::MAX, 4].map(|n| tracker.arrive(n));
        use Arrival::{Gap, Next, Repeated};
        assert_eq!(arrivals, [Next, Repeated, Next, Gap, Next, Repeated, Gap, Next]);
        assert_eq!(tracker.seen(), 4);
    }
}
