//! Requests written by hand, from a client with an address of its own.

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use chatcamp_tls::Tls;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{process::PATIENCE, site::Site};

/// The headers of the WebSocket's opening handshake.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Returns the client's address: one of this machine that is not loopback, which would count as a process beside the proxy.
pub(crate) fn client() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the system only chooses the address to send from.
    let routed = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    routed.expect("this machine needs a network address besides loopback").ip()
}

/// Connects alice from [`client`] with further headers, each with a line break. The connection ends when it is dropped.
pub(crate) async fn connect(site: &Site, transport: &str, headers: &str) -> TlsStream<TcpStream> {
    answered(site, transport, headers, "users.auth.ack").await
}

/// Tries to connect alice while the server is away; a proxy must say so.
pub(crate) async fn fail_to_connect(site: &Site, transport: &str) {
    answered(site, transport, "", "HTTP/1.1 50").await;
}

/// Sends a request of the published SDK and waits for an answer that contains `expected`.
async fn answered(site: &Site, transport: &str, headers: &str, expected: &str) -> TlsStream<TcpStream> {
    let transport = match transport {
        "websocket" => UPGRADE.to_owned(),
        _ => format!("iflychat-token: id-{}\r\n", headers.len()),
    };
    let query = format!("app_id={}&user_id=alice&access_token={}", site.app, site.token);
    let host = format!("localhost:{}", site.port());
    let request = format!("GET /chat/2.0?{query} HTTP/1.1\r\nHost: {host}\r\n{headers}{transport}\r\n");

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client(), 0).into()).unwrap();
    let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], site.port()))).await.unwrap();
    let tls = Tls::with_roots(fs::read(&site.ca).unwrap()).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream = TlsConnector::from(tls.config().clone()).connect(name, stream).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(expected) {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.unwrap().unwrap();
        assert!(read > 0, "{request}{}", String::from_utf8_lossy(&answer));
    }
    stream
}
