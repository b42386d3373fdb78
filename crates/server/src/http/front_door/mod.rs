//! The front door: a TCP port that reads request heads itself.
//!
//! An unambiguous request for `/chat/2.0` goes straight to the chat endpoint, and a WebSocket's 101 leaves in one write with the
//! first message. Hyper gets every other request, with all bytes read so far, and keeps the connection to its end.

mod answer;
mod connection;
mod head;
mod http1;
mod linger;
mod pages;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

use std::{future::poll_fn, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use chatcamp_transport::{
    Connection, ConnectionInfo,
    long_poll::{self, Held},
    websocket::{self, Upgrade},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::Instant,
};

pub(super) use self::connection::HttpConnection;
pub use self::pages::Pages;
pub(super) use self::socket::Socket;
#[cfg(test)]
pub(super) use self::tests::memory;

use self::{
    head::{Head, Parsed},
    linger::linger,
};
#[cfg(feature = "tls")]
use super::tls::{self, Tls};
use super::{
    Http,
    endpoint::{self, Answer, PollId, PollOutcome},
    proxies::{Peer, read_preface},
    web::File,
};
use crate::{
    admission::{PendingGuard, PendingKind},
    session::Driver,
    shutdown::Task,
};

/// The path of the health check.
const HEALTH: &str = "/healthz";
/// How many connections the kernel queues until they are accepted.
const BACKLOG: u32 = 4096;
/// The kernel's send buffer, in bytes; Linux doubles it for its own use. Without a limit it grows to megabytes for each client
/// that does not read.
const SEND_BUFFER: u32 = 64 * 1024;
/// How long to wait when the process has no file descriptor for one more connection and no connection to evict.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
/// How long to wait for an evicted connection to free its file descriptor.
const EVICTING: Duration = Duration::from_millis(5);
/// The shortest time between two warnings that connections cannot be accepted.
const WARNINGS: Duration = Duration::from_secs(60);

/// How long a balancer may take to send the preface of the PROXY protocol.
const PREFACE: Duration = Duration::from_secs(1);

/// How long a polling client has at a shutdown to fetch its final messages; it polls again after 100 ms
/// (`docs/PROTOCOL.md`, "Transports").
const FINAL_POLL: Duration = Duration::from_secs(1);

/// A listening TCP port of a server.
#[derive(Debug)]
pub struct FrontDoor {
    listener: TcpListener,
    http: Arc<Http>,
    served: Served,
    /// Whether each connection begins with a preface of the PROXY protocol.
    has_preface: bool,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

/// What a front door serves.
#[derive(Debug, Clone)]
struct Served {
    pages: Arc<[Arc<dyn Pages>]>,
    /// Whether it serves the chat, its files and the Platform API.
    chat: bool,
}

impl Served {
    /// Returns whether a path is one that this front door answers.
    fn has(&self, path: &str) -> bool {
        #[cfg(feature = "api")]
        let is_of_api = crate::api::is_at(path);
        #[cfg(not(feature = "api"))]
        let is_of_api = false;
        let is_of_chat = is_of_api || path == endpoint::PATH || File::at(path).is_some();
        self.pages_at(path).is_some() || path == HEALTH || (self.chat && is_of_chat)
    }

    fn pages_at(&self, path: &str) -> Option<&Arc<dyn Pages>> {
        self.pages.iter().find(|pages| pages.claims(path))
    }
}

impl FrontDoor {
    pub(crate) fn listen(http: Arc<Http>, address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit both, which saves system calls.
        socket.set_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        let served = Served { pages: Arc::default(), chat: true };
        Ok(Self {
            listener: socket.listen(BACKLOG)?,
            http,
            served,
            has_preface: false,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Serves these pages too. The first mounted pages that claim a path answer it.
    #[must_use]
    pub fn mount(mut self, pages: Arc<dyn Pages>) -> Self {
        self.served.pages = self.served.pages.iter().cloned().chain([pages]).collect();
        self
    }

    /// Serves the mounted pages and `/healthz` only: neither the chat and its files nor the Platform API.
    #[must_use]
    pub fn pages_only(mut self) -> Self {
        self.served.chat = false;
        self
    }

    /// Accepts TLS connections only, with these certificates.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Expects a preface of the PROXY protocol, version 2, at the beginning of each connection, before TLS. It names the address of the
    /// client.
    ///
    /// For balancers that pass connections on without reading them. Only trusted proxies ([`Builder::behind`](crate::Builder::behind))
    /// may connect: other connections are closed at once, and so are those whose preface is missing, invalid or of version 1, or
    /// does not arrive within a second. The headers of such a connection count only if the preface names a trusted proxy. A preface
    /// without an address (`LOCAL`) is for the balancer itself, such as a health check. Additional fields of the preface are ignored.
    #[must_use]
    pub fn proxy_protocol(mut self) -> Self {
        self.has_preface = true;
        self
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    /// The operating system cannot tell the address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts connections until the server shuts down.
    ///
    /// # Panics
    /// If it is polled outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener; accepted connections are still served.
    pub async fn run(self) {
        let mut warned: Option<Instant> = None;
        while let Some(accepted) = self.http.shutdown.unless_begun(self.listener.accept()).await {
            match accepted {
                Ok((tcp, peer)) => self.receive(tcp, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if warned.is_none_or(|at| at.elapsed() >= WARNINGS) {
                        warned = Some(Instant::now());
                        tracing::warn!(%error, "cannot accept connections; raise the limit of open files (ulimit -n)");
                    }
                    let pause =
                        if self.http.admission.pending.evict_oldest() { EVICTING } else { OUT_OF_FILES };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn receive(&self, socket: impl Socket, address: SocketAddr) {
        let peer = Peer::new(address, &self.http.proxies);
        if self.has_preface && !peer.is_proxy() {
            tracing::debug!(%address, "closed a connection that does not come from a trusted proxy");
            return;
        }
        #[cfg(feature = "tls")]
        if self.tls.is_some() && !self.http.admission.rates.allows_handshake(peer.counts_for()) {
            return;
        }
        let accepted = self.enter(peer);
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return spawn(Box::pin(open_encrypted(accepted, socket, tls.config())));
        }
        spawn(Box::pin(open(accepted, socket)));
    }

    fn enter(&self, peer: Peer) -> Accepted {
        let http = self.http.clone();
        let task = http.shutdown.enter();
        let guard = http.admission.pending.enter(peer.counts_for(), PendingKind::Handshake);
        Accepted { task, http, served: self.served.clone(), has_preface: self.has_preface, peer, guard }
    }
}

/// A connection that is pending, and what it needs.
struct Accepted {
    task: Task,
    http: Arc<Http>,
    served: Served,
    /// Whether the preface is still to be read.
    has_preface: bool,
    peer: Peer,
    guard: PendingGuard,
}

impl Accepted {
    /// Reads the preface; from then on the connection is one of the client that it names. Returns `None` if there is no valid preface in
    /// time.
    async fn read_preface(&mut self, socket: &impl Socket) -> Option<()> {
        let reading = tokio::time::timeout(PREFACE, read_preface(socket));
        let read = tokio::select! {
            biased;
            read = self.http.shutdown.unless_begun(reading) => read?,
            () = self.guard.evicted() => return None,
        };
        let balancer = self.peer.address();
        let client = match read {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                tracing::debug!(%balancer, %error, "closed a connection without a valid preface");
                return None;
            }
            Err(_) => {
                tracing::debug!(%balancer, "closed a connection whose preface did not arrive within a second");
                return None;
            }
        };
        self.has_preface = false;
        self.peer = self.peer.announced(client, &self.http.proxies);
        self.guard.count_for(self.peer.counts_for());
        Some(())
    }
}

/// Runs a connection in its own task.
///
/// `opening` is boxed and dropped before the driver runs, so that an idle connection does not keep the handshake's memory.
fn spawn(opening: Pin<Box<impl Future<Output = Option<Driver>> + Send + 'static>>) {
    tokio::spawn(async move {
        if let Some(driver) = opening.await {
            driver.await;
        }
    });
}

/// Performs the TLS handshake, then opens the connection.
#[cfg(feature = "tls")]
async fn open_encrypted(
    mut accepted: Accepted,
    socket: impl Socket,
    config: Arc<rustls::ServerConfig>,
) -> Option<Driver> {
    if accepted.has_preface {
        Box::pin(accepted.read_preface(&socket)).await?;
        if !accepted.http.admission.rates.allows_handshake(accepted.peer.counts_for()) {
            return None;
        }
    }
    let handshake = Box::pin(accepted.http.shutdown.unless_begun(tls::Stream::accept(socket, config)));
    let stream = tokio::select! {
        biased;
        handshake = handshake => handshake?,
        () = accepted.guard.evicted() => return None,
    };
    match stream {
        Ok(stream) => Box::pin(open(accepted, stream)).await,
        Err(error) => {
            tracing::debug!(peer = %accepted.peer.address(), %error, "a TLS handshake failed");
            None
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves an accepted connection until it becomes a WebSocket with a session, and returns that session's driver. Returns `None`
/// once the connection has ended without one.
///
/// While it waits for a request, or the rest of one, the connection is pending, unless a poll over it had a session. Futures
/// that need much memory are boxed, so that a held poll does not keep their memory.
async fn open(mut accepted: Accepted, socket: impl Socket) -> Option<Driver> {
    if accepted.has_preface {
        Box::pin(accepted.read_preface(&socket)).await?;
    }
    let Accepted { task, http, served, has_preface: _, mut peer, mut guard } = accepted;
    let mut read = Vec::new();
    let mut is_first = true;
    let mut is_authenticated = false;
    loop {
        let asked = if served.chat {
            Box::pin(request(&http, &socket, &mut peer, &guard, &mut read, is_first)).await?
        } else {
            Asked::Other
        };
        let (outcome, poll, keep_alive) = match asked {
            Asked::Upgrade(upgrade) => {
                let Upgraded { upgrade, info, length } = *upgrade;
                let carrier = websocket::Carrier::server(socket, &read[length..], upgrade.response());
                drop(read);
                let connection = Connection::new(carrier, info);
                return Box::pin(http.admission.clone().admit(task, connection, guard)).await;
            }
            Asked::Refused(answer) => {
                Box::pin(answer::write(&http, &socket, peer.client(), None, &answer, false)).await.ok()?;
                Box::pin(linger(&http, &socket, &guard)).await;
                return None;
            }
            Asked::Other => {
                Box::pin(http1::serve(&http, served, read, socket, peer, guard)).await;
                return None;
            }
            Asked::Chat(outcome, poll, keep_alive) => (outcome, poll, keep_alive),
        };
        drop(guard);
        let answer = match outcome {
            PollOutcome::Answer(answer) => answer,
            PollOutcome::Held { held, cors, waits_for_messages } => {
                cors.answer(held_answer(held, waits_for_messages, &socket, &mut read).await?)
            }
        };
        let keep_alive = keep_alive && !(http.shutdown.has_begun() && answer.status != 200);
        Box::pin(answer::write(&http, &socket, peer.client(), poll, &answer, keep_alive)).await.ok()?;
        if !keep_alive {
            return None;
        }
        is_first = false;
        is_authenticated &= !peer.is_proxy();
        is_authenticated |= poll.is_some_and(|poll| http.admitted_polls.contains(poll));
        guard = if is_authenticated {
            http.admission.pending.enter_authenticated(peer.counts_for())
        } else {
            http.admission.pending.enter(peer.counts_for(), PendingKind::Idle)
        };
    }
}

/// A request that was read.
enum Asked {
    /// An upgrade to a WebSocket.
    Upgrade(Box<Upgraded>),
    /// A request that the chat endpoint answers. Has the long-poll connection that it names, and whether another request may
    /// follow.
    Chat(PollOutcome, Option<PollId>, bool),
    /// A request for the chat endpoint that is refused before its body is read.
    Refused(Answer),
    /// Anything else. Hyper reads it, beginning with the bytes read so far.
    Other,
}

/// An accepted upgrade. WebSocket frames begin after the first `length` bytes that were read.
struct Upgraded {
    upgrade: Upgrade,
    info: ConnectionInfo,
    length: usize,
}

/// Reads one request and removes it from `read`. Returns `None` if the connection ends or is evicted first.
async fn request(
    http: &Arc<Http>,
    socket: &impl Socket,
    peer: &mut Peer,
    guard: &PendingGuard,
    read: &mut Vec<u8>,
    is_first: bool,
) -> Option<Asked> {
    let mut room = None;
    // The deadline between two requests differs from the deadline within one.
    let mut is_begun = is_first;
    loop {
        let parsed =
            head::parse(read, peer.hop(&http.proxies, socket.is_encrypted()), http.public_url.as_ref());
        if let Parsed::Chat(head) = &parsed
            && let Some(client) = head.chat.peer
        {
            peer.begin_request(client, guard);
        }
        let head = match parsed {
            Parsed::Other => return Some(Asked::Other),
            // The length of a body that is not checked yet may be any number.
            Parsed::Chat(head)
                if head.upgrade.is_some() || read.len() >= head.length.saturating_add(head.body) =>
            {
                head
            }
            unfinished @ (Parsed::Chat(_) | Parsed::Partial) => {
                // Read the body only if the head is acceptable and the body fits into the memory for bodies.
                if let Parsed::Chat(head) = unfinished
                    && room.is_none()
                {
                    let refused = match http.answer_head(&head.chat, head.body) {
                        Some(answer) => Err(answer),
                        None => http.make_room(&head.chat, head.body),
                    };
                    match refused {
                        Ok(reserved) => room = Some(reserved),
                        Err(answer) => return Some(Asked::Refused(answer)),
                    }
                }
                if !is_begun && !read.is_empty() {
                    guard.change(PendingKind::Handshake);
                    is_begun = true;
                }
                match http.shutdown.unless_begun(receive(socket, read, guard)).await {
                    Some(received) => received?,
                    None if is_first => return None,
                    None => tokio::time::timeout(FINAL_POLL, receive(socket, read, guard)).await.ok()??,
                }
                continue;
            }
        };
        let Head { chat, upgrade, length, body, keep_alive } = *head;
        let mut poll = None;
        let outcome = match upgrade {
            Some(Ok(upgrade)) => {
                let info = chat.info("websocket");
                return Some(Asked::Upgrade(Box::new(Upgraded { upgrade, info, length })));
            }
            Some(Err(answer)) => PollOutcome::Answer(answer),
            None => {
                poll = http.admitted_polls.id(&chat);
                http.poll(&chat, Bytes::copy_from_slice(&read[length..length + body]))
            }
        };
        read.drain(..(length + body).min(read.len()));
        if read.is_empty() {
            *read = Vec::new();
        }
        return Some(Asked::Chat(outcome, poll, keep_alive));
    }
}

/// Reads more of a request. Returns `None` if the connection ends or is evicted.
async fn receive(socket: &impl Socket, read: &mut Vec<u8>, guard: &PendingGuard) -> Option<()> {
    tokio::select! {
        biased;
        ready = poll_fn(|cx| socket.poll_read_ready(cx)) => ready.ok()?,
        () = guard.evicted() => return None,
    }
    head::read_some(socket, read).ok()
}

/// Waits for the answer of a held request. Returns `None` if the connection fails.
///
/// A client that has closed its half of the connection may still read. A request that opens a long-poll connection, or a POST,
/// still gets its answer. A poll that waits for messages is answered at once, without messages: a client that is gone looks
/// the same, and a message written to it would be lost. Bytes that the client sends before it has its answer are kept in
/// `read`, up to the length of a head.
async fn held_answer(
    mut held: Held,
    waits_for_messages: bool,
    socket: &impl Socket,
    read: &mut Vec<u8>,
) -> Option<long_poll::Answer> {
    let ended = async {
        while read.len() < head::LIMIT {
            let received = match poll_fn(|cx| socket.poll_read_ready(cx)).await {
                Ok(()) => head::read_some(socket, read),
                Err(error) => Err(error),
            };
            if let Err(error) = received {
                return error;
            }
        }
        std::future::pending().await
    };
    let error = tokio::select! {
        biased;
        answer = &mut held => return Some(answer),
        error = ended => error,
    };
    match error.kind() {
        io::ErrorKind::UnexpectedEof if waits_for_messages => Some(no_messages()),
        io::ErrorKind::UnexpectedEof => Some(held.await),
        _ => None,
    }
}

/// Returns the answer to a poll when there are no messages.
fn no_messages() -> long_poll::Answer {
    long_poll::Answer { status: 200, body: Bytes::from_static(b"[]") }
}
