//! Accepts connections over a stream or on a TCP port.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::JoinSet,
    time,
};

use super::{
    Carrier, NAME, Upgrade, UpgradeError,
    head::{HEADERS_LIMIT, Head},
};
use crate::{Carrier as _, Connection, ConnectionInfo};

/// Maximum number of pending handshakes of one [`Listener`]; further connections wait in the system's backlog.
const HANDSHAKES: usize = 1024;
/// Time limit of an opening handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after the system could not accept, for example because of missing file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a stream did not become a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The stream broke or ended.
    #[error("the stream ended before the handshake was complete")]
    Lost(#[from] io::Error),
    /// The peer sent a head larger than 16 KiB or 64 lines. It got status 431.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// The peer did not send an HTTP/1.1 GET request. It got status 400.
    #[error("the request is not an HTTP/1.1 GET")]
    NotHttp,
    /// The request is not a valid WebSocket upgrade. The peer got status 400 or 426.
    #[error("the request is not a valid upgrade")]
    NotUpgrade(#[from] UpgradeError),
}

/// Performs the opening handshake over any stream; rejects an invalid request with a plain HTTP answer.
///
/// Accepts any path. The connection's [`ConnectionInfo`] holds the query, `Origin` and `peer`. Has no deadline: the caller sets
/// one.
///
/// ```text
///   peer                              here
///    | GET … Upgrade: websocket  -->   |
///    |   <--  101, or 4xx and the end  |
/// ```
///
/// # Errors
/// [`AcceptError`], for the log; the peer has already got its answer.
///
/// # Cancel safety
/// Dropping the future drops the stream.
pub async fn accept<S>(mut stream: S, peer: Option<SocketAddr>) -> Result<Connection, AcceptError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = Head::read(&mut stream).await?;
    match head.as_ref().ok_or(AcceptError::HeadTooLarge).and_then(|head| Ok((head, judge(head, peer)?))) {
        Ok((head, (upgrade, info))) => {
            let mut carrier = Carrier::server(stream, head.rest(), upgrade.response());
            // The peer's connect completes only with the answer.
            poll_fn(|cx| carrier.poll_flush(cx)).await.map_err(io::Error::other)?;
            Ok(Connection::new(carrier, info))
        }
        Err(error) => {
            // Report the reason of the rejection rather than a failure to send the answer.
            if stream.write_all(&error.response()).await.is_ok() {
                let _ = stream.shutdown().await;
            }
            Err(error)
        }
    }
}

fn judge(head: &Head, peer: Option<SocketAddr>) -> Result<(Upgrade, ConnectionInfo), AcceptError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head.bytes()) {
        Ok(httparse::Status::Complete(_)) if request.version == Some(1) && request.method == Some("GET") => {}
        Err(httparse::Error::TooManyHeaders) => return Err(AcceptError::HeadTooLarge),
        _ => return Err(AcceptError::NotHttp),
    }
    let upgrade = Upgrade::from_headers(request.headers.iter().map(|header| (header.name, header.value)))?;
    let origins = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("origin"));
    let origins: Vec<_> = origins.map(|header| String::from_utf8_lossy(header.value)).collect();
    let info = ConnectionInfo {
        peer,
        query: request.path.and_then(|target| target.split_once('?')).map(|(_, query)| query.to_owned()),
        origin: (!origins.is_empty()).then(|| origins.join(", ")),
        ..ConnectionInfo::new(NAME)
    };
    Ok((upgrade, info))
}

impl AcceptError {
    fn response(&self) -> Vec<u8> {
        let (line, more) = match self {
            Self::HeadTooLarge => ("431 Request Header Fields Too Large", ""),
            Self::NotUpgrade(error) if error.status() == 426 => {
                ("426 Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
            }
            Self::NotUpgrade(_) | Self::NotHttp | Self::Lost(_) => ("400 Bad Request", ""),
        };
        let body = match self {
            Self::NotUpgrade(error) => error.to_string(),
            error => error.to_string(),
        };
        let length = body.len();
        format!("HTTP/1.1 {line}\r\n{more}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }
}

/// Accepts WebSocket connections on a TCP port, on any path.
///
/// Runs at most 1,024 handshakes concurrently, each for at most 10 s.
pub struct Listener {
    tcp: TcpListener,
    handshakes: JoinSet<Option<Connection>>,
}

impl Listener {
    /// Listens on `address`; port 0 chooses a free port.
    ///
    /// # Errors
    /// The address is in use or not local, or the call is made outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Handle::try_current().map_err(io::Error::other)?;
        Ok(Self { tcp: TcpListener::bind(address).await?, handshakes: JoinSet::new() })
    }

    /// Returns the local address.
    ///
    /// # Errors
    /// The error of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Starts handshakes and returns a finished one; an error means that the system cannot accept for now.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        loop {
            while self.handshakes.len() < HANDSHAKES {
                match self.tcp.poll_accept(cx) {
                    Poll::Ready(Ok((stream, peer))) => {
                        self.handshakes.spawn(handshake(stream, peer));
                    }
                    Poll::Ready(Err(cause)) if is_peer_error(&cause) => {}
                    Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                    Poll::Pending => break,
                }
            }
            match ready!(self.handshakes.poll_join_next(cx)) {
                Some(Ok(Some(connection))) => return Poll::Ready(Ok(connection)),
                Some(_) => {}
                None => return Poll::Pending,
            }
        }
    }
}

async fn handshake(stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    time::timeout(HANDSHAKE_DEADLINE, accept(stream, Some(peer))).await.ok()?.ok()
}

/// Returns whether accepting failed only because this peer disconnected.
fn is_peer_error(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[async_trait]
impl crate::Listener for Listener {
    async fn accept(&mut self) -> Option<Connection> {
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(connection) => return Some(connection),
                Err(_) => time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.tcp.local_addr().ok()).finish_non_exhaustive()
    }
}
