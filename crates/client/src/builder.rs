//! Builds a client.

use std::{sync::Arc, time::Duration};

use chatcamp_protocol::AppId;
#[cfg(any(feature = "websocket", feature = "long-poll"))]
use chatcamp_protocol::{ServerUrl, url::InvalidUrl};
use chatcamp_runtime::Runtime;
#[cfg(feature = "tls")]
use chatcamp_tls::{Tls, Trust};
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

/// Default time limit of one attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Default time limit of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Capacity of the queue of commands from the handles to the task.
const MAX_COMMANDS: usize = 64;

/// Returns the URL at which the server at `url`, such as `https://chat.example`, accepts chat connections: appends
/// `/chat/2.0` if it is missing.
///
/// Use it with a transport of your choice: `transport(websocket::Transport::new(&endpoint(url)?)?)`.
///
/// # Errors
/// [`InvalidUrl`] if `url` is not the URL of a server, for example because it has a user name, a query or a fragment.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), chatcamp_protocol::url::InvalidUrl> {
/// let url = chatcamp_client::builder::endpoint("https://chat.example")?;
/// assert_eq!(url, "https://chat.example/chat/2.0");
/// # Ok(())
/// # }
/// ```
#[cfg(any(feature = "websocket", feature = "long-poll"))]
pub fn endpoint(url: &str) -> Result<String, InvalidUrl> {
    Ok(ServerUrl::parse(url)?.chat())
}

/// Collects the options of a [`ChatCamp`]. [`build`](Self::build) reports invalid options.
#[derive(Debug)]
pub struct Builder {
    app_id: String,
    dial: Option<Dial>,
    reconnect: Reconnect,
    connect_timeout: Duration,
    request_timeout: Duration,
    expose_tokens: bool,
    trace: Trace,
    runtime: Option<Arc<dyn Runtime>>,
    #[cfg(feature = "tls")]
    trust: Trust,
}

/// How the client reaches its server.
#[derive(Debug)]
enum Dial {
    /// The address of a server, over the built-in transports.
    #[cfg(any(feature = "websocket", feature = "long-poll"))]
    Url(String),
    Transport(Arc<dyn Transport>),
}

impl ChatCamp {
    /// Starts building a client for the app with this id.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_client::{ChatCamp, transport::memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chatcamp_client::BuildError> {
    /// let (transport, _listener) = memory::network();
    /// let chat = ChatCamp::builder("demo").transport(transport).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(app_id: impl AsRef<str>) -> Builder {
        Builder::new(app_id.as_ref())
    }
}

impl Builder {
    fn new(app_id: &str) -> Self {
        Self {
            app_id: app_id.to_owned(),
            dial: None,
            reconnect: Reconnect::default(),
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            expose_tokens: false,
            trace: Trace::default(),
            runtime: None,
            #[cfg(feature = "tls")]
            trust: Trust::default(),
        }
    }

    /// Connects to the server at `url`, such as `https://chat.example` or `http://127.0.0.1:9080`; `wss:` and `ws:` mean the same.
    /// An access token is sent to another machine only over `https:`.
    ///
    /// Connects over WebSocket. If that does not open within 5 s or half the connect timeout, connects over long-poll. If
    /// long-poll worked, reconnects begin with it for 5 minutes. If only one of the two features is enabled, uses that one. A failure
    /// of TLS other than a connection that was cut is reported at once: long-poll would meet the same certificate.
    ///
    /// Appends the path `/chat/2.0` if it is missing; [`build`](Self::build) rejects a user name, a query and a fragment.
    /// Replaces an earlier transport.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example() -> Result<(), chatcamp_client::BuildError> {
    /// let chat = chatcamp_client::ChatCamp::builder("demo").url("https://chat.example").build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(any(feature = "websocket", feature = "long-poll"))]
    #[must_use]
    pub fn url(mut self, url: impl AsRef<str>) -> Self {
        self.dial = Some(Dial::Url(url.as_ref().to_owned()));
        self
    }

    /// Trusts the authorities whose certificates are in `pem`, for a URL that needs TLS, instead of those that the operating system
    /// trusts. Further calls add authorities. Replaces an earlier [`tls`](Self::tls).
    ///
    /// # Examples
    /// ```no_run
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let chat = chatcamp_client::ChatCamp::builder("demo")
    ///     .url("https://chat.example")
    ///     .root_certificate(std::fs::read("authority.pem")?)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn root_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.trust.add_root(pem);
        self
    }

    /// Uses this TLS configuration for a URL that needs TLS, for example the one of an `HttpProvider`. Replaces earlier root
    /// certificates.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_client::{ChatCamp, HttpProvider, Tls};
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = Tls::with_roots(std::fs::read("authority.pem")?)?;
    /// let provider = HttpProvider::with_tls("https://backend.example/token", &tls)?;
    /// let chat = ChatCamp::builder("demo").url("https://chat.example").tls(&tls).build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: &Tls) -> Self {
        self.trust.set(tls.clone());
        self
    }

    /// Connects over this transport. Replaces an earlier URL.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_client::{ChatCamp, transport::memory};
    ///
    /// let (transport, _listener) = memory::network();
    /// let builder = ChatCamp::builder("demo").transport(transport);
    /// ```
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.dial = Some(Dial::Transport(Arc::new(transport)));
        self
    }

    /// Sets the reconnect policy; see [`Reconnect::default`].
    ///
    /// # Examples
    /// ```
    /// use chatcamp_client::{ChatCamp, Reconnect};
    ///
    /// let builder = ChatCamp::builder("demo").reconnect(Reconnect::default().keep_trying());
    /// ```
    #[must_use]
    pub fn reconnect(mut self, policy: Reconnect) -> Self {
        self.reconnect = policy;
        self
    }

    /// Sets the time limit of one attempt, from the call of the credential provider to the server's answer; 20 s by default.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let builder = chatcamp_client::ChatCamp::builder("demo").connect_timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets the time limit of one request, from the call to the answer; 30 s by default.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let builder = chatcamp_client::ChatCamp::builder("demo").request_timeout(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// Allows access tokens over an unencrypted transport. Enable it only in networks that are trusted for another reason.
    ///
    /// # Examples
    /// ```
    /// let builder = chatcamp_client::ChatCamp::builder("demo").dangerous_send_tokens_in_plaintext(true);
    /// ```
    #[must_use]
    pub fn dangerous_send_tokens_in_plaintext(mut self, allow: bool) -> Self {
        self.expose_tokens = allow;
        self
    }

    /// Calls `hook` with every message; the values of `access_token`, `key` and `session_key` are replaced by `…`.
    ///
    /// The hook runs on the client's task and must not block.
    ///
    /// # Examples
    /// ```
    /// let builder = chatcamp_client::ChatCamp::builder("demo")
    ///     .trace(|direction, message| println!("{direction:?} {message}"));
    /// ```
    #[must_use]
    pub fn trace(mut self, hook: impl Fn(Direction, &str) + Send + Sync + 'static) -> Self {
        self.trace = Trace::new(hook);
        self
    }

    /// Runs the client on this runtime instead of the tokio runtime on which [`build`](Self::build) is called.
    ///
    /// # Examples
    /// ```
    /// let builder = chatcamp_client::ChatCamp::builder("demo").runtime(chatcamp_runtime::Tokio);
    /// ```
    #[must_use]
    pub fn runtime(mut self, runtime: impl Runtime + 'static) -> Self {
        self.runtime = Some(Arc::new(runtime));
        self
    }

    /// Builds the client and starts its task. Does not connect yet.
    ///
    /// # Errors
    /// [`BuildError`] names the invalid or missing option.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_client::{BuildError, ChatCamp};
    ///
    /// assert!(matches!(ChatCamp::builder("demo").build(), Err(BuildError::NoTransport)));
    /// ```
    pub fn build(self) -> Result<ChatCamp, BuildError> {
        let app_id = match AppId::new(&self.app_id) {
            Ok(app_id) => app_id,
            Err(why) => return Err(BuildError::AppId { given: self.app_id, why }),
        };
        let transport = self.dial.ok_or(BuildError::NoTransport)?.transport(
            self.connect_timeout,
            #[cfg(feature = "tls")]
            &self.trust,
        )?;
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
        let (commands, receiver) = mpsc::channel(MAX_COMMANDS);
        let shared = Arc::new(Shared::default());
        runtime.spawn(Box::pin(Driver::new(config, receiver, Arc::clone(&shared)).run()));
        Ok(ChatCamp::new(commands, shared, self.request_timeout, runtime))
    }
}

impl Dial {
    #[cfg_attr(
        not(any(feature = "websocket", feature = "long-poll")),
        expect(unused_variables, reason = "only URLs are dialled")
    )]
    #[cfg_attr(
        not(any(feature = "websocket", feature = "long-poll", feature = "tls")),
        expect(clippy::unnecessary_wraps, reason = "only URLs and certificates can be invalid")
    )]
    fn transport(
        self,
        connect_timeout: Duration,
        #[cfg(feature = "tls")] trust: &Trust,
    ) -> Result<Arc<dyn Transport>, BuildError> {
        match self {
            #[cfg(any(feature = "websocket", feature = "long-poll"))]
            Self::Url(url) => {
                let url = ServerUrl::parse(&url)?;
                #[cfg(feature = "tls")]
                let list = if url.is_tls() || !trust.is_platform() {
                    let tls = trust.load()?;
                    with_tls(&url.chat(), &tls)
                } else {
                    built_in(&url.chat())
                };
                #[cfg(not(feature = "tls"))]
                let list = built_in(&url.chat());
                let limit = fallback::ATTEMPT_TIMEOUT.min(connect_timeout / 2);
                Ok(Arc::new(fallback::Transport::new(list?).attempt_timeout(limit)))
            }
            #[cfg(feature = "tls")]
            Self::Transport(_) if !trust.is_platform() => Err(BuildError::UnusedTls),
            Self::Transport(transport) => Ok(transport),
        }
    }
}

/// Returns the built-in transports, the preferred one first.
#[cfg(any(feature = "websocket", feature = "long-poll"))]
fn built_in(url: &str) -> Result<Vec<Box<dyn Transport>>, transport::ConnectError> {
    Ok(Vec::from([
        #[cfg(feature = "websocket")]
        boxed(transport::websocket::Transport::new(url)?),
        #[cfg(feature = "long-poll")]
        boxed(transport::long_poll::Transport::new(url)?),
    ]))
}

/// Returns the built-in transports, which share one TLS configuration.
#[cfg(all(feature = "tls", any(feature = "websocket", feature = "long-poll")))]
fn with_tls(url: &str, tls: &Tls) -> Result<Vec<Box<dyn Transport>>, transport::ConnectError> {
    Ok(Vec::from([
        #[cfg(feature = "websocket")]
        boxed(transport::websocket::Transport::with_tls(url, tls)?),
        #[cfg(feature = "long-poll")]
        boxed(transport::long_poll::Transport::with_tls(url, tls)?),
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
    fn build_reports_invalid_options() {
        assert!(matches!(Builder::new("a b").build(), Err(BuildError::AppId { .. })));
        assert!(matches!(Builder::new("demo").build(), Err(BuildError::NoTransport)));
    }

    #[test]
    fn a_client_needs_a_runtime() {
        let (transport, _listener) = chatcamp_transport::memory::network();
        assert!(matches!(Builder::new("demo").transport(transport).build(), Err(BuildError::NoRuntime)));
    }

    #[cfg(any(feature = "websocket", feature = "long-poll"))]
    #[test]
    fn the_path_is_appended_once() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/chat/2.0", "http://h:1/chat/2.0/"] {
            assert_eq!(endpoint(url).unwrap(), "http://h:1/chat/2.0");
        }
        for url in
            ["ftp://h", "h", "http://h/?room=1", "http://h?room=1", "http://h/#top", "http://h/api/2.0"]
        {
            assert!(matches!(Builder::new("demo").url(url).build(), Err(BuildError::Url(_))), "{url}");
        }
    }
}
