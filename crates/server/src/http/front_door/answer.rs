//! Writing an answer.

use std::{io, io::Write as _, time::Duration};

use http::StatusCode;
use tokio::net::TcpStream;

use super::super::endpoint::Answer;

/// How long a client may take to read an answer, in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes the answer, in one piece if the client reads.
pub(super) async fn write(tcp: &TcpStream, answer: &Answer, keep_alive: bool) -> io::Result<()> {
    let bytes = encode(answer, keep_alive);
    let mut rest = &bytes[..];
    let writing = async {
        loop {
            match tcp.try_write(rest) {
                Ok(n) if n == rest.len() => return Ok(()),
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.writable().await?,
                Err(error) => return Err(error),
            }
        }
    };
    tokio::time::timeout(PATIENCE, writing).await?
}

/// The bytes of an answer.
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
