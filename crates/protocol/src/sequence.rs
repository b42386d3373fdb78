//! Sequence numbers: of a server's messages (`s`) and of a native client's requests (`r`).
//!
//! Both count 1, 2, 3, … without gaps for the life of a session, across all of its connections.

/// Assigns the numbers 1, 2, 3, …
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    last: u64,
}

impl Counter {
    /// Assigns the next number.
    #[allow(clippy::should_implement_trait, reason = "an iterator may end, a counter does not")]
    pub fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Returns the number assigned last; 0 if none was.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }
}

/// Tracks the numbers of the messages that a peer sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracker {
    seen: u64,
}

/// What to do with a message, judged by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Process the message: its number is the expected one.
    Next,
    /// Drop the message: it was processed before.
    Repeated,
    /// End the connection: messages before this one are missing.
    Gap,
}

impl Tracker {
    /// Compares `number` with the expected one, and records it if it is.
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

    /// Returns the highest number recorded; 0 if none was.
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
