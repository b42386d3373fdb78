//! Whether the server can let users in, asked of the store no more than once a second.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::{endpoint::Answer, server::Shared};

/// How long an answer of the store counts.
const FRESH: Duration = Duration::from_secs(1);

/// The store's last answer: what was wrong, if anything was.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Option<(Instant, Option<String>)>>);

impl Shared {
    /// Answers `/healthz`: 200, or 503 with the reason.
    pub(crate) async fn health(&self) -> Answer {
        if self.is_draining() {
            return Answer::failure(503, "SHUTTING_DOWN", "the server is shutting down");
        }
        let now = self.runtime.now();
        // Whoever asks meanwhile waits for the same answer.
        let mut last = self.health.0.lock().await;
        let wrong = match &*last {
            Some((at, wrong)) if now.saturating_duration_since(*at) < FRESH => wrong.clone(),
            _ => {
                let wrong = self.store.probe().await.err().map(|error| error.to_string());
                *last = Some((now, wrong.clone()));
                wrong
            }
        };
        match wrong {
            None => Answer::json(200, &serde_json::json!({ "ok": true })),
            Some(why) => Answer::failure(503, "STORE_UNAVAILABLE", &why),
        }
    }
}
