//! Encodes and writes an answer of the chat endpoint.

use std::{
    future::poll_fn,
    io,
    io::{IoSlice, Write as _},
    net::SocketAddr,
    time::Duration,
};

use http::StatusCode;

use super::{
    super::{Http, endpoint::Answer},
    socket::Socket,
};

/// How long a client may take to read a whole answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes the answer, at once if the socket has room for it.
///
/// # Errors
/// The socket fails; the client does not read the answer in time; or it does not read it at once, and the memory for answers
/// that wait is used up.
pub(super) async fn write(
    http: &Http,
    socket: &impl Socket,
    client: SocketAddr,
    answer: &Answer,
    keep_alive: bool,
) -> io::Result<()> {
    let bytes = encode(answer, keep_alive);
    let mut rest = &bytes[..];
    let mut room = None;
    let writing = async {
        loop {
            match socket.try_write(&[IoSlice::new(rest)]) {
                Ok(n) if n == rest.len() => return poll_fn(|cx| socket.poll_flushed(cx)).await,
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if room.is_none() {
                        let held = bytes.len() + answer.body.len();
                        let reserved = http.bodies.reserve(http.proxies.network(client.ip()), held);
                        room = Some(reserved.ok_or(io::ErrorKind::OutOfMemory)?);
                    }
                    poll_fn(|cx| socket.poll_write_ready(cx)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(WRITE_TIMEOUT, writing).await?
}

/// Encodes an answer as HTTP/1.1.
pub(super) fn encode(answer: &Answer, keep_alive: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512 + answer.body.len());
    let status = StatusCode::from_u16(answer.status).expect("answers have a valid status");
    let reason = status.canonical_reason().unwrap_or("");
    let line = |bytes: &mut Vec<u8>, name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    };
    write!(bytes, "HTTP/1.1 {} {reason}\r\n", answer.status).expect("writing to memory does not fail");
    answer.headers(|name, value| line(&mut bytes, name, value));
    if answer.status != 204 {
        line(&mut bytes, "content-length", answer.body.len().to_string().as_bytes());
    }
    if !keep_alive {
        line(&mut bytes, "connection", b"close");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&answer.body);
    bytes
}
