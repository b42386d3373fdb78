//! One wheel of seconds for the deadlines of all sessions.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use parking_lot::Mutex;

use crate::session::{SPAN, SessionId, reachable};

/// Deadlines by the second: a session is asked when its second comes, and says when to ask again.
///
/// An entry is a session's id of eight bytes, never a reference: it may outlive its session and then names nobody.
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

    /// The second it is, since the wheel was made; advanced by [`turn`](Self::turn).
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// Asks `session` at second `at`, or earlier if that is far ahead.
    pub(crate) fn schedule(&self, session: SessionId, at: u32) {
        let mut buckets = self.buckets.lock();
        let at = reachable(at, self.now());
        buckets[(at % SPAN) as usize].push(session);
    }

    /// Turns to the second of `instant`; calls `due` for every entry on the way, which answers when to ask again.
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
    fn entries_come_due_at_their_second_and_may_come_again() {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        wheel.schedule(id(1), 2);
        wheel.schedule(id(2), 1000);
        let mut heard = Vec::new();
        for second in 0..=70 {
            wheel.turn(start + Duration::from_secs(second), |session, now| {
                heard.push((session.slot, now));
                (session.slot == 1 && now < 10).then_some(now + 5)
            });
        }
        assert_eq!(heard, [(1, 2), (1, 7), (1, 12), (2, 63)]);
    }

    #[test]
    fn a_late_turn_skips_nothing() {
        let start = Instant::now();
        let wheel = Wheel::new(start);
        for second in 1..60 {
            wheel.schedule(id(second), second);
        }
        let mut heard = Vec::new();
        wheel.turn(start + Duration::from_secs(500), |session, _| {
            heard.push(session.slot);
            None
        });
        assert_eq!(heard, (1..60).collect::<Vec<_>>());
        assert_eq!(wheel.now(), 500);
    }
}
