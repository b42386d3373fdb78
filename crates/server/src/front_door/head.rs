//! The head of a connection's first request.

use std::io;

use chatcamp_transport::websocket::Upgrade;
use tokio::net::TcpStream;

use crate::endpoint;

/// Longest head, in bytes.
pub(super) const LIMIT: usize = chatcamp_protocol::limits::REQUEST_HEAD;
/// Headers beyond which a request is hyper's to judge.
const HEADERS: usize = 64;

/// What has been read of it.
#[derive(Debug)]
pub(super) enum Head {
    /// Not all.
    Partial,
    /// All.
    Complete(Asks),
}

/// What it asks for.
#[derive(Debug)]
pub(super) enum Asks {
    /// Certainly a WebSocket at the chat endpoint; the head has `length` bytes.
    Chat { upgrade: Upgrade, query: Option<String>, origin: Option<Vec<u8>>, length: usize },
    /// Anything else, wrong and doubtful requests included.
    Other,
}

/// Reads once what is there, behind what was `read` before.
///
/// The buffer stands on this function's stack, so that a connection that waits holds none.
pub(super) fn read(tcp: &TcpStream, read: &mut Vec<u8>) -> io::Result<Head> {
    let mut buffer = [0; 4096];
    match tcp.try_read(&mut buffer) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => read.extend_from_slice(&buffer[..n]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Head::Partial),
        Err(error) => return Err(error),
    }
    Ok(parse(read))
}

fn parse(read: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(read) {
        // What is too long is hyper's to refuse, as everything that is wrong.
        Ok(httparse::Status::Partial) if read.len() < LIMIT => Head::Partial,
        Ok(httparse::Status::Complete(length)) => {
            Head::Complete(chat(&request, length).unwrap_or(Asks::Other))
        }
        Ok(httparse::Status::Partial) | Err(_) => Head::Complete(Asks::Other),
    }
}

fn chat(request: &httparse::Request<'_, '_>, length: usize) -> Option<Asks> {
    let target = request.path?;
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if request.version != Some(1)
        || request.method != Some("GET")
        || path != endpoint::PATH
        || target.contains('#')
    {
        return None;
    }
    let mut origins = Vec::with_capacity(1);
    let mut hosts = 0;
    for header in request.headers.iter() {
        let is = |name| header.name.eq_ignore_ascii_case(name);
        // A body, or doubt whether there is one, is not for us to judge.
        if is("transfer-encoding") || is("content-length") || is("expect") {
            return None;
        }
        if is("origin") {
            origins.push(header.value);
        }
        hosts += usize::from(is("host"));
    }
    if origins.len() > 1 || hosts != 1 {
        return None;
    }
    let upgrade = Upgrade::from_headers(request.headers.iter().map(|h| (h.name, h.value))).ok()?;
    let origin = origins.pop().map(<[u8]>::to_vec);
    Some(Asks::Chat { upgrade, query: query.map(str::to_owned), origin, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /chat/2.0?app_id=a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    #[test]
    fn a_plain_upgrade_is_kept_with_what_follows_it() {
        for cut in 0..GOOD.len() {
            assert!(matches!(parse(&GOOD.as_bytes()[..cut]), Head::Partial), "cut at {cut}");
        }
        let piped = format!("{GOOD}more");
        let Head::Complete(Asks::Chat { query, length, .. }) = parse(piped.as_bytes()) else {
            panic!("kept")
        };
        assert_eq!((query.as_deref(), &piped[length..]), (Some("app_id=a"), "more"));
    }

    #[test]
    fn whatever_leaves_a_doubt_is_hypers() {
        for (from, to) in [
            ("GET ", "POST "),
            ("GET ", "get "),
            ("HTTP/1.1", "HTTP/1.0"),
            ("/chat/2.0", "/chat/2.0/"),
            ("/chat/2.0", "/chat/2%2e0"),
            ("/chat/2.0", "//chat/2.0"),
            ("/chat/2.0", "http://h/chat/2.0"),
            ("Host: h", "Host: h\r\nHost: i"),
            ("Host: h", "X: h"),
            ("Host: h", "Host: h\r\nTransfer-Encoding: chunked"),
            ("Host: h", "Host: h\r\nContent-Length: 0"),
            ("Host: h", "Host: h\r\nExpect: 100-continue"),
            ("Host: h", "Host: h\r\nOrigin: a\r\nOrigin: b"),
            ("Host: h", "Host: h\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
            ("Host: h", "Host : h"),
            ("websocket", "h2c"),
            ("13", "8"),
        ] {
            let request = GOOD.replacen(from, to, 1);
            assert!(matches!(parse(request.as_bytes()), Head::Complete(Asks::Other)), "{from} as {to}");
        }
    }

    #[test]
    fn a_head_without_end_is_not_read_for_ever() {
        let long = format!("GET /chat/2.0 HTTP/1.1\r\nX: {}", "x".repeat(LIMIT));
        assert!(matches!(parse(long.as_bytes()), Head::Complete(Asks::Other)));
    }
}
