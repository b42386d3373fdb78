//! A bounded number of bytes that many holders share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The maximum number of bytes that all holders may have together.
#[derive(Debug)]
pub(crate) struct Budget {
    total: usize,
    taken: AtomicUsize,
    /// Bytes that carriers hold. They are counted after they were allocated, so they may exceed the total.
    carried: AtomicUsize,
    /// Bytes in use above which the budget is nearly full.
    full_at: AtomicUsize,
}

/// Bytes reserved from a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

/// A message does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The queue of this session is full.
    Session,
    /// The budget of all sessions is full.
    Process,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            total: bytes,
            taken: AtomicUsize::new(0),
            carried: AtomicUsize::new(0),
            full_at: AtomicUsize::new(Self::nearly(bytes)),
        }
    }

    /// Returns seven eighths of the total, so that bytes are reclaimed before the budget is full.
    const fn nearly(total: usize) -> usize {
        total - total / 8
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.total - self.taken.load(Ordering::Relaxed)
    }

    /// Takes bytes from the budget.
    ///
    /// # Errors
    /// [`Overflow::Process`] if fewer bytes are left; none are taken.
    pub(super) fn take(&self, bytes: usize) -> Result<(), Overflow> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|&taken| taken <= self.total);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map(|_| ())
            .map_err(|_| Overflow::Process)
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Replaces the bytes counted for a carrier, `before`, with those it holds now.
    pub(super) fn count_carried(&self, now: usize, before: usize) {
        if now > before {
            self.carried.fetch_add(now - before, Ordering::Relaxed);
        } else if now < before {
            self.carried.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    fn used(&self) -> usize {
        self.taken.load(Ordering::Relaxed).saturating_add(self.carried.load(Ordering::Relaxed))
    }

    /// Returns whether bytes should be reclaimed.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.used() > self.full_at.load(Ordering::Relaxed)
    }

    /// Notes that bytes were reclaimed. The budget counts as nearly full again once a sixteenth more is in use, because part of the
    /// freed bytes is given back later.
    pub(crate) fn reclaimed(&self) {
        let next = self.used() + self.total / 16;
        self.full_at.store(next.max(Self::nearly(self.total)), Ordering::Relaxed);
    }
}

impl Reserved {
    /// Reserves bytes.
    ///
    /// # Errors
    /// [`Overflow::Process`] if fewer bytes are left.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bytes_are_given_back_when_dropped() {
        let shared = Arc::new(Budget::new(10));
        let held = Reserved::new(&shared, 7).unwrap();
        assert!(Reserved::new(&shared, 4).is_err());
        drop(held);
        assert!(Reserved::new(&shared, 10).is_ok());
    }

    #[test]
    fn a_budget_is_nearly_full_at_seven_eighths_and_again_after_one_more_sixteenth() {
        let budget = Budget::new(160);
        budget.take(140).unwrap();
        assert!(!budget.is_nearly_full());
        budget.count_carried(1, 0);
        assert!(budget.is_nearly_full());
        budget.reclaimed();
        budget.take(10).unwrap();
        assert!(!budget.is_nearly_full());
        budget.take(1).unwrap();
        assert!(budget.is_nearly_full());
        budget.count_carried(0, 1);
        budget.give_back(151);
        budget.reclaimed();
        budget.take(140).unwrap();
        assert!(!budget.is_nearly_full());
    }
}
