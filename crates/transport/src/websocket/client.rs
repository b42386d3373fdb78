//! Dials a URL over TCP, or connects over any stream.

use std::{
    fmt,
    io::{self, ErrorKind},
};

use async_trait::async_trait;
use http::uri::{Authority, PathAndQuery};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::{
    Carrier, NAME,
    head::{HEADERS_LIMIT, Head, names_token},
};
use crate::{
    ConnectError, Connection, ConnectionInfo, status,
    url::{Url, check_authority},
};
#[cfg(feature = "tls")]
use crate::{Tls, TlsError, tls};
#[cfg(feature = "tls")]
use tokio::io::AsyncReadExt as _;

/// Maximum number of bytes read of the body of a refusal.
#[cfg(feature = "tls")]
const BODY_LIMIT: usize = 1024;

/// Dials one URL.
#[derive(Clone)]
pub struct Transport {
    url: Url,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Transport {
    /// Creates a transport that dials `url`: `wss://host[:port]/path?query`, port 443 by default, or `ws://` without TLS, port 80
    /// by default. `https://` and `http://` mean the same.
    ///
    /// Over `wss://` it trusts the certificates that the operating system trusts; [`with_tls`](Self::with_tls) changes that.
    ///
    /// # Errors
    /// [`ConnectError::Invalid`] if `url` has another form, if it needs TLS and the feature `tls` is disabled, or if the
    /// operating system has no root certificates.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_transport::websocket;
    ///
    /// # fn main() -> Result<(), chatcamp_transport::ConnectError> {
    /// let transport = websocket::Transport::new("ws://127.0.0.1:9080/chat/2.0")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        let url = Url::parse(url)?;
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: tls::platform(&url)?,
            url,
        })
    }

    /// Creates a transport like [`new`](Self::new) that uses `tls` if `url` needs TLS.
    ///
    /// # Errors
    /// [`ConnectError::Invalid`] if `url` has another form.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_transport::{Tls, websocket};
    ///
    /// # fn main() -> Result<(), chatcamp_transport::ConnectError> {
    /// let tls = Tls::without_roots(); // or `Tls::with_roots(pem)`
    /// let transport = websocket::Transport::with_tls("wss://chat.example/chat/2.0", &tls)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn with_tls(url: &str, tls: &Tls) -> Result<Self, ConnectError> {
        let url = Url::parse(url)?;
        Ok(Self { tls: url.is_tls.then(|| tls.clone()), url })
    }
}

#[async_trait]
impl crate::Transport for Transport {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        crate::needs_runtime()?;
        let port = self.url.authority.port_u16().unwrap_or(if self.url.is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((self.url.host(), port)).await.map_err(ConnectError::unreachable)?;
        stream.set_nodelay(true).map_err(ConnectError::unreachable)?;
        let info = ConnectionInfo {
            peer: stream.peer_addr().ok(),
            encrypted: self.url.is_tls,
            ..ConnectionInfo::new(NAME)
        };
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            // In a future of its own: that of a plain connect stays as small as without TLS.
            let carrier = Box::pin(async {
                let stream = tls::connect(tls, self.url.host(), stream).await?;
                handshake(stream, &self.url.authority, &self.url.target, false).await
            });
            return Ok(Connection::new(carrier.await?, info));
        }
        Ok(Connection::new(handshake(stream, &self.url.authority, &self.url.target, true).await?, info))
    }

    fn is_exposed(&self) -> bool {
        self.url.is_exposed()
    }

    fn url(&self) -> Option<String> {
        Some(self.url.shown())
    }
}

/// Does not show the query: it may contain a token.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.url.is_tls { "wss" } else { "ws" };
        write!(f, "Transport({scheme}://{}{})", self.url.authority, self.url.target.path())
    }
}

/// Performs the opening handshake over any stream, such as a Unix domain socket or a stream through a proxy.
///
/// `host` is the value of the header `Host`, with the port unless it is the default; `target` is the path with its query.
///
/// # Errors
/// Those of [`Transport::connect`](crate::Transport::connect); [`ConnectError::Invalid`] if `host` or `target` is invalid.
///
/// # Cancel safety
/// Dropping the future drops the stream.
pub async fn connect_over<S>(stream: S, host: &str, target: &str) -> Result<Connection, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let authority = host.parse().map_err(|_| ConnectError::Invalid("the host is invalid".to_owned()))?;
    check_authority(&authority)?;
    let target = target.parse().map_err(|_| ConnectError::Invalid("the target is invalid".to_owned()))?;
    let carrier = handshake(stream, &authority, &target, false).await?;
    Ok(Connection::new(carrier, ConnectionInfo::new(NAME)))
}

/// Performs the opening handshake. `is_plain` says that the stream is certainly not encrypted.
#[cfg_attr(not(feature = "tls"), allow(unused_variables, reason = "`is_plain` matters only beside TLS"))]
async fn handshake<S>(
    mut stream: S,
    authority: &Authority,
    target: &PathAndQuery,
    is_plain: bool,
) -> Result<Carrier<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let key = generate_key();
    // Do not use tungstenite's request: it writes the query, and any token in it, to the trace log.
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(ConnectError::unreachable)?;
    stream.flush().await.map_err(ConnectError::unreachable)?;
    let head = Head::read(&mut stream).await.map_err(no_answer)?;
    let head = head.ok_or_else(|| ConnectError::Refused("the answer is not HTTP/1.1".to_owned()))?;
    if let Err(why) = judge(&head, &key) {
        #[cfg(feature = "tls")]
        if is_plain {
            if let Some(cause) = Box::pin(expects_tls(&mut stream, &head)).await {
                return Err(ConnectError::Tls(cause));
            }
        }
        return Err(ConnectError::Refused(why));
    }
    Ok(Carrier::client(stream, head.rest()))
}

/// Converts the failure to read the answer. A server for TLS may close the connection without one.
fn no_answer(error: io::Error) -> ConnectError {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => ConnectError::unreachable(
            "the connection was closed without an answer; check the port, and whether it expects https://",
        ),
        _ => ConnectError::unreachable(error),
    }
}

/// Returns [`TlsError::Required`] if the answer says that the port is for TLS.
#[cfg(feature = "tls")]
async fn expects_tls(stream: &mut (impl AsyncRead + Unpin), head: &Head) -> Option<TlsError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head.bytes()).ok()?;
    let status = response.code.filter(|status| *status == 400)?;
    let header = |name| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let length = match (header("content-length"), header("transfer-encoding")) {
        (Some(length), _) => std::str::from_utf8(length.value).ok()?.trim().parse().ok()?,
        (None, Some(_)) => 0,
        // The body ends with the connection.
        (None, None) => BODY_LIMIT,
    };
    let length = length.min(BODY_LIMIT);
    let mut body = head.rest()[..head.rest().len().min(length)].to_vec();
    // What arrived before an error may be enough.
    let _ = stream.take((length - body.len()) as u64).read_to_end(&mut body).await;
    TlsError::of_plain_response(status, &body)
}

/// Checks whether the answer accepts the upgrade with `key`; the error says what is wrong.
fn judge(head: &Head, key: &str) -> Result<(), String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_LIMIT];
    let mut response = httparse::Response::new(&mut headers);
    let status = match response.parse(head.bytes()) {
        Ok(httparse::Status::Complete(_)) => response.code.unwrap_or_default(),
        _ => return Err("the answer is not HTTP/1.1".to_owned()),
    };
    if status != 101 {
        return Err(status::explained(status));
    }
    let has = |name: &str, test: &dyn Fn(&[u8]) -> bool| {
        response.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name) && test(header.value))
    };
    let accept_key = derive_accept_key(key.as_bytes());
    let flaws = [
        (
            !has("upgrade", &|value| names_token(value, "websocket")),
            "the answer upgrades to another protocol",
        ),
        (
            !has("connection", &|value| names_token(value, "upgrade")),
            "the answer does not have Connection: Upgrade",
        ),
        (
            !has("sec-websocket-accept", &|value| value == accept_key.as_bytes()),
            "Sec-WebSocket-Accept does not match the key",
        ),
        (has("sec-websocket-protocol", &|_| true), "the answer has a subprotocol that was not requested"),
        (has("sec-websocket-extensions", &|_| true), "the answer has an extension that was not requested"),
    ];
    match flaws.into_iter().find(|(is_there, _)| *is_there) {
        Some((_, flaw)) => Err(flaw.to_owned()),
        None => Ok(()),
    }
}
