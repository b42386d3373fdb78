//! The dashboard: apps, users and live sessions in a browser, rendered by the server.
//!
//! [`Dashboard`] is [`Pages`] below `/dashboard`, and at `/`, which leads there, for a [`FrontDoor`](chatcamp_server::FrontDoor) to mount; who may in is
//! up to an [`AdminPassword`]. Everything it needs is in the binary: pages are templates checked and escaped at compile
//! time, with one style sheet and one script of our own. Its forms work without the script.
//!
//! It refuses to decide anything: what an app or a user is, and what a change ends, is up to
//! [`Accounts`] and [`Server`].
//!
//! ```text
//!  request -> host: is that name ours?       -> else 421
//!          -> `/`                            -> to `/dashboard/`
//!          -> a file of the pages            -> the file
//!          -> POST: its Origin is ours?      -> else 403
//!          -> sign-in, one-time link         -> a small form; sign_in, links
//!          -> visit of the cookie            -> else to the sign-in page
//!          -> POST: the visit's form token?  -> a large form is read only now; else 403
//!          -> pages (GET) or actions (POST, which then lead to a page)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `gate` | the way of a request up to here, and the ways in and out |
//! | `host`, `visits`, `links`, `sign_in`, `password` | who may in, each with its bounds |
//! | `pages`, `actions` | what is shown, and what is done |
//! | `body`, `fields`, `note`, `shown`, `reply`, `fault` | what is read, and what is answered |
//! | `try_page` | [`TryPage`], the page at `/try`, which needs none of the above but `host` and `body` |

mod actions;
mod assets;
mod body;
mod fault;
mod fields;
mod gate;
mod host;
mod links;
mod moment;
mod note;
mod pages;
mod password;
mod reply;
mod secret;
mod shown;
mod sign_in;
mod try_page;
mod visits;

use std::{fmt, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_server::{Accounts, Clock, Keyring, Pages, Server};
use chatcamp_store::Store;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use self::{host::Hosts, links::Links, sign_in::SignIn, visits::Visits};
pub use self::{
    host::{HostName, InvalidHostName},
    password::{AdminPassword, PasswordError},
    try_page::TryPage,
};

/// Where the dashboard is.
const PATH: &str = "/dashboard/";

/// The dashboard of a server.
pub struct Dashboard {
    server: Server,
    accounts: Accounts,
    store: Arc<dyn Store>,
    password: Arc<AdminPassword>,
    clock: Clock,
    listen: SocketAddr,
    hosts: Hosts,
    /// Where apps reach the chat, if not where the dashboard is.
    chat_url: Option<String>,
    visits: Visits,
    links: Links,
    sign_in: Arc<SignIn>,
}

impl Dashboard {
    /// The dashboard of a server and of the store and keyring it serves, reached at the address `listen`.
    ///
    /// It answers to loopback names and to that address; to others only [`with_hosts`](Self::with_hosts).
    #[must_use]
    pub fn new(
        server: Server,
        store: Arc<dyn Store>,
        keyring: Keyring,
        password: AdminPassword,
        listen: SocketAddr,
    ) -> Self {
        Self {
            server,
            accounts: Accounts::new(store.clone(), keyring),
            store,
            password: Arc::new(password),
            clock: Clock::system(),
            listen,
            hosts: Hosts::new(listen, Vec::new()),
            chat_url: None,
            visits: Visits::new(),
            links: Links::new(),
            sign_in: Arc::new(SignIn::new()),
        }
    }

    /// The same, answering to these names too.
    #[must_use]
    pub fn with_hosts(self, names: Vec<HostName>) -> Self {
        Self { hosts: Hosts::new(self.listen, names), ..self }
    }

    /// The same for a dashboard on an address of its own: what it shows for pasting names this URL of the chat.
    #[must_use]
    pub fn with_chat_url(self, url: impl Into<String>) -> Self {
        Self { chat_url: Some(url.into()), ..self }
    }

    /// The same with a clock of one's own, for tests of what expires.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { accounts: self.accounts.with_clock(clock.clone()), clock, ..self }
    }

    /// The path of a link that signs in whoever has it, once and within an hour; at most 8 are good at one moment.
    ///
    /// To open it shows a button, and only that uses it up: what merely looks at links does not.
    #[must_use]
    pub fn one_time_path(&self) -> String {
        format!("{PATH}enter/{}", *self.links.issue(&self.clock))
    }
}

#[async_trait]
impl Pages for Dashboard {
    fn claims(&self, path: &str) -> bool {
        path == "/" || path.starts_with(PATH) || Some(path) == PATH.strip_suffix('/')
    }

    async fn serve(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let reply = self.answer(request, peer.ip()).await;
        reply.unwrap_or_else(fault::Fault::reply).into_response()
    }
}

/// Shows no secret, and nobody's name.
impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard")
            .field("listen", &self.listen)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}
