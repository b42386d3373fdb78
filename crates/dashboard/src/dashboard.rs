//! The dashboard of a server, as pages that a front door mounts.

use std::{fmt, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_server::{Accounts, ClientInfo, Clock, Keyring, Pages, Server};
use chatcamp_store::Store;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    access::{Access, AdminPassword},
    host::{HostName, Hosts},
    pages,
    paths::{self, Root},
    request::Services,
    router::Router,
};

/// The dashboard of a server.
pub struct Dashboard {
    router: Router,
}

impl Dashboard {
    /// Creates the dashboard of a server, of its store and its keyring, reached at the address `listen`.
    ///
    /// It answers to loopback names, to that address and to the host of the server's public URL. [`with_hosts`](Self::with_hosts)
    /// adds other names.
    #[must_use]
    pub fn new(
        server: Server,
        store: Arc<dyn Store>,
        keyring: Keyring,
        password: AdminPassword,
        listen: SocketAddr,
    ) -> Self {
        let clock = Clock::system();
        let accounts = Accounts::new(store.clone(), keyring);
        let access = Access::new(password, listen.port(), clock.clone());
        let hosts = Hosts::new(listen, Vec::new(), server.public_url());
        let started_at = clock.now();
        let services =
            Services { server, accounts, store, clock, chat_url: None, started_at, has_try_page: false };
        Self { router: Router { services, access, hosts } }
    }

    /// Answers to these names too.
    #[must_use]
    pub fn with_hosts(mut self, names: Vec<HostName>) -> Self {
        self.router.hosts.names = names;
        self
    }

    /// Says that the front door speaks TLS: cookies are `Secure`, and code to copy contains `https` with every name.
    ///
    /// Not needed behind a trusted proxy that names the scheme of each request.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.router.hosts.is_encrypted = true;
        self
    }

    /// Sets the URL of the chat, which code to copy contains if the server has no public URL. Required if the dashboard has its own
    /// address.
    #[must_use]
    pub fn with_chat_url(mut self, url: impl Into<String>) -> Self {
        self.router.services.chat_url = Some(url.into());
        self
    }

    /// Links to the page `/try`, which must be mounted at the same address: see [`TryPage`](crate::TryPage).
    #[must_use]
    pub fn with_try_page(mut self) -> Self {
        self.router.services.has_try_page = true;
        self
    }

    /// Sets the clock, for tests of expiry.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        let Router { services, access, .. } = &mut self.router;
        services.accounts = services.accounts.clone().with_clock(clock.clone());
        services.started_at = clock.now();
        services.clock = clock.clone();
        access.clock = clock;
        self
    }

    /// Issues a link that signs in once, within an hour, and returns its path. At most 8 links are valid at a time.
    ///
    /// The link opens a page with a button, and only the button uses the link: programs that preview links do not.
    #[must_use]
    pub fn one_time_path(&self) -> String {
        let access = &self.router.access;
        format!("{}{}", paths::LINK_PREFIX, *access.links.issue(access.clock.now()))
    }
}

#[async_trait]
impl Pages for Dashboard {
    fn claims(&self, path: &str) -> bool {
        path == "/" || path.starts_with(paths::HOME) || Some(path) == paths::HOME.strip_suffix('/')
    }

    async fn serve(&self, request: Request<Incoming>, client: ClientInfo) -> Response<Full<Bytes>> {
        let root = Root::from(request.uri().path());
        let reply = self.router.answer(request, root, client).await;
        reply.unwrap_or_else(|error| pages::error(root, &error)).into_response()
    }
}

/// Contains no secrets and no data of apps or users.
impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").field("hosts", &self.router.hosts).finish_non_exhaustive()
    }
}
