//! The front door: a TCP port that reads request heads itself.
//!
//! What is for `/chat/2.0`, in a form beyond doubt, goes straight to the chat endpoint; a WebSocket's 101 and the first
//! message leave in one write. Anything else goes, with all bytes read, to hyper, and that connection never comes
//! back.

mod answer;
mod head;
mod rewind;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use chatcamp_transport::{
    Connection,
    long_poll::{self, Held},
    websocket,
};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower_service::Service as _;

use self::{
    head::{Head, Parsed},
    rewind::Rewind,
};
use crate::{
    ChatService, Server,
    endpoint::Becomes,
    lobby::{Guest, Stay},
    server::Shared,
    service,
    session::Driver,
    tasks::Task,
};

/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// How long to wait when the process has no file descriptor for one more connection.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How long a client that polls has to come for its last words when the server shuts down; it comes after 100 ms
/// (wire document, section 2.3).
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A listening TCP port of a server.
#[derive(Debug)]
pub struct FrontDoor {
    listener: TcpListener,
    server: Server,
}

impl FrontDoor {
    /// Listens on `address`; port 0 picks a free one, see [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    /// The operating system's, such as an address in use.
    pub fn bind(server: Server, address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit it, which saves a system call each.
        socket.set_nodelay(true)?;
        socket.bind(address)?;
        Ok(Self { listener: socket.listen(BACKLOG)?, server })
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
        let shared = &self.server.shared;
        while let Some(accepted) = shared.unless_draining(self.listener.accept()).await {
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
        let (shared, task) = (self.server.shared.clone(), self.server.shared.enter());
        let guest = shared.lobby.enter(Some(peer.ip()), Stay::Handshake);
        tokio::spawn(async move {
            // Boxed, so that an idle connection does not keep the handshake's memory.
            if let Some(driver) = Box::pin(open(task, shared, tcp, peer, guest)).await {
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
/// Whenever it waits for a request, or the rest of one, the connection is a guest of the lobby.
async fn open(
    task: Task,
    shared: Arc<Shared>,
    tcp: TcpStream,
    peer: SocketAddr,
    mut guest: Guest,
) -> Option<Driver> {
    let mut read = Vec::new();
    let mut is_first = true;
    loop {
        let head = loop {
            match head::parse(&read, peer) {
                Parsed::Partial => match shared.unless_draining(receive(&tcp, &mut read, &guest)).await {
                    Some(received) => received?,
                    None if is_first => return None,
                    None => {
                        tokio::time::timeout(LAST_WORDS, receive(&tcp, &mut read, &guest)).await.ok()??
                    }
                },
                Parsed::Chat(head) => break head,
                Parsed::Other => {
                    drop(guest);
                    serve_http(&shared, Rewind::new(read, tcp), peer).await;
                    return None;
                }
            }
        };
        let Head { ask, upgrade, length, body, keep_alive } = *head;
        let becomes = match upgrade {
            Some(Ok(upgrade)) => {
                let facts = ask.facts("websocket");
                let carrier = websocket::Carrier::server(tcp, &read[length..], upgrade.response());
                drop(read);
                return shared.greet(task, Connection::new(carrier, facts), guest).await;
            }
            Some(Err(answer)) => Becomes::Answer(answer),
            None if read.len() < length + body => {
                while read.len() < length + body {
                    receive(&tcp, &mut read, &guest).await?;
                }
                continue;
            }
            None => shared.poll(&ask, Bytes::copy_from_slice(&read[length..length + body])),
        };
        drop(guest);
        read.drain(..length + body);
        if read.is_empty() {
            read = Vec::new();
        }
        let answer = match becomes {
            Becomes::Answer(answer) => answer,
            Becomes::Held(held, cors) => cors.answer(unless_gone(held, &tcp, &mut read).await?),
        };
        answer::write(&tcp, &answer, keep_alive).await.ok()?;
        if !keep_alive || (shared.is_draining() && answer.status != 200) {
            return None;
        }
        is_first = false;
        guest = shared.lobby.enter(Some(peer.ip()), Stay::Handshake);
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
async fn serve_http(shared: &Arc<Shared>, stream: Rewind, peer: SocketAddr) {
    let guest = shared.lobby.enter(Some(peer.ip()), Stay::Http);
    let chat = ChatService::new(Server { shared: shared.clone() }).for_peer(peer);
    let health = shared.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (mut chat, health) = (chat.clone(), health.clone());
        async move {
            match request.uri().path() {
                "/healthz" => Ok(service::render(&health.health().await)),
                _ => chat.call(request).await,
            }
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(shared.limits.handshake).max_buf_size(head::LIMIT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let over = shared.unless_draining(guest.must_leave());
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Ok(ended),
        _ = over => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(shared.limits.drain, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection failed"),
        Err(_) => tracing::debug!(%peer, "an HTTP connection was cut off"),
    }
}
