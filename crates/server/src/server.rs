//! A running server: accepts connections, lists and ends sessions, shuts down.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use chatcamp_protocol::{AppId, UserId, event::AppEvent};
use chatcamp_runtime::{Runtime, after, timeout};
use chatcamp_store::Store;
use chatcamp_transport::{Connection, Listener};
use serde_json::Value;
use tokio::runtime::Handle;

#[cfg(feature = "api")]
use crate::ApiService;
use crate::{
    AccountError, BusError, ChatService, FrontDoor, Limits, PublicUrl, PublishError, PublishOutcome,
    Recipients, RefusedOrigin, SessionInfo, SessionList, UserFields, Written, WrittenUser,
    admission::{Revalidation, stays},
    bus::EndMode,
    http::Http,
    operations::{Operations, write_last_seen},
    sessions::Sessions,
};

/// The interval at which silence, expiry and other deadlines are checked.
const TICK: Duration = Duration::from_secs(1);
/// A tick that is late by this much shows that the process was suspended.
const STOPPED: Duration = Duration::from_secs(5);
/// The interval at which last-seen times are written.
const LAST_SEEN: Duration = Duration::from_secs(10);

/// A running server. Clones share the same server.
///
/// It accepts connections from any [`Listener`] ([`listen`](Self::listen)), single connections ([`serve`](Self::serve)), a TCP port
/// ([`FrontDoor`]) and another HTTP server ([`ChatService`]), all at the same time.
#[derive(Clone)]
pub struct Server {
    http: Arc<Http>,
}

/// The number of connections and sessions of a server. All are zero when the server is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Tasks of connections.
    pub connections: usize,
    /// Pending connections: see [`Limits::unverified`](crate::Limits::unverified).
    pub unverified: usize,
    /// Sessions with a connection.
    pub sessions: usize,
    /// Sessions without a connection, which wait for their clients to resume them.
    pub detached: usize,
}

impl Server {
    /// Serves each connection of a listener, until the listener ends or the server shuts down.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting. Accepted connections continue.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Keyring, Server};
    /// use chatcamp_transport::memory;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// let (transport, listener) = memory::network();
    /// let accepting = tokio::spawn({ let server = server.clone(); async move { server.listen(listener).await } });
    /// // … connect clients to `transport` …
    /// server.shutdown().await;
    /// accepting.await?;
    /// # drop(transport);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn listen(&self, mut listener: impl Listener) {
        while let Some(connection) = self.http.shutdown.unless_begun(listener.accept()).await.flatten() {
            self.http.runtime.spawn(Box::pin(self.serve(connection)));
        }
    }

    /// Serves one connection. The future completes when the connection has ended.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Keyring, Server};
    /// use chatcamp_transport::{Listener as _, Transport as _, memory};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// let (transport, mut listener) = memory::network();
    /// let client = transport.connect().await?;
    /// let connection = listener.accept().await.expect("a client has connected");
    /// let serving = tokio::spawn(server.serve(connection));
    /// drop(client);
    /// serving.await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serve(&self, connection: Connection) -> impl Future<Output = ()> + Send + use<> {
        self.http.admission.serve(connection)
    }

    /// Returns the current number of connections and sessions.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// assert_eq!(server.load().sessions, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            connections: self.http.shutdown.tasks(),
            unverified: self.http.admission.pending.len(),
            sessions: self.sessions_here().connected(),
            detached: self.sessions_here().detached.len(),
        }
    }

    /// Returns the limits of the server.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// assert_eq!(server.limits().sessions_per_user, 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.http.limits
    }

    /// Returns the address at which browsers and clients reach the server, or `None` if it was not set.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// let builder = Server::builder(store, Keyring::new(vec![[7; 32]])?);
    /// let server = builder.public_url("https://example.com/talk".parse()?).start();
    /// assert_eq!(server.public_url().map(|url| url.path()), Some("/talk"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn public_url(&self) -> Option<&PublicUrl> {
        self.http.public_url.as_ref()
    }

    /// Lists the live sessions of an app, or of one of its users, newest first.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::{AppId, UserId};
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// # let app = AppId::new("shop")?;
    /// # let alice = UserId::new("alice")?;
    /// for session in server.sessions(&app, Some(&alice)).await? {
    ///     println!("{}", session.id);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn sessions(&self, app: &AppId, user: Option<&UserId>) -> Result<Vec<SessionInfo>, BusError> {
        Ok(self.newest_sessions(app, user, usize::MAX).await?.newest)
    }

    /// Counts the live sessions of an app, or of one of its users, and lists the newest of them, at most `most`.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::AppId;
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// # let app = AppId::new("shop")?;
    /// let list = server.newest_sessions(&app, None, 20).await?;
    /// println!("{} sessions; the newest {} are:", list.total, list.newest.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn newest_sessions(
        &self,
        app: &AppId,
        user: Option<&UserId>,
        most: usize,
    ) -> Result<SessionList, BusError> {
        self.operations().sessions(app, user, most).await
    }

    /// Ends one session, or with `come_back` only its connection, so that its client resumes the session. Returns `false` if the app
    /// has no such session.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Once the future was polled, the session ends even if the future is dropped.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::AppId;
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// # let app = AppId::new("shop")?;
    /// for session in server.sessions(&app, None).await? {
    ///     // Returns `false` if the session has ended in the meantime.
    ///     server.end_session(&app, &session.id, false).await?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn end_session(&self, app: &AppId, id: &str, come_back: bool) -> Result<bool, BusError> {
        self.operations().end_session(app, id, EndMode::new(come_back)).await
    }

    /// Ends all sessions of a user, or with `come_back` only their connections, so that its clients resume the sessions. Returns their
    /// number.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Once the future was polled, the sessions end even if the future is dropped.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::{AppId, UserId};
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// # let app = AppId::new("shop")?;
    /// # let alice = UserId::new("alice")?;
    /// let ended = server.end_sessions(&app, &alice, false).await?;
    /// assert_eq!(ended, 0, "alice is not connected");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn end_sessions(&self, app: &AppId, user: &UserId, come_back: bool) -> Result<usize, BusError> {
        self.operations().end_sessions(app, user, EndMode::new(come_back)).await
    }

    /// Returns for each of an app's users, in order, whether it has a live session.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::{AppId, UserId};
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// # let app = AppId::new("shop")?;
    /// # let alice = UserId::new("alice")?;
    /// assert_eq!(server.are_online(&app, &[&alice]).await?, [false]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn are_online(&self, app: &AppId, users: &[&UserId]) -> Result<Vec<bool>, BusError> {
        self.operations().are_online(app, users).await
    }

    /// Changes the given fields of a user, as [`Accounts::update_user`](crate::Accounts::update_user) does, and sends the changed user to
    /// its sessions.
    ///
    /// # Errors
    /// Those of [`Accounts::update_user`](crate::Accounts::update_user).
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been changed or not, and its sessions may not have been told.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser, Server};
    /// use chatcamp_server::UserFields;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let keyring = Keyring::new(vec![[7; 32]])?;
    /// # let accounts = Accounts::new(store.clone(), keyring.clone());
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// # let server = Server::builder(store, keyring).start();
    /// let fields = UserFields { email: Some("alice@shop.example".into()), ..UserFields::default() };
    /// let written = server.update_user(&app, &alice, fields).await?;
    /// assert_eq!(written.user.profile.email, "alice@shop.example");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn update_user(
        &self,
        app: &AppId,
        id: &UserId,
        fields: UserFields,
    ) -> Result<WrittenUser, AccountError> {
        let operations = self.operations();
        let app = operations.accounts.app(app).await?;
        let _lock = operations.lock_user(&app.id, id).await;
        let written = operations.accounts.update_user(&app.id, id, fields).await?;
        if written.written == Written::Changed {
            let now = self.sessions_here().clock.now();
            operations.send_user_change(&written.user, stays(&app, &written.user, now));
        }
        Ok(written)
    }

    /// Returns the app's users that have a live session, in the byte order of their ids.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Changes nothing.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::AppId;
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// # let app = AppId::new("shop")?;
    /// assert_eq!(server.online_users(&app).await?, [], "nobody is connected");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn online_users(&self, app: &AppId) -> Result<Vec<UserId>, BusError> {
        self.operations().online_users(app, None).await
    }

    /// Lists the origins that an app has refused in the last hour, the latest refusal first: at most 32, and only those of this
    /// process. See [`AppFields::origins`](crate::AppFields::origins).
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::AppId;
    /// # use chatcamp_server::{Keyring, Server};
    /// use chatcamp_server::ClientOrigin;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// # let app = AppId::new("shop")?;
    /// for refused in server.refused_origins(&app) {
    ///     if let ClientOrigin::Page(origin) = refused.origin {
    ///         println!("{origin}: {} times", refused.count);
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn refused_origins(&self, app: &AppId) -> Vec<RefusedOrigin> {
        self.http.admission.refused_origins.of_app(app, self.sessions_here().clock.now())
    }

    /// Publishes an event to each session of the recipients. Returns the numbers of sessions that it was delivered to and queued for.
    ///
    /// # Errors
    /// [`PublishError`]; the event was sent to no session.
    ///
    /// # Cancel safety
    /// If the future is dropped, the event may have been sent to some sessions and not to others.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// use chatcamp_protocol::{AppId, UserId};
    /// use chatcamp_server::Recipients;
    /// # use chatcamp_server::{Keyring, Server};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// # let app = AppId::new("shop")?;
    /// let alice = Recipients::Users(vec![UserId::new("alice")?]);
    /// let order = serde_json::json!({"number": 17});
    /// let published = server.publish(&app, &alice, "order.shipped", &order).await?;
    /// assert_eq!((published.delivered, published.queued), (0, 0), "alice has no session");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn publish(
        &self,
        app: &AppId,
        to: &Recipients,
        kind: &str,
        data: &Value,
    ) -> Result<PublishOutcome, PublishError> {
        self.publish_all(app, to, &[AppEvent { kind: kind.into(), data }]).await
    }

    /// Publishes events to each session of the recipients, in this order. Costs less than as many calls of [`publish`](Self::publish):
    /// a session gets them in one write.
    ///
    /// A session counts in the outcome if it took all of them.
    ///
    /// # Errors
    /// [`PublishError`], for the first event that has one; no event was sent to any session.
    ///
    /// # Cancel safety
    /// If the future is dropped, the events may have been sent to some sessions and not to others.
    ///
    /// # Examples
    /// ```
    /// # use chatcamp_server::testing::TestServer;
    /// use chatcamp_protocol::{AppId, event::AppEvent};
    /// use chatcamp_server::Recipients;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let test = TestServer::start().await;
    /// let prices = [serde_json::json!({"gold": 2400}), serde_json::json!({"gold": 2401})];
    /// let events = prices.each_ref().map(|price| AppEvent { kind: "price".into(), data: price });
    /// let published = test.server().publish_all(&AppId::new(test.app_id())?, &Recipients::All, &events).await?;
    /// assert_eq!(published.delivered, 0, "nobody is connected");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn publish_all(
        &self,
        app: &AppId,
        to: &Recipients,
        events: &[AppEvent<'_, &Value>],
    ) -> Result<PublishOutcome, PublishError> {
        self.operations().publish(app, to, events).await
    }

    /// Stops accepting, tells each client to reconnect later, and waits until the last connection is closed.
    ///
    /// Clients are told over a period of time, so that they do not all reconnect at once. Connections that are still open after
    /// [`Limits::drain`](crate::Limits::drain) are dropped. When the call returns, no connection and no session is left. The server's
    /// periodic tasks run until its last clone is dropped.
    ///
    /// # Cancel safety
    /// If the future is dropped, the server no longer accepts connections. Call it again to wait.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Keyring, Server};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// server.shutdown().await;
    /// assert_eq!(server.load().connections, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn shutdown(&self) {
        let Http { admission, shutdown, limits, runtime, .. } = &*self.http;
        let sessions = self.sessions_here();
        shutdown.begin();
        let drained = async {
            sessions.drain().await;
            shutdown.idle().await;
        };
        if timeout(&**runtime, limits.drain, drained).await.is_none() {
            admission.pending.clear();
            sessions.abort_all();
            shutdown.idle().await;
        }
        // Clients of detached sessions reconnect to another server.
        sessions.end_all_detached();
        if let Err(error) = write_last_seen(sessions, &*self.operations().store).await {
            tracing::warn!(%error, "cannot write the last-seen times of the last seconds; they are lost");
        }
    }

    fn sessions_here(&self) -> &Arc<Sessions> {
        &self.http.admission.sessions
    }

    fn operations(&self) -> &Operations {
        &self.http.operations
    }
}

impl FrontDoor {
    /// Listens on `address`. With port 0 the system chooses a free port; [`local_addr`](Self::local_addr) returns it.
    ///
    /// # Errors
    /// Those of the operating system, such as an address in use. [`io::ErrorKind::Other`] outside a tokio runtime.
    pub fn bind(server: Server, address: SocketAddr) -> io::Result<Self> {
        if Handle::try_current().is_err() {
            return Err(io::Error::other(
                "the tokio runtime is missing: call bind within a tokio runtime whose I/O and timer are enabled",
            ));
        }
        Self::listen(server.http, address)
    }
}

impl ChatService {
    /// Returns the chat endpoint of a server.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self::of(server.http)
    }
}

#[cfg(feature = "api")]
impl ApiService {
    /// Returns the Platform API of a server.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self::of(server.http.api.clone())
    }
}

/// Starts the tasks of a server.
pub(crate) fn start(http: Http) -> Server {
    let http = Arc::new(http);
    let (runtime, sessions) = (http.runtime.clone(), &http.admission.sessions);
    let store = http.operations.store.clone();
    runtime.spawn(Box::pin(keep_deadlines(runtime.clone(), Arc::downgrade(&http))));
    runtime.spawn(Box::pin(keep_last_seen(
        runtime.clone(),
        Arc::downgrade(sessions),
        Arc::downgrade(&store),
    )));
    runtime.spawn(Box::pin(Revalidation::run(runtime.clone(), Arc::downgrade(&http.admission.revalidation))));
    Server { http }
}

/// Checks all deadlines once a second, while the server exists.
///
/// Time during which the process was suspended, by a signal or with its machine, does not count, because the server could not read
/// then. The deadlines of the wheel and the hub move by that time, and pending connections get their whole time again.
async fn keep_deadlines(runtime: Arc<dyn Runtime>, http: Weak<Http>) {
    let mut due = runtime.now();
    let mut stopped = Duration::ZERO;
    let mut pending_from = due;
    loop {
        let Some(http) = http.upgrade() else { return };
        let sessions = &http.admission.sessions;
        let now = runtime.now().max(due);
        let late = now - due;
        if late >= STOPPED {
            let seconds = late.as_secs();
            tracing::warn!(seconds, "the process was suspended; all deadlines are moved by this time");
            stopped += late;
            pending_from = after(now, http.limits.handshake);
        }
        if now >= pending_from {
            http.admission.pending.expire(now);
        }
        let running = now - stopped;
        http.admission.rates.tick(now);
        http.hub.expire(running);
        let unix_now = sessions.clock.now();
        sessions.wheel.turn(running, |id, now| sessions.check_deadlines(id, now, unix_now));
        drop(http);
        due = now + TICK;
        runtime.sleep_until(due).await;
    }
}

/// Writes last-seen times periodically, while the server exists.
async fn keep_last_seen(runtime: Arc<dyn Runtime>, sessions: Weak<Sessions>, store: Weak<dyn Store>) {
    loop {
        runtime.sleep_until(runtime.now() + LAST_SEEN).await;
        let (Some(sessions), Some(store)) = (sessions.upgrade(), store.upgrade()) else { return };
        if let Err(error) = write_last_seen(&sessions, &*store).await {
            tracing::warn!(%error, "cannot write last-seen times; trying again later");
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.load()).finish()
    }
}
