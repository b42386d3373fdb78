//! A running server: accepts connections, says what it holds, shuts down.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use chatcamp_protocol::{AppId, UserId};
use chatcamp_runtime::{Runtime, after, timeout};
use chatcamp_store::Store;
use chatcamp_transport::{Connection, Listener};
use serde_json::Value;
use tokio::runtime::Handle;

#[cfg(feature = "api")]
use crate::ApiService;
use crate::{
    BusError, ChatService, FrontDoor, PublishError, Recipients, SessionInfo, SessionList,
    admission::Revalidation,
    bus::EndMode,
    http::Http,
    operations::{Operations, write_last_seen},
    sessions::Sessions,
};

/// How often silence, expiry and other deadlines are looked at.
const TICK: Duration = Duration::from_secs(1);
/// A tick this late shows that the process did not run.
const STOPPED: Duration = Duration::from_secs(5);
/// How often last-seen times are written.
const LAST_SEEN: Duration = Duration::from_secs(10);

/// A running server; clones are the same server.
///
/// It accepts from any [`Listener`] ([`listen`](Self::listen)), any single [`Connection`] ([`serve`](Self::serve)), a TCP
/// port ([`FrontDoor`]) or another HTTP server ([`ChatService`]), all at once.
#[derive(Clone)]
pub struct Server {
    http: Arc<Http>,
}

/// What a server holds at this moment; all zero when it is at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Tasks of connections.
    pub connections: usize,
    /// Pending connections: see [`Limits::unverified`](crate::Limits::unverified).
    pub unverified: usize,
    /// Sessions with a connection.
    pub sessions: usize,
    /// Sessions that wait for their clients to come back.
    pub detached: usize,
}

impl Server {
    /// Serves every connection of a listener, until it ends or the server shuts down.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting; connections already accepted are served on.
    pub async fn listen(&self, mut listener: impl Listener) {
        while let Some(connection) = self.http.shutdown.unless_begun(listener.accept()).await.flatten() {
            self.http.runtime.spawn(Box::pin(self.serve(connection)));
        }
    }

    /// Serves one connection; the future ends with it.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub fn serve(&self, connection: Connection) -> impl Future<Output = ()> + Send + use<> {
        self.http.admission.serve(connection)
    }

    /// Returns what the server holds at this moment.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            connections: self.http.shutdown.tasks(),
            unverified: self.http.admission.pending.len(),
            sessions: self.sessions_here().connected(),
            detached: self.sessions_here().detached.len(),
        }
    }

    /// Lists the live sessions of an app, or of one of its users, newest first.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Changes nothing.
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
    pub async fn newest_sessions(
        &self,
        app: &AppId,
        user: Option<&UserId>,
        most: usize,
    ) -> Result<SessionList, BusError> {
        self.operations().sessions(app, user, most).await
    }

    /// Ends one session, or only its connection if its client is to come back; returns `false` if the app has no such
    /// session.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Once polled, the session ends all the same.
    pub async fn end_session(&self, app: &AppId, id: &str, come_back: bool) -> Result<bool, BusError> {
        self.operations().end_session(app, id, EndMode::new(come_back)).await
    }

    /// Ends all sessions of a user, or only their connections if they are to come back; returns how many there were.
    ///
    /// # Errors
    /// [`BusError`]; never on a server of one node.
    ///
    /// # Cancel safety
    /// Once polled, the sessions end all the same.
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
    pub async fn are_online(&self, app: &AppId, users: &[&UserId]) -> Result<Vec<bool>, BusError> {
        self.operations().are_online(app, users).await
    }

    /// Publishes an event to every session of the recipients; returns how many have it, or have it queued.
    ///
    /// # Errors
    /// [`PublishError`]; no session has the event.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the event with some sessions and not with others.
    pub async fn publish(
        &self,
        app: &AppId,
        to: &Recipients,
        kind: &str,
        data: &Value,
    ) -> Result<usize, PublishError> {
        self.operations().publish(app, to, kind, data).await
    }

    /// Stops accepting, tells every client to come back later, and waits until the last connection is gone.
    ///
    /// Where there are many they are told one after another, so that they do not come back all at once. Connections that are
    /// still open after [`Limits::drain`](crate::Limits::drain) are cut off. When it returns, no connection and no session is
    /// left; the server's deadlines are kept until its last handle is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a server that accepts nothing; call it again to wait.
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
            sessions.abandon_all();
            shutdown.idle().await;
        }
        // Clients of detached sessions come back to another server.
        sessions.give_up_all();
        if let Err(error) = write_last_seen(sessions, &*self.operations().store).await {
            tracing::warn!(%error, "the last-seen times of the last seconds are lost");
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
    /// Listens on `address`; port 0 picks a free one, see [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    /// The operating system's, such as an address in use; [`io::ErrorKind::Other`] outside a tokio runtime.
    pub fn bind(server: Server, address: SocketAddr) -> io::Result<Self> {
        if Handle::try_current().is_err() {
            return Err(io::Error::other("no tokio runtime: bind within one, its I/O and timer enabled"));
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

/// Ends what is past its deadline, once a second, while the server exists.
///
/// Time during which the process did not run, stopped by a signal or with its machine, is not counted: no client could be heard
/// then. The wheel and the hub stand still for it, and pending connections get their time once more.
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
            tracing::warn!(seconds, "the process did not run for a while; clients get that time once more");
            stopped += late;
            pending_from = after(now, http.limits.handshake);
        }
        if now >= pending_from {
            http.admission.pending.expire(now);
        }
        let running = now - stopped;
        http.hub.expire(running);
        let unix_now = sessions.clock.now();
        sessions.wheel.turn(running, |id, now| sessions.look(id, now, unix_now));
        drop(http);
        due = now + TICK;
        runtime.sleep_until(due).await;
    }
}

/// Writes last-seen times, again and again, while the server exists.
async fn keep_last_seen(runtime: Arc<dyn Runtime>, sessions: Weak<Sessions>, store: Weak<dyn Store>) {
    loop {
        runtime.sleep_until(runtime.now() + LAST_SEEN).await;
        let (Some(sessions), Some(store)) = (sessions.upgrade(), store.upgrade()) else { return };
        if let Err(error) = write_last_seen(&sessions, &*store).await {
            tracing::warn!(%error, "cannot write last-seen times; they are kept for the next try");
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.load()).finish()
    }
}
