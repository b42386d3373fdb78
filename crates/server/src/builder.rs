//! Builds a server: creates the parts and passes each part what it needs.

use std::sync::Arc;

use chatcamp_auth::Keyring;
use chatcamp_protocol::limits::HANDSHAKE_MESSAGE;
use chatcamp_runtime::{Runtime, Tokio};
use chatcamp_store::Store;
use chatcamp_transport::long_poll::{self, Hub};

#[cfg(feature = "api")]
use crate::api::Api;
use crate::{
    Accounts, Clock, Limits, Proxies, PublicUrl, Server,
    admission::{Admitter, PendingConnections, Rates, RefusedOrigins, Revalidation, StoreAuthenticator},
    bodies::Bodies,
    bus::{Bus, Local},
    http::{Health, Http},
    limits,
    operations::Operations,
    requests::Requests,
    server,
    sessions::Sessions,
    shutdown::Shutdown,
};

/// The settings of a server to start; see [`Server::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct Builder {
    store: Arc<dyn Store>,
    keyring: Keyring,
    limits: Limits,
    public_url: Option<PublicUrl>,
    proxies: Proxies,
    clock: Clock,
    runtime: Arc<dyn Runtime>,
}

impl Server {
    /// Returns a builder of a server over a store, with the keyring that belongs to it.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use chatcamp_server::{Keyring, Limits, Server};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let store = Arc::new(chatcamp_store::memory::Store::new());
    /// let mut limits = Limits::default();
    /// limits.sessions_per_user = 10;
    /// let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).limits(limits).start();
    /// server.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder(store: Arc<dyn Store>, keyring: Keyring) -> Builder {
        Builder {
            store,
            keyring,
            limits: Limits::default(),
            public_url: None,
            proxies: Proxies::default(),
            clock: Clock::system(),
            runtime: Arc::new(Tokio),
        }
    }
}

impl Builder {
    /// Sets the server's limits. Default: [`Limits::default`].
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// use chatcamp_server::{Keyring, Limits, Server};
    ///
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let keyring = Keyring::new(vec![[7; 32]])?;
    /// let mut limits = Limits::default();
    /// limits.sessions_per_user = 10;
    /// let builder = Server::builder(store, keyring).limits(limits);
    /// # drop(builder);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the address at which browsers and clients reach the server. Default: unknown.
    ///
    /// If it has a path, each front door accepts requests with and without this path. Code to copy, the API's OpenAPI document
    /// and other addresses that the server shows begin with it; links and redirects are relative with and without it.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// use chatcamp_server::{Keyring, Server};
    ///
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let keyring = Keyring::new(vec![[7; 32]])?;
    /// let builder = Server::builder(store, keyring).public_url("https://example.com/talk".parse()?);
    /// # drop(builder);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn public_url(mut self, url: PublicUrl) -> Self {
        self.public_url = Some(url);
        self
    }

    /// Sets the reverse proxies whose word about a client's address counts. Default: none.
    ///
    /// Applies to each front door, and to each [`ChatService`](crate::ChatService) that knows its peer.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// use chatcamp_server::{Keyring, Proxies, Server};
    ///
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let keyring = Keyring::new(vec![[7; 32]])?;
    /// let proxies = Proxies::trusting(["10.0.0.0/8".parse()?]);
    /// let builder = Server::builder(store, keyring).behind(proxies);
    /// # drop(builder);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn behind(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Sets the clock that expiry times are compared with. Default: the machine's.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// use chatcamp_server::{Clock, Keyring, Server};
    ///
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let keyring = Keyring::new(vec![[7; 32]])?;
    /// let builder = Server::builder(store, keyring).clock(Clock::new(|| 1_800_000_000));
    /// # drop(builder);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the runtime, which provides time, randomness and tasks. Default: the current tokio runtime.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Keyring, Server};
    /// use chatcamp_runtime::Tokio;
    ///
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let keyring = Keyring::new(vec![[7; 32]])?;
    /// let builder = Server::builder(store, keyring).runtime(Arc::new(Tokio));
    /// # drop(builder);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = runtime;
        self
    }

    /// Starts the server, with the tasks that check its deadlines.
    ///
    /// # Panics
    /// Panics outside a tokio runtime, unless [`runtime`](Self::runtime) has set another one.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use chatcamp_server::{Keyring, Server};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let store = Arc::new(chatcamp_store::memory::Store::new());
    /// let server = Server::builder(store, Keyring::new(vec![[7; 32]])?).start();
    /// server.shutdown().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn start(self) -> Server {
        let Self { store, keyring, limits, public_url, proxies, clock, runtime } = self;
        let accounts = Accounts::new(store.clone(), keyring.clone()).with_clock(clock.clone());
        let keyring = Arc::new(keyring);
        let shutdown = Arc::new(Shutdown::default());
        let sessions =
            Arc::new(Sessions::new(runtime.clone(), clock, &limits, proxies.clone(), shutdown.clone()));

        let refused_origins = Arc::new(RefusedOrigins::default());
        let authenticator = Arc::new(StoreAuthenticator::new(
            store.clone(),
            keyring.clone(),
            runtime.clone(),
            refused_origins.clone(),
        ));
        let rates = Arc::new(Rates::new(&limits, proxies.clone(), runtime.clone(), shutdown.clone()));
        let revalidation = Arc::new(Revalidation::new(sessions.clone(), store.clone()));
        let bus = local_bus(&sessions, &revalidation, &*store);
        let operations = Arc::new(Operations::new(accounts, store.clone(), sessions.clone(), bus));
        let requests = Requests {
            operations: operations.clone(),
            sessions: sessions.clone(),
            authenticator: authenticator.clone(),
            revalidation: revalidation.clone(),
            rates: rates.clone(),
        };
        #[cfg(feature = "api")]
        let api = Api::new(
            operations.clone(),
            &sessions,
            &limits,
            rates.clone(),
            public_url.as_ref().map(PublicUrl::to_string),
        );
        let admission = Admitter {
            sessions,
            pending: PendingConnections::new(limits.clone(), proxies.clone(), runtime.clone()),
            rates,
            keyring,
            authenticator,
            refused_origins,
            revalidation,
            handler: Arc::new(requests),
            max_sessions_per_user: limits.sessions_per_user,
        };
        let http = Http {
            admission: Arc::new(admission),
            #[cfg(feature = "api")]
            api: Arc::new(api),
            operations,
            admitted_polls: Arc::default(),
            hub: Hub::new(long_poll::Limits {
                hold: limits::POLL_HOLD,
                message: HANDSHAKE_MESSAGE,
                ..long_poll::Limits::default()
            }),
            health: Health::new(store, shutdown.clone(), runtime.clone()),
            bodies: Bodies::new(limits::BODIES, limits::BODIES / 8),
            limits,
            public_url,
            proxies,
            runtime,
            shutdown,
        };
        server::start(http)
    }
}

/// Returns the bus of a single node. It announces changes of the store to the sessions that they concern.
fn local_bus(sessions: &Arc<Sessions>, revalidation: &Arc<Revalidation>, store: &dyn Store) -> Arc<dyn Bus> {
    let revalidation = revalidation.clone();
    let bus: Arc<dyn Bus> =
        Arc::new(Local::new(sessions.clone(), move |change| revalidation.request(change)));
    let announcer = Arc::downgrade(&bus);
    store.on_change(Box::new(move |change| {
        if let Some(bus) = announcer.upgrade() {
            bus.announce(change.clone());
        }
    }));
    bus
}
