//! The front door: a TCP port that reads request heads itself.
//!
//! What is for `/chat/2.0`, in a form beyond doubt, goes straight to the chat endpoint; a WebSocket's 101 and the first
//! message leave in one write. Anything else goes, with all bytes read, to hyper, and that connection never comes
//! back.

mod answer;
mod connection;
mod head;
mod http1;
mod pages;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

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

use self::{
    head::{Head, Parsed},
    socket::Socket,
};
use super::{
    Http,
    endpoint::{Becomes, PollId},
};
use crate::{
    admission::{Guest, Stay},
    session::Driver,
    shutdown::Task,
};

/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// Bytes that the kernel keeps of what a client does not read; Linux doubles it for its own needs. Without a limit it grows to
/// megabytes for each client.
const SEND_BUFFER: u32 = 64 * 1024;
/// How long to wait when the process has no file descriptor for one more connection and no pending connection to evict.
const OUT_OF_FILES: Duration = Duration::from_millis(100);
/// How long an evicted connection is given to free its file descriptor.
const EVICTING: Duration = Duration::from_millis(5);
/// Between two warnings that connections cannot be accepted, at least.
const WARNINGS: Duration = Duration::from_secs(60);

/// How long a client that polls has to come for its last words when the server shuts down; it comes after 100 ms
/// (wire document, section 2.3).
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A listening TCP port of a server.
#[derive(Debug)]
pub struct FrontDoor {
    listener: TcpListener,
    http: Arc<Http>,
    served: Served,
}

/// What a door serves.
#[derive(Debug, Clone)]
struct Served {
    pages: Arc<[Arc<dyn Pages>]>,
    /// The chat, its files and the Platform API.
    chat: bool,
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
        Ok(Self { listener: socket.listen(BACKLOG)?, http, served })
    }

    /// Serves these pages too; the first that claims a path has it.
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

    /// The address it listens on.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts connections until the server shuts down.
    ///
    /// # Panics
    /// Where it is polled outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting; connections already accepted are served on.
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

    fn receive(&self, socket: impl Socket, peer: SocketAddr) {
        // A listener for both families names a client of IPv4 by an address of IPv6.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let http = self.http.clone();
        let task = http.shutdown.enter();
        let served = self.served.clone();
        let guest = http.admission.pending.enter(Some(peer.ip()), Stay::Handshake);
        // Boxed here, so that the task of an idle connection keeps neither the handshake's memory nor what it was made of.
        let opening = Box::pin(open(task, http, served, socket, peer, guest));
        tokio::spawn(async move {
            if let Some(driver) = opening.await {
                driver.await;
            }
        });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Takes an accepted connection to a session's driver; returns `None` if it came to something else, which is then over.
///
/// Whenever it waits for a request, or the rest of one, the connection is pending in the lobby, unless a poll over it had a
/// session. What needs memory while it lasts is boxed, so that a held poll does not keep it.
async fn open(
    task: Task,
    http: Arc<Http>,
    served: Served,
    socket: impl Socket,
    peer: SocketAddr,
    mut guest: Guest,
) -> Option<Driver> {
    let mut read = Vec::new();
    let mut is_first = true;
    let mut is_authenticated = false;
    loop {
        let asked = match served.chat {
            true => Box::pin(request(&http, &socket, peer, &guest, &mut read, is_first)).await?,
            false => Asked::Other,
        };
        let (becomes, poll, keep_alive) = match asked {
            Asked::Upgrade(upgrade) => {
                let Upgraded { upgrade, info, length } = *upgrade;
                let carrier = websocket::Carrier::server(socket, &read[length..], upgrade.response());
                drop(read);
                let connection = Connection::new(carrier, info);
                return Box::pin(http.admission.clone().admit(task, connection, guest)).await;
            }
            Asked::Other => {
                Box::pin(http1::serve(&http, served, read, socket, peer, guest)).await;
                return None;
            }
            Asked::Chat(becomes, poll, keep_alive) => (becomes, poll, keep_alive),
        };
        drop(guest);
        let answer = match becomes {
            Becomes::Answer(answer) => answer,
            Becomes::Held { held, cors, is_news } => {
                cors.answer(held_answer(held, is_news, &socket, &mut read).await?)
            }
        };
        let keep_alive = keep_alive && !(http.shutdown.has_begun() && answer.status != 200);
        Box::pin(answer::write(&http, &socket, peer, &answer, keep_alive)).await.ok()?;
        if !keep_alive {
            return None;
        }
        is_first = false;
        is_authenticated |= poll.is_some_and(|poll| http.admitted_polls.contains(poll));
        guest = match is_authenticated {
            true => http.admission.pending.enter_authenticated(Some(peer.ip())),
            false => http.admission.pending.enter(Some(peer.ip()), Stay::Idle),
        };
    }
}

/// What a connection asked for.
enum Asked {
    /// To become a WebSocket.
    Upgrade(Box<Upgraded>),
    /// Something of the chat endpoint that has an answer: over which poll connection, and whether another request may follow.
    Chat(Becomes, Option<PollId>, bool),
    /// Anything else: it is hyper's, with all that was read.
    Other,
}

/// A granted upgrade; the frames begin `length` bytes into what was read.
struct Upgraded {
    upgrade: Upgrade,
    info: ConnectionInfo,
    length: usize,
}

/// Reads one request, and takes it out of `read`; returns `None` if there will be none.
async fn request(
    http: &Arc<Http>,
    socket: &impl Socket,
    peer: SocketAddr,
    guest: &Guest,
    read: &mut Vec<u8>,
    is_first: bool,
) -> Option<Asked> {
    let mut room = None;
    // Between two requests a connection has another deadline than within one.
    let mut is_begun = is_first;
    loop {
        let head = match head::parse(read, peer) {
            Parsed::Other => return Some(Asked::Other),
            Parsed::Chat(head) if head.upgrade.is_some() || read.len() >= head.length + head.body => head,
            unfinished @ (Parsed::Chat(_) | Parsed::Partial) => {
                // A body is read only if its head deserves it, and there is room for it.
                if let Parsed::Chat(head) = unfinished
                    && room.is_none()
                {
                    let refused = match http.answer_head(&head.ask, head.body) {
                        Some(answer) => Err(answer),
                        None => http.make_room(&head.ask, head.body),
                    };
                    match refused {
                        Ok(reserved) => room = Some(reserved),
                        Err(answer) => return Some(Asked::Chat(Becomes::Answer(answer), None, false)),
                    }
                }
                if !is_begun && !read.is_empty() {
                    guest.change(Stay::Handshake);
                    is_begun = true;
                }
                match http.shutdown.unless_begun(receive(socket, read, guest)).await {
                    Some(received) => received?,
                    None if is_first => return None,
                    None => tokio::time::timeout(LAST_WORDS, receive(socket, read, guest)).await.ok()??,
                }
                continue;
            }
        };
        let Head { ask, upgrade, length, body, keep_alive } = *head;
        let mut poll = None;
        let becomes = match upgrade {
            Some(Ok(upgrade)) => {
                let info = ask.info("websocket");
                return Some(Asked::Upgrade(Box::new(Upgraded { upgrade, info, length })));
            }
            Some(Err(answer)) => Becomes::Answer(answer),
            None => {
                poll = http.admitted_polls.id(&ask);
                http.poll(&ask, Bytes::copy_from_slice(&read[length..length + body]))
            }
        };
        read.drain(..(length + body).min(read.len()));
        if read.is_empty() {
            *read = Vec::new();
        }
        return Some(Asked::Chat(becomes, poll, keep_alive));
    }
}

/// Waits for more of a request; returns `None` if there will be none, or the connection is evicted.
async fn receive(socket: &impl Socket, read: &mut Vec<u8>, guest: &Guest) -> Option<()> {
    tokio::select! {
        biased;
        ready = poll_fn(|cx| socket.poll_read_ready(cx)) => ready.ok()?,
        () = guest.must_leave() => return None,
    }
    head::read_some(socket, read).ok()
}

/// Waits for the answer of a held request; returns `None` if its connection breaks.
///
/// A client that has closed its half of the connection may still read. What opens a connection or posts is answered as ever;
/// a poll that waits for news is answered at once, with none: a closed connection looks the same, and a message written to
/// it would be lost. What a client sends before it has its answer waits in `read`, up to the length of a head.
async fn held_answer(
    mut held: Held,
    is_news: bool,
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
        io::ErrorKind::UnexpectedEof if is_news => Some(no_news()),
        io::ErrorKind::UnexpectedEof => Some(held.await),
        _ => None,
    }
}

/// The answer to a poll when there are no messages.
fn no_news() -> long_poll::Answer {
    long_poll::Answer { status: 200, body: Bytes::from_static(b"[]") }
}
