//! A timing wheel with a slot per second, for the deadlines of all sessions.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use parking_lot::Mutex;

use crate::session::{SPAN, SessionId, reachable};

/// The scheduled checks of sessions, by second. Each check returns the second of the next one.
///
/// An entry is the id of a session, eight bytes, and not a reference. It may outlive its session; then the id finds no session.
#[derive(Debug)]
pub(crate) struct Wheel {
    started: Instant,
    now: AtomicU32,
    buckets: Mutex<Vec<Vec<SessionId>>>,
}

impl Wheel {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, now: AtomicU32::new(0), buckets: Mutex::new(vec![Vec::new(); SPAN as usize]) }
    }

    /// Returns the current second, counted from the creation of the wheel. [`turn`](Self::turn) advances it.
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Returns the milliseconds from the creation of the wheel to `instant`, modulo 2³².
    #[allow(clippy::cast_possible_truncation, reason = "the milliseconds of a meter wrap")]
    pub(crate) fn millis(&self, instant: Instant) -> u32 {
        instant.saturating_duration_since(self.started).as_millis() as u32
    }

    /// Schedules a check of `session` at second `at`, or earlier if that is too far ahead.
    pub(crate) fn schedule(&self, session: SessionId, at: u32) {
        let mut buckets = self.buckets.lock();
        let at = reachable(at, self.now());
        buckets[(at % SPAN) as usize].push(session);
    }

    /// Advances to the second of `instant`. Calls `due` for each entry on the way; its result is the second of the next check.
    pub(crate) fn turn(&self, instant: Instant, mut due: impl FnMut(SessionId, u32) -> Option<u32>) {
        let elapsed = instant.saturating_duration_since(self.started).as_secs();
        let target = u32::try_from(elapsed).unwrap_or(u32::MAX);
        while self.now() < target {
            let entries = {
                let mut buckets = self.buckets.lock();
                let now = self.now() + 1;
                self.now.store(now, Ordering::Relaxed);
                std::mem::take(&mut buckets[(now % SPAN) as usize])
            };
            for session in entries {
                if let Some(at) = due(session, self.now()) {
                    self.schedule(session, at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(slot: u32) -> SessionId {
        SessionId { slot, generation: 0 }
    }

    #[test]
    fn entries_are_due_at_their_second_and_can_be_scheduled_again() {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        wheel.schedule(id(1), 2);
        wheel.schedule(id(2), 1000);
        let mut due_entries = Vec::new();
        for second in 0..=70 {
            wheel.turn(start + Duration::from_secs(second), |session, now| {
                due_entries.push((session.slot, now));
                (session.slot == 1 && now < 10).then_some(now + 5)
            });
        }
        assert_eq!(due_entries, [(1, 2), (1, 7), (1, 12), (2, 63)]);
    }

    #[test]
    fn a_late_turn_skips_nothing() {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        for second in 1..60 {
            wheel.schedule(id(second), second);
        }
        let mut due_entries = Vec::new();
        wheel.turn(start + Duration::from_secs(500), |session, _| {
            due_entries.push(session.slot);
            None
        });
        assert_eq!(due_entries, (1..60).collect::<Vec<_>>());
        assert_eq!(wheel.now(), 500);
    }
}
