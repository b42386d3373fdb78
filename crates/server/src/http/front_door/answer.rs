//! Encodes and writes an answer of the chat endpoint.

use std::{
    future::{poll_fn, ready},
    io,
    io::{IoSlice, Write as _},
    net::SocketAddr,
    pin::pin,
    time::Duration,
};

use http::StatusCode;
use tokio::time::timeout;

use super::{
    super::{
        Http,
        endpoint::{Answer, PollId},
    },
    socket::Socket,
};
use crate::admission::PendingKind;

/// How long a client may take to read a whole answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes the answer, at once if the socket has room for it. Otherwise the connection is pending until the client has read the answer,
/// unless `poll`, the long-poll connection that the request names, has a session.
///
/// # Errors
/// The socket fails; the client does not read the answer in time; or it does not read it at once, and the memory for answers
/// that wait is used up or the connection is evicted.
pub(super) async fn write(
    http: &Http,
    socket: &impl Socket,
    client: SocketAddr,
    poll: Option<PollId>,
    answer: &Answer,
    keep_alive: bool,
) -> io::Result<()> {
    let bytes = encode(answer, keep_alive);
    let mut writing = pin!(timeout(WRITE_TIMEOUT, write_all(socket, &bytes)));
    tokio::select! {
        biased;
        written = &mut writing => return written?,
        () = ready(()) => {}
    }
    let held = bytes.len() + answer.body.len();
    let room = http.bodies.reserve(http.proxies.network(client.ip()), held);
    let _room = room.ok_or(io::ErrorKind::OutOfMemory)?;
    let pending = &http.admission.pending;
    let guard = if poll.is_some_and(|poll| http.admitted_polls.contains(poll)) {
        pending.enter_authenticated(Some(client.ip()))
    } else {
        pending.enter(Some(client.ip()), PendingKind::Idle)
    };
    tokio::select! {
        biased;
        written = writing => written?,
        () = guard.evicted() => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn write_all(socket: &impl Socket, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match socket.try_write(&[IoSlice::new(rest)]) {
            Ok(n) => rest = &rest[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|cx| socket.poll_write_ready(cx)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    poll_fn(|cx| socket.poll_flushed(cx)).await
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
