//! The front door: a TCP port that reads request heads itself.
//!
//! What is for `/chat/2.0`, in a form beyond doubt, goes straight to the chat endpoint; a WebSocket's 101 and the first
//! message leave in one write. Anything else goes, with all bytes read, to hyper, and that connection never comes
//! back.

mod answer;
mod head;
mod pages;
mod rewind;

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chatcamp_transport::{
    Connection, ConnectionInfo,
    long_poll::{self, Held},
    websocket::{self, Upgrade},
};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower_service::Service as _;

pub use pages::Pages;

use self::{
    head::{Head, Parsed},
    rewind::Rewind,
};
use super::{
    Http,
    endpoint::{Answer, Becomes},
    service::{self, ChatService},
};
use crate::{
    admission::{Guest, Stay},
    api,
    session::Driver,
    shutdown::Task,
};

/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// How long to wait when the process has no file descriptor for one more connection.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How long a client that polls has to come for its last words when the server shuts down; it comes after 100 ms
/// (wire document, section 2.3).
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a page may go on answering a connection that is shown out: its client may be one that sends its form byte by
/// byte.
const LAST_PAGE: Duration = Duration::from_secs(3);

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
        // Accepted connections inherit it, which saves a system call each.
        socket.set_nodelay(true)?;
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
    /// # Cancel safety
    /// Dropping the future stops accepting; connections already accepted are served on.
    pub async fn run(self) {
        while let Some(accepted) = self.http.shutdown.unless_begun(self.listener.accept()).await {
            match accepted {
                Ok((tcp, peer)) => self.receive(tcp, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
            }
        }
    }

    fn receive(&self, tcp: TcpStream, peer: SocketAddr) {
        let (http, task, served) = (self.http.clone(), self.http.shutdown.enter(), self.served.clone());
        let guest = http.admission.pending.enter(Some(peer.ip()), Stay::Handshake);
        tokio::spawn(async move {
            // Boxed, so that an idle connection does not keep the handshake's memory.
            if let Some(driver) = Box::pin(open(task, http, served, tcp, peer, guest)).await {
                driver.await;
            }
        });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// From an accepted connection to a session's driver; nothing when it came to something else, which is then over.
///
/// Whenever it waits for a request, or the rest of one, the connection is a guest of the lobby. What needs memory while it
/// lasts is boxed, so that a held poll does not keep it.
async fn open(
    task: Task,
    http: Arc<Http>,
    served: Served,
    tcp: TcpStream,
    peer: SocketAddr,
    mut guest: Guest,
) -> Option<Driver> {
    let mut read = Vec::new();
    let mut is_first = true;
    loop {
        let asked = match served.chat {
            true => Box::pin(request(&http, &tcp, peer, &guest, &mut read, is_first)).await?,
            false => Asked::Other,
        };
        let (becomes, keep_alive) = match asked {
            Asked::Upgrade(upgrade) => {
                let Upgraded { upgrade, info, length } = *upgrade;
                let carrier = websocket::Carrier::server(tcp, &read[length..], upgrade.response());
                drop(read);
                return Box::pin(http.admission.clone().admit(task, Connection::new(carrier, info), guest))
                    .await;
            }
            Asked::Other => {
                drop(guest);
                Box::pin(serve_http(&http, served, Rewind::new(read, tcp), peer)).await;
                return None;
            }
            Asked::Chat(becomes, keep_alive) => (becomes, keep_alive),
        };
        drop(guest);
        let answer = match becomes {
            Becomes::Answer(answer) => answer,
            Becomes::Held(held, cors) => cors.answer(unless_gone(held, &tcp, &mut read).await?),
        };
        let keep_alive = keep_alive && !(http.shutdown.has_begun() && answer.status != 200);
        Box::pin(answer::write(&tcp, &answer, keep_alive)).await.ok()?;
        if !keep_alive {
            return None;
        }
        is_first = false;
        guest = http.admission.pending.enter(Some(peer.ip()), Stay::Idle);
    }
}

/// What a connection asked for.
enum Asked {
    /// To become a WebSocket.
    Upgrade(Box<Upgraded>),
    /// Something of the chat endpoint that has an answer, and whether another request may follow.
    Chat(Becomes, bool),
    /// Anything else: it is hyper's, with all that was read.
    Other,
}

/// A granted upgrade; the frames begin `length` bytes into what was read.
struct Upgraded {
    upgrade: Upgrade,
    info: ConnectionInfo,
    length: usize,
}

/// Reads one request, and takes it out of `read`; nothing when there will be none.
async fn request(
    http: &Arc<Http>,
    tcp: &TcpStream,
    peer: SocketAddr,
    guest: &Guest,
    read: &mut Vec<u8>,
    is_first: bool,
) -> Option<Asked> {
    let mut room = None;
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
                        Err(answer) => return Some(Asked::Chat(Becomes::Answer(answer), false)),
                    }
                }
                match http.shutdown.unless_begun(receive(tcp, read, guest)).await {
                    Some(received) => received?,
                    None if is_first => return None,
                    None => tokio::time::timeout(LAST_WORDS, receive(tcp, read, guest)).await.ok()??,
                }
                continue;
            }
        };
        let Head { ask, upgrade, length, body, keep_alive } = *head;
        let becomes = match upgrade {
            Some(Ok(upgrade)) => {
                let info = ask.info("websocket");
                return Some(Asked::Upgrade(Box::new(Upgraded { upgrade, info, length })));
            }
            Some(Err(answer)) => Becomes::Answer(answer),
            None => http.poll(&ask, Bytes::copy_from_slice(&read[length..length + body])),
        };
        read.drain(..(length + body).min(read.len()));
        if read.is_empty() {
            *read = Vec::new();
        }
        return Some(Asked::Chat(becomes, keep_alive));
    }
}

/// Waits for more of a request; nothing when there will be none, or the guest must leave.
async fn receive(tcp: &TcpStream, read: &mut Vec<u8>, guest: &Guest) -> Option<()> {
    tokio::select! {
        biased;
        ready = tcp.readable() => ready.ok()?,
        () = guest.must_leave() => return None,
    }
    head::read_some(tcp, read).ok()
}

/// The answer of a held poll; nothing when its client has gone meanwhile.
///
/// What a client sends before it has its answer waits in `read`, up to the length of a head.
async fn unless_gone(held: Held, tcp: &TcpStream, read: &mut Vec<u8>) -> Option<long_poll::Answer> {
    let gone = async {
        while read.len() < head::LIMIT {
            if tcp.readable().await.is_err() || head::read_some(tcp, read).is_err() {
                return;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        answer = held => Some(answer),
        () = gone => None,
    }
}

/// Lets hyper serve the connection, for as long as a visit may last; a peer that does not read is cut off then.
///
/// A poll that is held, or a call of a backend, may end in its own time; a page is cut off sooner, as strangers keep it
/// waiting for their forms.
async fn serve_http(http: &Arc<Http>, served: Served, stream: Rewind, peer: SocketAddr) {
    let guest = http.admission.pending.enter(Some(peer.ip()), Stay::Http);
    let chat = ChatService::of(http.clone()).for_peer(peer);
    let http_of_requests = http.clone();
    let in_page = Arc::new(AtomicBool::new(false));
    let tell = in_page.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (mut chat, http) = (chat.clone(), http_of_requests.clone());
        let claimed = served.pages.iter().find(|pages| pages.claims(request.uri().path())).cloned();
        tell.store(claimed.is_some(), Ordering::Relaxed);
        async move {
            if let Some(pages) = claimed {
                return Ok(pages.serve(request, peer).await);
            }
            match request.uri().path() {
                "/healthz" => Ok(service::render(&http.health.answer().await)),
                _ if !served.chat => Ok(service::render(&nothing_here())),
                path if api::is_at(path) => Ok(api::serve(&http.api, request).await),
                _ => chat.call(request).await,
            }
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(http.limits.handshake).max_buf_size(head::LIMIT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let over = http.shutdown.unless_begun(guest.must_leave());
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Ok(ended),
        _ = over => {
            connection.as_mut().graceful_shutdown();
            let drain = http.limits.drain;
            let patience = if in_page.load(Ordering::Relaxed) { drain.min(LAST_PAGE) } else { drain };
            tokio::time::timeout(patience, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection failed"),
        Err(_) => tracing::debug!(%peer, "an HTTP connection was cut off"),
    }
}

fn nothing_here() -> Answer {
    Answer::failure(404, "NOT_FOUND", "nothing is served here; this address has pages only, not the chat")
}
