//! Sessions without a connection. Their number is bounded; those detached longest are evicted first.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use super::SessionId;

/// The number of evictions that are remembered, so that an evicted session's client learns the reason when it resumes.
const REMEMBERED: usize = 1024;

/// The sessions that wait for their clients to resume them, in the order in which they were detached.
#[derive(Debug, Default)]
pub(crate) struct Detached(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    tickets: u64,
    sessions: BTreeMap<u64, SessionId>,
    evicted: VecDeque<SessionId>,
}

impl Detached {
    /// Adds a session. Returns the ticket for [`remove`](Self::remove).
    pub(super) fn add(&self, session: SessionId) -> u64 {
        let mut waiting = self.0.lock();
        waiting.tickets += 1;
        let ticket = waiting.tickets;
        waiting.sessions.insert(ticket, session);
        ticket
    }

    /// Removes the session with this ticket, if it is still there.
    pub(super) fn remove(&self, ticket: u64) {
        self.0.lock().sessions.remove(&ticket);
    }

    /// Returns the session that has been detached longest.
    pub(crate) fn oldest(&self) -> Option<SessionId> {
        self.0.lock().sessions.first_key_value().map(|(_, &session)| session)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().sessions.len()
    }

    /// Remembers that a session was evicted, until more than [`REMEMBERED`] others were.
    pub(crate) fn note_evicted(&self, session: SessionId) {
        let mut waiting = self.0.lock();
        if waiting.evicted.len() >= REMEMBERED {
            waiting.evicted.pop_front();
        }
        waiting.evicted.push_back(session);
    }

    /// Returns whether a session is remembered as evicted.
    pub(crate) fn was_evicted(&self, session: SessionId) -> bool {
        self.0.lock().evicted.contains(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> SessionId {
        SessionId { slot, generation: 0 }
    }

    #[test]
    fn the_oldest_is_the_session_detached_longest() {
        let detached = Detached::default();
        let tickets: Vec<_> = (1..=3).map(|slot| detached.add(id(slot))).collect();
        assert_eq!(detached.oldest(), Some(id(1)));
        detached.remove(tickets[0]);
        detached.remove(tickets[0]);
        assert_eq!((detached.oldest(), detached.len()), (Some(id(2)), 2));
    }

    #[test]
    fn a_bounded_number_of_evictions_is_remembered() {
        let detached = Detached::default();
        let most = u32::try_from(REMEMBERED).unwrap();
        (0..=most).for_each(|slot| detached.note_evicted(id(slot)));
        assert!(
            !detached.was_evicted(id(0)) && detached.was_evicted(id(1)) && detached.was_evicted(id(most))
        );
    }
}
