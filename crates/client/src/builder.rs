//! How a client is put together.

use std::{sync::Arc, time::Duration};

use chatcamp_protocol::{AppId, id::InvalidAppId};
use chatcamp_transport::{self as transport, Transport};
use tokio::sync::mpsc;

use crate::{
    BuildError, ChatCamp, Direction, Reconnect,
    driver::{Config, Driver},
    shared::Shared,
    trace::Trace,
};

/// Time for one attempt to connect, unless told otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for one request, unless told otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Calls on their way from the handles to the task.
const COMMANDS: usize = 64;
/// Where a server takes chat connections (wire document, section 1).
#[cfg(feature = "websocket")]
const PATH: &str = "/chat/2.0";

/// Collects the options of a [`ChatCamp`]. Mistakes are reported by [`build`](Self::build).
#[derive(Debug)]
pub struct Builder {
    app_id: Result<AppId, InvalidAppId>,
    transport: Option<Result<Arc<dyn Transport>, transport::ConnectError>>,
    reconnect: Reconnect,
    connect_timeout: Duration,
    request_timeout: Duration,
    expose_tokens: bool,
    trace: Trace,
}

impl Builder {
    pub(crate) fn new(app_id: &str) -> Self {
        Self {
            app_id: AppId::new(app_id),
            transport: None,
            reconnect: Reconnect::default(),
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            expose_tokens: false,
            trace: Trace::default(),
        }
    }

    /// Connects over WebSocket to the server at `url`, such as `http://127.0.0.1:9080`; `ws:` means the same.
    ///
    /// The path `/chat/2.0` is appended where it is missing. Replaces a transport given before.
    #[cfg(feature = "websocket")]
    #[must_use]
    pub fn url(mut self, url: impl AsRef<str>) -> Self {
        let url = url.as_ref().trim_end_matches('/');
        let url = format!("{}{PATH}", url.strip_suffix(PATH).unwrap_or(url));
        let dial = |t| Arc::new(t) as Arc<dyn Transport>;
        self.transport = Some(transport::websocket::Transport::new(&url).map(dial));
        self
    }

    /// Connects over this transport. Replaces a url given before.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Ok(Arc::new(transport)));
        self
    }

    /// Sets when to try again; see [`Reconnect::default`].
    #[must_use]
    pub fn reconnect(mut self, policy: Reconnect) -> Self {
        self.reconnect = policy;
        self
    }

    /// Sets the time for one attempt, from the question to the credential provider to the server's answer; 20 s
    /// by default.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets the time for one request, from the call to the answer; 30 s by default.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// Allows access tokens over a transport on which others can read them. For networks trusted otherwise.
    #[must_use]
    pub fn dangerous_send_tokens_in_plaintext(mut self, allow: bool) -> Self {
        self.expose_tokens = allow;
        self
    }

    /// Shows every message to `hook`, the values of `access_token`, `key` and `session_key` replaced by `…`.
    ///
    /// It runs on the client's task and must not wait.
    #[must_use]
    pub fn trace(mut self, hook: impl Fn(Direction, &str) + Send + Sync + 'static) -> Self {
        self.trace = Trace::new(hook);
        self
    }

    /// Builds the client and starts its task; nothing is dialled yet.
    ///
    /// # Errors
    /// [`BuildError`] names the option that makes no sense.
    pub fn build(self) -> Result<ChatCamp, BuildError> {
        let config = Config {
            app_id: self.app_id?,
            transport: self.transport.ok_or(BuildError::NoTransport)?.map_err(BuildError::Url)?,
            reconnect: self.reconnect,
            connect_timeout: self.connect_timeout,
            expose_tokens: self.expose_tokens,
            trace: self.trace,
        };
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let shared = Arc::new(Shared::default());
        runtime.spawn(Driver::new(config, receiver, Arc::clone(&shared)).run());
        Ok(ChatCamp::new(commands, shared, self.request_timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_reported_by_build() {
        assert!(matches!(Builder::new("a b").build(), Err(BuildError::AppId(_))));
        assert!(matches!(Builder::new("demo").build(), Err(BuildError::NoTransport)));
    }

    #[test]
    fn a_client_needs_a_runtime() {
        let (transport, _listener) = transport::memory::network();
        assert!(matches!(Builder::new("demo").transport(transport).build(), Err(BuildError::NoRuntime)));
    }

    #[cfg(feature = "websocket")]
    #[test]
    fn an_address_is_completed_once() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/chat/2.0", "ws://h:1/chat/2.0/"] {
            let Some(Ok(transport)) = Builder::new("demo").url(url).transport else { panic!("{url}") };
            assert_eq!(format!("{transport:?}"), "Transport(ws://h:1/chat/2.0)", "{url}");
        }
        assert!(matches!(Builder::new("demo").url("ftp://h").build(), Err(BuildError::Url(_))));
    }
}
