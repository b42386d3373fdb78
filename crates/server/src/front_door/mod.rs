//! The front door: a TCP port that reads request heads itself.
//!
//! What asks for a WebSocket at `/chat/2.0`, in a form beyond doubt, goes straight to the chat endpoint; the answer and the
//! first message leave in one write. Anything else goes, with all bytes read, to hyper, and that connection never comes
//! back.

mod head;
mod rewind;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use chatcamp_transport::{Connection, websocket};
use http::{Request, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use self::{
    head::{Asks, Head},
    rewind::Rewind,
};
use crate::{ChatService, Server, endpoint, lobby::Guest, server::Shared, session::Driver, tasks::Task};

/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// How long to wait when the process has no file descriptor for one more connection.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

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
        let guest = shared.lobby.enter(Some(peer.ip()));
        tokio::spawn(async move {
            // Boxed, so that an idle connection does not keep the handshake's memory.
            if let Some(driver) = Box::pin(open(shared, tcp, peer, guest, task)).await {
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
async fn open(
    shared: Arc<Shared>,
    tcp: TcpStream,
    peer: SocketAddr,
    guest: Guest,
    task: Task,
) -> Option<Driver> {
    let mut read = Vec::new();
    let asks = loop {
        tokio::select! {
            biased;
            ready = tcp.readable() => ready.ok()?,
            () = guest.must_leave() => return None,
        }
        match head::read(&tcp, &mut read) {
            Ok(Head::Partial) => {}
            Ok(Head::Complete(asks)) => break asks,
            Err(_) => return None,
        }
    };
    match asks {
        Asks::Chat { upgrade, query, origin, length } => {
            let carrier = websocket::Carrier::server(tcp, &read[length..], upgrade.response());
            drop(read);
            let facts = endpoint::facts(Some(peer), query.as_deref(), origin.as_deref());
            shared.greet(Connection::new(carrier, facts), guest, task).await
        }
        Asks::Other => {
            drop(guest);
            serve_http(shared, Rewind::new(read, tcp), peer).await;
            drop(task);
            None
        }
    }
}

/// Lets hyper serve the connection to its end.
async fn serve_http(shared: Arc<Shared>, stream: Rewind, peer: SocketAddr) {
    let chat = ChatService::new(Server { shared: shared.clone() }).for_peer(peer);
    let health = shared.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (chat, health) = (chat.clone(), health.clone());
        async move {
            Ok::<_, std::convert::Infallible>(match request.uri().path() {
                "/healthz" => health.health().await,
                _ => chat.answer(request),
            })
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(shared.limits.handshake).max_buf_size(head::LIMIT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = match shared.unless_draining(connection.as_mut()).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}

impl Shared {
    /// Whether the server can let users in, and if not, why.
    async fn health(&self) -> endpoint::Answer {
        if self.is_draining() {
            return endpoint::failure(
                StatusCode::SERVICE_UNAVAILABLE,
                "SHUTTING_DOWN",
                "the server is shutting down",
            );
        }
        match self.store.apps().await {
            Ok(_) => endpoint::json(StatusCode::OK, &serde_json::json!({ "ok": true })),
            Err(error) => {
                endpoint::failure(StatusCode::SERVICE_UNAVAILABLE, "STORE_UNAVAILABLE", &error.to_string())
            }
        }
    }
}
