//! How all sessions end when the server does: so that their clients do not come back all at once.

use std::time::Duration;

use chatcamp_auth::server::Dialect;
use chatcamp_protocol::Code;

use super::Sessions;
use crate::session::Session;

/// Clients that are to come back per second, where there are many.
const PER_SECOND: u32 = 500;
/// The longest time over which they are spread.
const LONGEST: Duration = Duration::from_secs(15);
/// The shortest time that a native client is asked to wait; spread up to twice this, and over the whole time on top.
const RETRY: Duration = Duration::from_secs(1);
/// Clients told before other tasks get their turn.
const BATCH: usize = 256;
/// How often some published SDKs are closed.
const STEP: Duration = Duration::from_millis(100);

impl Sessions {
    /// Tells every client to come back later.
    ///
    /// A native one is told at once, and when to come. A published SDK cannot be told when: it comes back soon after its
    /// connection is closed, so the closes are spread.
    pub(crate) async fn drain(&self) {
        let (native, published): (Vec<_>, Vec<_>) =
            self.registry.all().into_iter().partition(|session| session.dialect == Dialect::Native);
        let many = u32::try_from(native.len() + published.len()).unwrap_or(u32::MAX);
        let over = (Duration::from_secs(1) * many / PER_SECOND).min(LONGEST);
        for batch in native.chunks(BATCH) {
            batch.iter().for_each(|session| self.send_away(session, self.spread(RETRY) + self.within(over)));
            tokio::task::yield_now().await;
        }
        let steps = usize::try_from(over.as_millis() / STEP.as_millis()).unwrap_or(0) + 1;
        for (step, batch) in published.chunks(published.len().div_ceil(steps).max(1)).enumerate() {
            if step > 0 {
                self.runtime.sleep_until(self.runtime.now() + STEP).await;
            }
            batch.iter().for_each(|session| self.send_away(session, RETRY));
        }
    }

    fn send_away(&self, session: &Session, retry_after: Duration) {
        self.end(session, Code::ShuttingDown, Some(retry_after));
    }

    /// Returns a time up to `over`.
    fn within(&self, over: Duration) -> Duration {
        self.spread(over) - over
    }
}
