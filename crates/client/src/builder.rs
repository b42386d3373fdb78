//! How a client is put together.

use std::{sync::Arc, time::Duration};

use chatcamp_protocol::{AppId, id::InvalidAppId};
#[cfg(any(feature = "websocket", feature = "long-poll"))]
use chatcamp_protocol::{ServerUrl, url::InvalidUrl};
use chatcamp_runtime::Runtime;
use chatcamp_transport::Transport;
#[cfg(any(feature = "websocket", feature = "long-poll"))]
use chatcamp_transport::{self as transport, fallback};
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

/// Returns where the server at `url`, such as `http://127.0.0.1:9080`, takes chat connections: `/chat/2.0` is appended where
/// it is missing.
///
/// For a transport of your choice: `transport(websocket::Transport::new(&endpoint(url)?)?)`.
///
/// # Errors
/// [`ConnectError::Invalid`](transport::ConnectError::Invalid) if `url` is not the address of a server: with a user name, a
/// query or a fragment, say.
#[cfg(any(feature = "websocket", feature = "long-poll"))]
pub fn endpoint(url: &str) -> Result<String, transport::ConnectError> {
    let invalid = |why: InvalidUrl| transport::ConnectError::Invalid(format!("invalid URL: {why}"));
    Ok(ServerUrl::parse(url).map_err(invalid)?.chat())
}

/// Collects the options of a [`ChatCamp`]. Mistakes are reported by [`build`](Self::build).
#[derive(Debug)]
pub struct Builder {
    app_id: Result<AppId, InvalidAppId>,
    dial: Option<Dial>,
    reconnect: Reconnect,
    connect_timeout: Duration,
    request_timeout: Duration,
    expose_tokens: bool,
    trace: Trace,
    runtime: Option<Arc<dyn Runtime>>,
}

/// Where to.
#[derive(Debug)]
enum Dial {
    /// The address of a server, over what is built in.
    #[cfg(any(feature = "websocket", feature = "long-poll"))]
    Url(String),
    Transport(Arc<dyn Transport>),
}

impl Builder {
    pub(crate) fn new(app_id: &str) -> Self {
        Self {
            app_id: AppId::new(app_id),
            dial: None,
            reconnect: Reconnect::default(),
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            expose_tokens: false,
            trace: Trace::default(),
            runtime: None,
        }
    }

    /// Connects to the server at `url`, such as `http://127.0.0.1:9080`; `ws:` means the same.
    ///
    /// Over WebSocket; if that does not open, within 5 s or half the time for one attempt, over long-poll, with which
    /// reconnects begin too for 5 minutes, where it worked. Where only one of the two features is on, over that one.
    ///
    /// The path `/chat/2.0` is appended where it is missing; [`build`](Self::build) refuses a user name, a query and a
    /// fragment. Replaces a transport given before.
    #[cfg(any(feature = "websocket", feature = "long-poll"))]
    #[must_use]
    pub fn url(mut self, url: impl AsRef<str>) -> Self {
        self.dial = Some(Dial::Url(url.as_ref().to_owned()));
        self
    }

    /// Connects over this transport. Replaces a url given before.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.dial = Some(Dial::Transport(Arc::new(transport)));
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

    /// Runs the client on this instead of the tokio runtime that [`build`](Self::build) is called on.
    #[must_use]
    pub fn runtime(mut self, runtime: impl Runtime + 'static) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    /// Builds the client and starts its task; nothing is dialled yet.
    ///
    /// # Errors
    /// [`BuildError`] names the option that makes no sense.
    pub fn build(self) -> Result<ChatCamp, BuildError> {
        let app_id = self.app_id?;
        let transport = self.dial.ok_or(BuildError::NoTransport)?.transport(self.connect_timeout)?;
        let runtime = match self.runtime {
            Some(runtime) => runtime,
            None if tokio::runtime::Handle::try_current().is_ok() => Arc::new(chatcamp_runtime::Tokio),
            None => return Err(BuildError::NoRuntime),
        };
        let config = Config {
            app_id,
            transport,
            reconnect: self.reconnect,
            connect_timeout: self.connect_timeout,
            expose_tokens: self.expose_tokens,
            trace: self.trace,
            runtime: Arc::clone(&runtime),
        };
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let shared = Arc::new(Shared::default());
        runtime.spawn(Box::pin(Driver::new(config, receiver, Arc::clone(&shared)).run()));
        Ok(ChatCamp::new(commands, shared, self.request_timeout, runtime))
    }
}

impl Dial {
    #[cfg_attr(
        not(any(feature = "websocket", feature = "long-poll")),
        expect(unused_variables, clippy::unnecessary_wraps, reason = "only addresses can be wrong")
    )]
    fn transport(self, connect_timeout: Duration) -> Result<Arc<dyn Transport>, BuildError> {
        match self {
            #[cfg(any(feature = "websocket", feature = "long-poll"))]
            Self::Url(url) => {
                let list = endpoint(&url).and_then(|url| built_in(&url)).map_err(BuildError::Url)?;
                let limit = fallback::ATTEMPT_TIMEOUT.min(connect_timeout / 2);
                Ok(Arc::new(fallback::Transport::new(list).attempt_timeout(limit)))
            }
            Self::Transport(transport) => Ok(transport),
        }
    }
}

/// The preferred one first.
#[cfg(any(feature = "websocket", feature = "long-poll"))]
fn built_in(url: &str) -> Result<Vec<Box<dyn Transport>>, transport::ConnectError> {
    Ok(Vec::from([
        #[cfg(feature = "websocket")]
        boxed(transport::websocket::Transport::new(url)?),
        #[cfg(feature = "long-poll")]
        boxed(transport::long_poll::Transport::new(url)?),
    ]))
}

#[cfg(any(feature = "websocket", feature = "long-poll"))]
fn boxed(transport: impl Transport + 'static) -> Box<dyn Transport> {
    Box::new(transport)
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
        let (transport, _listener) = chatcamp_transport::memory::network();
        assert!(matches!(Builder::new("demo").transport(transport).build(), Err(BuildError::NoRuntime)));
    }

    #[cfg(any(feature = "websocket", feature = "long-poll"))]
    #[test]
    fn an_address_is_completed_once() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/chat/2.0", "http://h:1/chat/2.0/"] {
            assert_eq!(endpoint(url).unwrap(), "http://h:1/chat/2.0");
        }
        for url in [
            "ftp://h",
            "https://h",
            "h",
            "http://h/?room=1",
            "http://h?room=1",
            "http://h/#top",
            "http://h/api/2.0",
        ] {
            assert!(matches!(Builder::new("demo").url(url).build(), Err(BuildError::Url(_))), "{url}");
        }
    }
}
