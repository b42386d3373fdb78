//! `/healthz`: whether users can connect. Asks the store at most once a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chatcamp_protocol::Code;
use chatcamp_runtime::Runtime;
#[cfg(feature = "data-dir")]
use chatcamp_store::sqlite::FileFault;
use chatcamp_store::{Store, StoreError};
use tokio::sync::Mutex;

use super::endpoint::Answer;
use crate::shutdown::Shutdown;

/// How long a result of the store stays valid.
const FRESH: Duration = Duration::from_secs(1);

/// Answers `/healthz`.
#[derive(Debug)]
pub(crate) struct Health {
    store: Arc<dyn Store>,
    shutdown: Arc<Shutdown>,
    runtime: Arc<dyn Runtime>,
    /// When the store was last asked, and the fault it reported, if any.
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl Health {
    pub(crate) fn new(store: Arc<dyn Store>, shutdown: Arc<Shutdown>, runtime: Arc<dyn Runtime>) -> Self {
        Self { store, shutdown, runtime, last: Mutex::default() }
    }

    /// Answers 200, or 503 with the reason.
    pub(super) async fn answer(&self) -> Answer {
        if self.shutdown.has_begun() {
            return Answer::failure(503, Code::ShuttingDown.as_str(), "the server is shutting down");
        }
        let now = self.runtime.now();
        // Requests that arrive while the store is asked wait for the same result.
        let mut last = self.last.lock().await;
        let wrong = match &*last {
            Some((at, wrong)) if now.saturating_duration_since(*at) < FRESH => wrong.clone(),
            _ => {
                let wrong = self.store.probe().await.err().map(|error| reason(&error));
                if let Some(wrong) = &wrong
                    && last.as_ref().is_none_or(|(_, before)| before.as_ref() != Some(wrong))
                {
                    tracing::error!("users cannot be created or changed: {wrong}");
                }
                *last = Some((now, wrong.clone()));
                wrong
            }
        };
        match wrong {
            None => Answer::json(200, &serde_json::json!({ "ok": true })),
            Some(why) => Answer::failure(503, Code::StoreUnavailable.as_str(), &why),
        }
    }
}

/// Describes the fault without file paths, because anybody may ask.
fn reason(error: &StoreError) -> String {
    #[cfg(feature = "data-dir")]
    if let Some(fault) = FileFault::of(error) {
        return format!("{error}: {fault}");
    }
    error.to_string()
}
