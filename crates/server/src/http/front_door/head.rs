//! Parses the heads of unambiguous requests for the chat endpoint; hyper reads all others.

use std::io;

use chatcamp_transport::websocket::Upgrade;

use super::{
    super::{
        PublicUrl,
        endpoint::{self, Answer, ChatHeaders, ChatRequest, Method},
        proxies::Hop,
    },
    socket::Socket,
};

/// The longest head, in bytes.
pub(super) const LIMIT: usize = chatcamp_protocol::limits::REQUEST_HEAD;
/// The most headers that are parsed here; hyper reads requests with more.
const HEADERS: usize = 64;

/// The head of an unambiguous request for the chat endpoint.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) chat: ChatRequest<'a>,
    /// The upgrade to perform, or the refusal of it; `None` if the request does not ask for an upgrade.
    pub(super) upgrade: Option<Result<Upgrade, Answer>>,
    /// The length of the head, in bytes.
    pub(super) length: usize,
    /// The length of the body that follows, in bytes.
    pub(super) body: usize,
    /// Whether another request may follow.
    pub(super) keep_alive: bool,
}

/// The result of parsing what was read of a request.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// The head is incomplete.
    Partial,
    /// An unambiguous request for the chat endpoint.
    Chat(Box<Head<'a>>),
    /// Anything else, including invalid and ambiguous requests.
    Other,
}

/// Reads once and appends to `read`. Reads nothing if nothing has arrived.
///
/// The buffer is on this function's stack, so that a waiting connection owns none.
///
/// # Errors
/// The connection has ended ([`io::ErrorKind::UnexpectedEof`]) or failed.
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

/// Parses what was read of a request that came over `hop`. The target may begin with the path of `public_url`.
pub(super) fn parse<'a>(read: &'a [u8], hop: Hop<'_>, public_url: Option<&PublicUrl>) -> Parsed<'a> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(read) {
        // Hyper refuses heads that are too long or invalid.
        Ok(httparse::Status::Partial) if read.len() < LIMIT => Parsed::Partial,
        Ok(httparse::Status::Complete(length)) => match chat(&request, length, hop, public_url) {
            Some(head) => Parsed::Chat(Box::new(head)),
            None => Parsed::Other,
        },
        Ok(httparse::Status::Partial) | Err(_) => Parsed::Other,
    }
}

/// Returns the head if the request is for the chat endpoint and no HTTP implementation could read it differently.
fn chat<'a>(
    request: &httparse::Request<'_, 'a>,
    length: usize,
    hop: Hop<'_>,
    public_url: Option<&PublicUrl>,
) -> Option<Head<'a>> {
    let path_of = |target: &'a str| target.split_once('?').map_or(target, |(path, _)| path);
    let target = request.path?;
    let below = public_url.and_then(|url| url.remainder(target));
    let target = below.filter(|target| path_of(target) == endpoint::PATH).unwrap_or(target);
    let path = path_of(target);
    let method = Method::new(request.method?);
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"#\"<>".contains(&b);
    if method == Method::Other || path != endpoint::PATH || !target.bytes().all(is_plain) || length > LIMIT {
        return None;
    }
    // A proxy that speaks HTTP/1.0 to servers opens a connection for each request.
    let is_old = request.version != Some(1);
    let Framing { hosts, body, closes } = Framing::of(request.headers)?;
    let pairs = || request.headers.iter().map(|h| (h.name, h.value));
    let client = hop.client(pairs());
    let chat = ChatRequest {
        method,
        target,
        headers: ChatHeaders::from_headers(pairs()),
        peer: Some(client.address),
        is_encrypted: client.encrypted,
    };
    let upgrade = if is_old { None } else { chat.upgrade(pairs()) };
    // An upgrade must not have a body, and a POST must state the length of its body.
    let fits = match method {
        Method::Post => body.is_some(),
        _ => upgrade.is_none() || body.is_none(),
    };
    let names_host = hosts == 1 || (hosts == 0 && is_old);
    let keep_alive = !is_old && !closes;
    (names_host && fits).then_some(Head { chat, upgrade, length, body: body.unwrap_or(0), keep_alive })
}

/// What the headers say about the length of the request, its host and the connection.
struct Framing {
    /// The number of `Host` headers.
    hosts: usize,
    /// The length of the body, in bytes; `None` if it is not stated.
    body: Option<usize>,
    /// Whether the client asks to close the connection after the answer.
    closes: bool,
}

impl Framing {
    /// Returns `None` if an HTTP implementation could read the headers differently.
    fn of(headers: &[httparse::Header<'_>]) -> Option<Self> {
        let mut framing = Self { hosts: 0, body: None, closes: false };
        for header in headers {
            let is = |name| header.name.eq_ignore_ascii_case(name);
            if is("transfer-encoding") || is("expect") {
                return None;
            }
            if is("content-length") {
                let digits = std::str::from_utf8(header.value).ok()?;
                let is_number = digits.bytes().all(|b| b.is_ascii_digit());
                let length = digits.parse().ok().filter(|_| is_number)?;
                if framing.body.replace(length).is_some() {
                    return None;
                }
            }
            if is("connection") {
                framing.closes |= header.value.to_ascii_lowercase().windows(5).any(|w| w == b"close");
            }
            if is("host") {
                framing.hosts += 1;
                if !is_host(header.value) {
                    return None;
                }
            }
        }
        Some(framing)
    }
}

/// Returns whether the value of a `Host` header has only bytes that a host and its port may have (RFC 9112, section 3.2).
pub(super) fn is_host(value: &[u8]) -> bool {
    value.iter().all(|&b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Proxies, http::proxies::Peer};

    const UPGRADE: &str = "GET /chat/2.0?app_id=a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const POST: &str =
        "POST /chat/2.0 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n";

    fn hop() -> Hop<'static> {
        Hop::direct(([127, 0, 0, 1], 1).into(), false)
    }

    #[test]
    fn an_upgrade_is_parsed_and_the_bytes_after_it_remain() {
        for cut in 0..UPGRADE.len() {
            assert!(
                matches!(parse(&UPGRADE.as_bytes()[..cut], hop(), None), Parsed::Partial),
                "cut at {cut}"
            );
        }
        let pipelined = format!("{UPGRADE}more");
        let Parsed::Chat(head) = parse(pipelined.as_bytes(), hop(), None) else {
            panic!("not parsed as a chat request")
        };
        assert!(matches!(head.upgrade, Some(Ok(_))));
        assert_eq!((head.chat.target, &pipelined[head.length..]), ("/chat/2.0?app_id=a", "more"));
    }

    #[test]
    fn a_poll_is_parsed_with_the_length_of_its_body() {
        let Parsed::Chat(head) = parse(POST.as_bytes(), hop(), None) else {
            panic!("not parsed as a chat request")
        };
        assert!(head.upgrade.is_none());
        assert_eq!((head.chat.method, head.body, head.keep_alive), (Method::Post, 2, true));
        let last = POST.replace("Host: h", "Host: h\r\nConnection: Close");
        let Parsed::Chat(head) = parse(last.as_bytes(), hop(), None) else {
            panic!("not parsed as a chat request")
        };
        assert!(!head.keep_alive);
    }

    #[test]
    fn a_request_of_http_1_0_is_parsed_and_never_upgraded() {
        for request in [UPGRADE, POST] {
            let old = request.replace("HTTP/1.1", "HTTP/1.0").replace("Host: h\r\n", "");
            let Parsed::Chat(head) = parse(old.as_bytes(), hop(), None) else {
                panic!("not parsed as a chat request")
            };
            assert!(head.upgrade.is_none() && !head.keep_alive);
        }
    }

    #[test]
    fn ambiguous_requests_are_left_to_hyper() {
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
            assert!(matches!(parse(request.as_bytes(), hop(), None), Parsed::Other), "{from} as {to}");
        }
    }

    #[test]
    fn the_client_is_the_one_that_a_trusted_proxy_names() {
        let proxies = Proxies::trusting(["10.0.0.0/8".parse().unwrap()]);
        let request =
            POST.replace("Host: h", "Host: h\r\nx-forwarded-for: 198.51.100.7\r\nX-Forwarded-Proto: https");
        for (peer, expected) in [
            (([10, 0, 0, 1], 1).into(), (([198, 51, 100, 7], 0).into(), true)),
            (([192, 0, 2, 1], 1).into(), (([192, 0, 2, 1], 1).into(), false)),
        ] {
            let peer = Peer::new(peer, &proxies);
            let Parsed::Chat(head) = parse(request.as_bytes(), peer.hop(&proxies, false), None) else {
                panic!("not parsed as a chat request")
            };
            assert_eq!((head.chat.peer.unwrap(), head.chat.is_encrypted), expected);
            assert_eq!(head.chat.info("websocket").encrypted, expected.1);
        }
    }

    #[test]
    fn a_head_over_the_limit_is_not_read_further() {
        let long = format!("GET /chat/2.0 HTTP/1.1\r\nX: {}", "x".repeat(LIMIT));
        assert!(matches!(parse(long.as_bytes(), hop(), None), Parsed::Other));
    }
}
