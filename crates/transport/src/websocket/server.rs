//! Accepting: over one stream, and on a TCP port.

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    str,
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

/// Opening handshakes in progress on one [`Listener`], at most; more wait in the system's backlog.
const HANDSHAKES: usize = 1024;
/// Time a peer has for its opening handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after the system could not accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a stream did not become a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The stream broke or ended.
    #[error("the stream broke before the handshake was complete")]
    Lost(#[from] io::Error),
    /// The peer sent a head beyond 16 KiB or 64 lines. It was answered with status 431.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// The peer does not send a GET request of HTTP/1.1. It was answered with status 400.
    #[error("not a GET request of HTTP/1.1")]
    NotHttp,
    /// The peer did not ask for a WebSocket that is spoken here. It was told so.
    #[error("not a valid upgrade")]
    NotUpgrade(#[from] UpgradeError),
}

/// Performs the opening handshake on any stream; refuses with a plain HTTP answer.
///
/// Any path is accepted. The query and `Origin` are in the connection's [`ConnectionInfo`]; `peer` is put there too. There is
/// no deadline: the caller has one.
///
/// ```text
///   peer                              here
///    | GET … Upgrade: websocket  -->   |
///    |   <--  101, or 4xx and the end  |
/// ```
///
/// # Errors
/// [`AcceptError`] is for the log; the peer was answered.
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
            // The peer's dial is complete only with the answer.
            poll_fn(|cx| carrier.poll_flush(cx)).await.map_err(io::Error::other)?;
            Ok(Connection::new(carrier, info))
        }
        Err(error) => {
            // That the answer could not be sent says less than why it was due.
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
    let origin = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("origin"));
    let info = ConnectionInfo {
        peer,
        query: request.path.and_then(|target| target.split_once('?')).map(|(_, query)| query.to_owned()),
        origin: origin.and_then(|header| str::from_utf8(header.value).ok()).map(str::to_owned),
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
/// Handshakes run beside one another, at most 1,024 of them and none longer than 10 s.
pub struct Listener {
    tcp: TcpListener,
    handshakes: JoinSet<Option<Connection>>,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken, or not of this machine; the call is made outside a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Handle::try_current().map_err(io::Error::other)?;
        Ok(Self { tcp: TcpListener::bind(address).await?, handshakes: JoinSet::new() })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Starts handshakes and gives a finished one; an error only where the system cannot accept for now.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        loop {
            while self.handshakes.len() < HANDSHAKES {
                match self.tcp.poll_accept(cx) {
                    Poll::Ready(Ok((stream, peer))) => {
                        self.handshakes.spawn(handshake(stream, peer));
                    }
                    Poll::Ready(Err(cause)) if is_of_the_peer(&cause) => {}
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

/// Whether accepting failed because this one peer went away again.
fn is_of_the_peer(cause: &io::Error) -> bool {
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
