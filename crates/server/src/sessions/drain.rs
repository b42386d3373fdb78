//! Ends all sessions at a shutdown, spread over time, so that their clients do not all reconnect at once.

use std::time::Duration;

use chatcamp_auth::server::Dialect;
use chatcamp_protocol::Code;

use super::Sessions;
use crate::session::Session;

/// Clients that should reconnect per second, at most.
const PER_SECOND: u32 = 500;
/// The longest time over which reconnects are spread.
const LONGEST: Duration = Duration::from_secs(15);
/// The shortest wait of a native client before it reconnects. Spread up to twice this, plus a part of the whole time.
const RETRY: Duration = Duration::from_secs(1);
/// Sessions ended before other tasks run.
const BATCH: usize = 256;
/// The interval between two batches of closed connections of published SDKs.
const STEP: Duration = Duration::from_millis(100);

impl Sessions {
    /// Ends every session and tells its client to reconnect later.
    ///
    /// Native clients are told at once, with the time to wait. A published SDK cannot be told a time: it reconnects soon after its
    /// connection closes, so those closes are spread.
    pub(crate) async fn drain(&self) {
        let (native, published): (Vec<_>, Vec<_>) =
            self.registry.all().into_iter().partition(|session| session.dialect == Dialect::Native);
        let count = u32::try_from(native.len() + published.len()).unwrap_or(u32::MAX);
        let over = (Duration::from_secs(1) * count / PER_SECOND).min(LONGEST);
        for batch in native.chunks(BATCH) {
            for session in batch {
                self.end_for_shutdown(session, self.spread(RETRY) + self.within(over));
            }
            tokio::task::yield_now().await;
        }
        let steps = usize::try_from(over.as_millis() / STEP.as_millis()).unwrap_or(0) + 1;
        for (step, batch) in published.chunks(published.len().div_ceil(steps).max(1)).enumerate() {
            if step > 0 {
                self.runtime.sleep_until(self.runtime.now() + STEP).await;
            }
            for session in batch {
                self.end_for_shutdown(session, RETRY);
            }
        }
    }

    fn end_for_shutdown(&self, session: &Session, retry_after: Duration) {
        self.end(session, Code::ShuttingDown, Some(retry_after));
    }

    /// Returns a random time up to `over`.
    fn within(&self, over: Duration) -> Duration {
        self.spread(over) - over
    }
}
