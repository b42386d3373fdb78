//! Request heads, read by ourselves: as much as is beyond doubt.

use std::io;

use chatcamp_transport::websocket::Upgrade;

use super::{
    super::endpoint::{self, Answer, Ask, Method, Wanted},
    socket::Socket,
};

/// Longest head, in bytes.
pub(super) const LIMIT: usize = chatcamp_protocol::limits::REQUEST_HEAD;
/// Headers beyond which a request is hyper's to judge.
const HEADERS: usize = 64;

/// A request for the chat endpoint whose form leaves no doubt.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) ask: Ask<'a>,
    /// What it becomes if it asks for an upgrade.
    pub(super) upgrade: Option<Result<Upgrade, Answer>>,
    /// Bytes of the head.
    pub(super) length: usize,
    /// Bytes of the body behind it.
    pub(super) body: usize,
    /// Whether another request may follow.
    pub(super) keep_alive: bool,
}

/// What has been read of a request.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// Not the whole head.
    Partial,
    /// A request for the chat endpoint.
    Chat(Box<Head<'a>>),
    /// Anything else, wrong and doubtful requests included.
    Other,
}

/// Reads once what is there, behind what was `read` before; an error when nothing more will come.
///
/// The buffer stands on this function's stack, so that a connection that waits holds none.
pub(super) fn read_some(socket: &impl Socket, read: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    match socket.try_read(&mut buffer) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => {
            read.extend_from_slice(&buffer[..n]);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// Looks at what was read of a request by `peer`.
pub(super) fn parse(read: &[u8], peer: std::net::SocketAddr) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(read) {
        // What is too long is hyper's to refuse, as everything that is wrong.
        Ok(httparse::Status::Partial) if read.len() < LIMIT => Parsed::Partial,
        Ok(httparse::Status::Complete(length)) => match chat(&request, length, peer) {
            Some(head) => Parsed::Chat(Box::new(head)),
            None => Parsed::Other,
        },
        Ok(httparse::Status::Partial) | Err(_) => Parsed::Other,
    }
}

/// The request, if it is for the chat endpoint, of HTTP/1.1, and in a form that nobody can read in two ways.
fn chat<'a>(
    request: &httparse::Request<'_, 'a>,
    length: usize,
    peer: std::net::SocketAddr,
) -> Option<Head<'a>> {
    let target = request.path?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let method = Method::new(request.method?);
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"#\"<>".contains(&b);
    if method == Method::Other || path != endpoint::PATH || !target.bytes().all(is_plain) || length > LIMIT {
        return None;
    }
    // A proxy that speaks HTTP/1.0 to servers makes a connection for each request.
    let is_old = request.version != Some(1);
    let (mut hosts, mut body, mut keep_alive) = (0, None, !is_old);
    for header in request.headers.iter() {
        let is = |name| header.name.eq_ignore_ascii_case(name);
        if is("transfer-encoding") || is("expect") {
            return None;
        }
        if is("content-length") {
            let length =
                std::str::from_utf8(header.value).ok().filter(|l| l.bytes().all(|b| b.is_ascii_digit()))?;
            let length = length.parse().ok()?;
            if body.replace(length).is_some() {
                return None;
            }
        }
        if is("connection") {
            keep_alive &= !header.value.to_ascii_lowercase().windows(5).any(|w| w == b"close");
        }
        if is("host") {
            hosts += 1;
            if !is_host(header.value) {
                return None;
            }
        }
    }
    let pairs = || request.headers.iter().map(|h| (h.name, h.value));
    let ask = Ask { method, target, headers: Wanted::from_headers(pairs()), peer: Some(peer) };
    let upgrade = if is_old { None } else { ask.upgrade(pairs()) };
    // A body behind an upgrade is a doubt, and a POST says how long it is.
    let fits = match method {
        Method::Post => body.is_some(),
        _ => upgrade.is_none() || body.is_none(),
    };
    let names_host = hosts == 1 || (hosts == 0 && is_old);
    (names_host && fits).then_some(Head { ask, upgrade, length, body: body.unwrap_or(0), keep_alive })
}

/// Whether the value of a `Host` header has only bytes that a host and its port may have (RFC 9112, section 3.2).
pub(super) fn is_host(value: &[u8]) -> bool {
    value.iter().all(|&b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "GET /chat/2.0?app_id=a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const POST: &str =
        "POST /chat/2.0 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n";

    fn peer() -> std::net::SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    #[test]
    fn an_upgrade_is_kept_with_what_follows_it() {
        for cut in 0..UPGRADE.len() {
            assert!(matches!(parse(&UPGRADE.as_bytes()[..cut], peer()), Parsed::Partial), "cut at {cut}");
        }
        let piped = format!("{UPGRADE}more");
        let Parsed::Chat(head) = parse(piped.as_bytes(), peer()) else { panic!("kept") };
        assert!(matches!(head.upgrade, Some(Ok(_))));
        assert_eq!((head.ask.target, &piped[head.length..]), ("/chat/2.0?app_id=a", "more"));
    }

    #[test]
    fn a_poll_is_kept_and_says_how_long_its_body_is() {
        let Parsed::Chat(head) = parse(POST.as_bytes(), peer()) else { panic!("kept") };
        assert!(head.upgrade.is_none());
        assert_eq!((head.ask.method, head.body, head.keep_alive), (Method::Post, 2, true));
        let last = POST.replace("Host: h", "Host: h\r\nConnection: Close");
        let Parsed::Chat(head) = parse(last.as_bytes(), peer()) else { panic!("kept") };
        assert!(!head.keep_alive);
    }

    #[test]
    fn a_poll_of_an_old_proxy_is_kept_and_its_upgrade_is_none() {
        for request in [UPGRADE, POST] {
            let old = request.replace("HTTP/1.1", "HTTP/1.0").replace("Host: h\r\n", "");
            let Parsed::Chat(head) = parse(old.as_bytes(), peer()) else { panic!("kept") };
            assert!(head.upgrade.is_none() && !head.keep_alive);
        }
    }

    #[test]
    fn whatever_leaves_a_doubt_is_hypers() {
        for (request, from, to) in [
            (UPGRADE, "GET ", "PUT "),
            (UPGRADE, "GET ", "get "),
            (UPGRADE, "app_id=a", "app_id=\"a\""),
            (UPGRADE, "app_id=a", "app_id=ä"),
            (UPGRADE, "/chat/2.0", "/chat/2.0/"),
            (UPGRADE, "/chat/2.0", "/chat/2%2e0"),
            (UPGRADE, "/chat/2.0", "//chat/2.0"),
            (UPGRADE, "/chat/2.0", "http://h/chat/2.0"),
            (UPGRADE, "Host: h", "Host: h\r\nHost: i"),
            (UPGRADE, "Host: h", "X: h"),
            (UPGRADE, "Host: h", "Host : h"),
            (UPGRADE, "Host: h", "Host: h, i"),
            (UPGRADE, "Host: h", "Host: user@h"),
            (UPGRADE, "HTTP/1.1\r\nHost: h", "HTTP/1.0\r\nHost: h\r\nHost: i"),
            (UPGRADE, "Host: h", "Host: h\r\nContent-Length: 0"),
            (UPGRADE, "Host: h", "Host: h\r\nExpect: 100-continue"),
            (POST, "Host: h", "Host: h\r\nTransfer-Encoding: chunked"),
            (POST, "Host: h", "Host: h\r\nContent-Length: 2"),
            (POST, "Content-Length: 2", "Content-Length: +2"),
            (POST, "Content-Length: 2", "Content-Length: 2, 2"),
            (POST, "Content-Length: 2", "Content-Length: 99999999999999999999999"),
            (POST, "Content-Length: 2", "X: 2"),
        ] {
            let request = request.replacen(from, to, 1);
            assert!(matches!(parse(request.as_bytes(), peer()), Parsed::Other), "{from} as {to}");
        }
    }

    #[test]
    fn a_head_without_end_is_not_read_for_ever() {
        let long = format!("GET /chat/2.0 HTTP/1.1\r\nX: {}", "x".repeat(LIMIT));
        assert!(matches!(parse(long.as_bytes(), peer()), Parsed::Other));
    }
}
