//! The preface of the PROXY protocol, version 2, in which a layer-4 balancer names the client of a connection.
//!
//! Source: "The PROXY protocol, Versions 1 & 2", haproxy.org, section 2.2.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::super::front_door::Socket;

/// The longest preface, in bytes.
const LIMIT: usize = 2048;
/// The length of the part that every preface has, in bytes.
const HEADER: usize = 16;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The beginning of version 1, which is text.
const VERSION_1: &[u8] = b"PROXY ";

/// Why a connection has no usable preface.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum PrefaceError {
    #[error(
        "the connection does not begin with a preface; let the balancer send the PROXY protocol, version 2"
    )]
    Missing,
    #[error("the preface is of version 1; let the balancer send version 2, such as HAProxy's send-proxy-v2")]
    Version1,
    #[error("the preface is invalid: {0}")]
    Invalid(&'static str),
    #[error("the connection ended within the preface")]
    Lost(#[from] io::Error),
}

/// Reads the preface and nothing after it. Returns the address of the client; `None` if the preface names none, because the
/// balancer itself has connected, as for a health check.
///
/// Additional fields of the preface are ignored.
pub(in crate::http) async fn read(socket: &impl Socket) -> Result<Option<SocketAddr>, PrefaceError> {
    let mut header = [0; HEADER];
    let mut length = 0;
    while length < HEADER {
        length += read_some(socket, &mut header[length..]).await?;
        check_start(&header[..length])?;
    }
    let mut rest = vec![0; rest_length(&header)?];
    let mut length = 0;
    while length < rest.len() {
        length += read_some(socket, &mut rest[length..]).await?;
    }
    client(&header, &rest)
}

async fn read_some(socket: &impl Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        poll_fn(|cx| socket.poll_read_ready(cx)).await?;
        match socket.try_read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Checks the bytes read so far, so that a peer without the protocol is closed at once.
fn check_start(read: &[u8]) -> Result<(), PrefaceError> {
    let begins = |with: &[u8]| read.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        return Ok(());
    }
    if !begins(VERSION_1) {
        return Err(PrefaceError::Missing);
    }
    if read.len() < VERSION_1.len() { Ok(()) } else { Err(PrefaceError::Version1) }
}

/// Returns the number of bytes that follow the header.
fn rest_length(header: &[u8; HEADER]) -> Result<usize, PrefaceError> {
    let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if length > LIMIT - HEADER {
        return Err(PrefaceError::Invalid("it has more than 2 KiB"));
    }
    Ok(length)
}

fn client(header: &[u8; HEADER], rest: &[u8]) -> Result<Option<SocketAddr>, PrefaceError> {
    let (command, family) = (header[12], header[13]);
    match command {
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(PrefaceError::Invalid("its version or command is unknown")),
    }
    match family {
        0x11 => {
            tcp_over_ipv4(rest).map(Some).ok_or(PrefaceError::Invalid("its IPv4 addresses are cut short"))
        }
        0x21 => {
            tcp_over_ipv6(rest).map(Some).ok_or(PrefaceError::Invalid("its IPv6 addresses are cut short"))
        }
        // Unspecified, datagrams, Unix sockets: no client of a TCP port.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Ok(None),
        _ => Err(PrefaceError::Invalid("its address family is unknown")),
    }
}

/// Reads the source address and port; those of the destination stand between them.
fn tcp_over_ipv4(rest: &[u8]) -> Option<SocketAddr> {
    let rest = rest.first_chunk::<12>()?;
    let ip = rest.first_chunk::<4>()?;
    Some(SocketAddr::new(Ipv4Addr::from(*ip).into(), u16::from_be_bytes([rest[8], rest[9]])))
}

fn tcp_over_ipv6(rest: &[u8]) -> Option<SocketAddr> {
    let rest = rest.first_chunk::<36>()?;
    let ip = rest.first_chunk::<16>()?;
    Some(SocketAddr::new(Ipv6Addr::from(*ip).into(), u16::from_be_bytes([rest[32], rest[33]])))
}

#[cfg(test)]
mod tests;
