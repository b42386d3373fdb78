//! The server: what all its connections share, and how it begins and ends.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chatcamp_auth::{Directory, Keyring};
use chatcamp_protocol::{AccessToken, User};
use chatcamp_runtime::{Runtime, Tokio, timeout};
use chatcamp_store::Store;
use chatcamp_transport::{
    Connection, Listener,
    long_poll::{self, Hub},
};
use tokio::sync::Notify;

use crate::{
    Accounts, Clock, Limits, api,
    directory::StoreDirectory,
    drain, handshake,
    health::Health,
    limits,
    lobby::{Guest, Lobby, Stay},
    presence::{self, Presence},
    random,
    review::{self, Reviews},
    session::{Budget, Detached, Driver, Registry, Session},
    tasks::{Task, Tasks},
    turns::Turns,
    wheel::Wheel,
};

/// How long a poll without news is held. A browser asks for one URL once at a time, so the second page of a published
/// user, or its next connect, may wait for the first page's poll (docs/decisions, page 4).
const POLL_HOLD: Duration = Duration::from_secs(10);
/// How often silence, expiry and whatever else has a deadline is looked at.
const TICK: Duration = Duration::from_secs(1);

/// A running server; clones are the same server.
///
/// It accepts from any [`Listener`] ([`listen`](Self::listen)), any single [`Connection`] ([`serve`](Self::serve)), a TCP
/// port ([`FrontDoor`](crate::FrontDoor)) or another HTTP server ([`ChatService`](crate::ChatService)), all at once.
#[derive(Clone)]
pub struct Server {
    pub(crate) shared: Arc<Shared>,
}

/// What a server holds at this moment; all zero when it is at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Tasks of connections.
    pub connections: usize,
    /// Connections without a verdict.
    pub unverified: usize,
    /// Sessions with a connection.
    pub sessions: usize,
    /// Sessions that wait for their clients to come back.
    pub detached: usize,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) accounts: Accounts,
    pub(crate) directory: Box<dyn Directory>,
    pub(crate) registry: Registry,
    pub(crate) detached: Detached,
    pub(crate) wheel: Wheel,
    pub(crate) lobby: Arc<Lobby>,
    /// The connections over long-poll.
    pub(crate) hub: Hub,
    pub(crate) limits: Limits,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Clock,
    /// Tells this process from those before it, in session keys.
    pub(crate) incarnation: u64,
    tasks: Arc<Tasks>,
    pub(crate) presence: Presence,
    pub(crate) health: Health,
    /// Bytes that wait for all the clients that do not read.
    pub(crate) waiting: Budget,
    /// Bytes of polls' bodies that are being read.
    pub(crate) bodies: Arc<Budget>,
    /// Whose turn it is to change a user: what is told of changes is told in their order.
    pub(crate) turns: Turns,
    pub(crate) reviews: Reviews,
    /// Answers to wrong API keys, while they are held back.
    pub(crate) slowed: api::Slowed,
    draining: AtomicBool,
    drain: Notify,
}

impl Server {
    /// Starts a server over a store; its deadlines are kept by tasks on the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, keyring: Keyring, limits: Limits) -> Self {
        Self::start_on(Arc::new(Tokio), Clock::system(), store, keyring, limits)
    }

    /// The same with a clock of one's own, for tests of what expires.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start_at(clock: Clock, store: Arc<dyn Store>, keyring: Keyring, limits: Limits) -> Self {
        Self::start_on(Arc::new(Tokio), clock, store, keyring, limits)
    }

    /// The same on a runtime of one's own.
    #[must_use]
    pub fn start_on(
        runtime: Arc<dyn Runtime>,
        clock: Clock,
        store: Arc<dyn Store>,
        keyring: Keyring,
        limits: Limits,
    ) -> Self {
        let accounts = Accounts::new(store.clone(), keyring.clone()).with_clock(clock.clone());
        let (keyring, random) = (Arc::new(keyring), runtime.random());
        let shared = Arc::new(Shared {
            directory: Box::new(StoreDirectory::new(store.clone(), keyring.clone(), runtime.clone())),
            store,
            keyring,
            accounts,
            registry: Registry::new(),
            detached: Detached::default(),
            wheel: Wheel::new(runtime.now()),
            lobby: Lobby::new(limits.clone(), runtime.clone()),
            hub: Hub::new(long_poll::Limits { hold: POLL_HOLD, ..long_poll::Limits::default() }),
            limits,
            runtime,
            clock,
            incarnation: u64::from_le_bytes(random::bytes()),
            tasks: Arc::default(),
            presence: Presence::default(),
            health: Health::default(),
            waiting: Budget::new(limits::WAITING),
            bodies: Arc::new(Budget::new(limits::BODIES)),
            turns: Turns::new(random),
            reviews: Reviews::default(),
            slowed: api::Slowed::default(),
            draining: AtomicBool::new(false),
            drain: Notify::new(),
        });
        let heard = Arc::downgrade(&shared);
        shared.store.on_change(Box::new(move |change| {
            if let Some(shared) = heard.upgrade() {
                shared.reviews.request(change.clone());
            }
        }));
        let runtime = &shared.runtime;
        runtime.spawn(Box::pin(keep_time(runtime.clone(), Arc::downgrade(&shared))));
        runtime.spawn(Box::pin(presence::run(runtime.clone(), Arc::downgrade(&shared))));
        runtime.spawn(Box::pin(review::run(runtime.clone(), Arc::downgrade(&shared))));
        Self { shared }
    }

    /// Serves every connection of a listener, until it ends or the server shuts down.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting; connections already accepted are served on.
    pub async fn listen(&self, mut listener: impl Listener) {
        while let Some(connection) = self.shared.unless_draining(listener.accept()).await.flatten() {
            self.shared.runtime.spawn(Box::pin(self.serve(connection)));
        }
    }

    /// Serves one connection; the future ends with it.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub fn serve(&self, connection: Connection) -> impl Future<Output = ()> + Send + use<> {
        let guest = self.shared.lobby.enter(connection.facts().peer.map(|p| p.ip()), Stay::Handshake);
        let (shared, task) = (self.shared.clone(), self.shared.enter());
        async move {
            let driver = Box::pin(shared.greet(task, connection, guest)).await;
            if let Some(driver) = driver {
                driver.await;
            }
        }
    }

    /// What the server holds at this moment.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            connections: self.shared.tasks.running(),
            unverified: self.shared.lobby.len(),
            sessions: self.shared.registry.len().saturating_sub(self.shared.detached.len()),
            detached: self.shared.detached.len(),
        }
    }

    /// Stops accepting, tells every client to come back later, and waits until the last connection is gone.
    ///
    /// Where there are many they are told one after another, so that they do not come back all at once. Those that have not
    /// taken their leave within [`Limits::drain`] are cut off. When it returns no connection and no session is left; the
    /// server's clock goes on until its last handle is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a server that accepts nothing; call it again to wait.
    pub async fn shutdown(&self) {
        let shared = &self.shared;
        shared.draining.store(true, Ordering::Release);
        shared.drain.notify_waiters();
        let emptied = async {
            drain::run(shared).await;
            shared.tasks.finished().await;
        };
        if timeout(&*shared.runtime, shared.limits.drain, emptied).await.is_none() {
            shared.lobby.clear();
            for session in shared.registry.all() {
                if !shared.give_up(&session) {
                    session.abandon(&shared.waiting);
                }
            }
            shared.tasks.finished().await;
        }
        // Who was away, or lost its connection meanwhile, comes back to another server.
        for session in shared.registry.all() {
            shared.give_up(&session);
        }
        if let Err(error) = shared.presence.write(&*shared.store).await {
            tracing::warn!(%error, "the last-seen times of the last seconds are lost");
        }
    }
}

impl Shared {
    /// A time between `base` and twice that, for those who are to come back.
    pub(crate) fn spread(&self, base: Duration) -> Duration {
        chatcamp_runtime::spread(&*self.runtime, base)
    }

    /// Counts one more connection.
    pub(crate) fn enter(&self) -> Task {
        self.tasks.enter()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The output of `future`, or nothing when the server shuts down first.
    pub(crate) async fn unless_draining<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let drained = self.drain.notified();
        if self.is_draining() {
            return None;
        }
        tokio::select! {
            biased;
            // First, since what is ready at once need not wait for the other.
            output = future => Some(output),
            () = drained => None,
        }
    }

    /// From an open connection to its session's driver; nothing when it did not come to that.
    pub(crate) async fn greet(
        self: Arc<Self>,
        task: Task,
        connection: Connection,
        guest: Guest,
    ) -> Option<Driver> {
        handshake::run(task, self, connection, guest).await
    }

    /// A session's own user object.
    pub(crate) fn own_user(&self, session: &Session, user: &chatcamp_store::User) -> User {
        own_user(user, session.vouched().token.as_ref(), true)
    }
}

/// The user as its owner sees it, with exactly the token its session presented.
pub(crate) fn own_user(user: &chatcamp_store::User, token: Option<&AccessToken>, is_online: bool) -> User {
    User {
        id: user.id.clone(),
        profile: user.profile.clone(),
        last_seen: user.last_seen,
        is_online,
        is_suspended: user.is_suspended,
        check_access_token: user.check_access_token,
        access_token: token.cloned(),
    }
}

/// Turns the wheel and empties the lobby, once a second, for as long as there is a server.
async fn keep_time(runtime: Arc<dyn Runtime>, server: Weak<Shared>) {
    let mut instant = runtime.now();
    loop {
        let Some(shared) = server.upgrade() else { return };
        shared.lobby.expire(instant);
        shared.hub.expire(instant);
        let unix_now = shared.clock.now();
        shared.wheel.turn(instant, |id, now| shared.look(id, now, unix_now));
        drop(shared);
        instant = runtime.now().max(instant + TICK);
        runtime.sleep_until(instant).await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.load()).finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
