//! The pause after the server has refused a call for its rate.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

/// The shortest pause. A server that names no time is not asked more often.
const SHORTEST: Duration = Duration::from_secs(1);

/// A pause of all calls of one backend. They count against the same rate, so a call during the pause would be refused, or would take the
/// place of one that waits.
#[derive(Debug, Default)]
pub(crate) struct Pause(Mutex<Option<Instant>>);

impl Pause {
    /// Begins a pause of this length, unless one is running.
    pub(crate) fn begin(&self, length: Duration) {
        let now = Instant::now();
        let mut end = self.0.lock().expect("no code panics while it holds this lock");
        if end.is_none_or(|end| end <= now) {
            *end = now.checked_add(length.max(SHORTEST));
        }
    }

    /// Returns the rest of the pause; zero if none is running.
    pub(crate) fn left(&self) -> Duration {
        let end = *self.0.lock().expect("no code panics while it holds this lock");
        end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()))
    }
}
