//! `/chat/2.0` without any HTTP framework: head and body in; answer, upgrade or held poll out.
//!
//! Wire document, sections 0 and 2. Two adapters speak HTTP for it: the front door and the `tower` service.

mod answer;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use chatcamp_auth::server::names_credentials;
use chatcamp_transport::{
    Facts,
    long_poll::{self, Held, Opens, Reply},
    websocket::{Upgrade, UpgradeError},
};

pub(crate) use self::answer::{Answer, Cors};
use crate::{Server, server::Shared};
/// Largest body of a POST, in bytes: several messages of a native client in one.
pub(crate) use chatcamp_transport::long_poll::BODY_LIMIT;

/// Where chat is served.
pub(crate) const PATH: &str = "/chat/2.0";
/// Where the script is that lets pages of the hosted service use this server.
pub(crate) const COMPAT: &str = "/compat.js";

/// A request at [`PATH`].
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Path and query, as they stand in the request.
    pub(crate) target: &'a str,
    pub(crate) headers: Wanted<'a>,
    pub(crate) peer: Option<SocketAddr>,
}

/// The methods that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Options,
    Other,
}

/// The headers that count, besides those of an upgrade.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// `iflychat-token`, which ties polls and posts into one connection.
    id: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    /// One of them stands there twice.
    twice: bool,
}

/// What becomes of a request for a poll.
#[derive(Debug)]
pub(crate) enum Becomes {
    /// This answer.
    Answer(Answer),
    /// The answer that this resolves to, with [`Cors::answer`].
    Held(Held, Cors),
}

impl Method {
    pub(crate) fn new(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "POST" => Self::Post,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

impl<'a> Wanted<'a> {
    pub(crate) fn from_headers(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut wanted = Self::default();
        for (name, value) in headers {
            let slot = if name.eq_ignore_ascii_case("iflychat-token") {
                &mut wanted.id
            } else if name.eq_ignore_ascii_case("origin") {
                &mut wanted.origin
            } else if name.eq_ignore_ascii_case("content-type") {
                &mut wanted.content_type
            } else {
                continue;
            };
            wanted.twice |= slot.replace(value).is_some();
        }
        wanted
    }

    /// A body is JSON, whatever its character set is said to be.
    fn is_json(&self) -> bool {
        let Some(value) = self.content_type else { return false };
        let kind = value.split(|&b| b == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    }
}

impl Ask<'_> {
    /// What is known of a connection that this request opens.
    pub(crate) fn facts(&self, transport: &'static str) -> Facts {
        Facts {
            transport,
            peer: self.peer,
            query: self.query().map(str::to_owned),
            origin: self.headers.origin.and_then(|o| std::str::from_utf8(o).ok()).map(str::to_owned),
        }
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn cors(&self) -> Cors {
        Cors::new(if self.headers.twice { None } else { self.headers.origin })
    }

    /// Whether a GET with these headers becomes a WebSocket; nothing if it does not ask to.
    pub(crate) fn upgrade<'h>(
        &self,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Option<Result<Upgrade, Answer>> {
        if self.method != Method::Get {
            return None;
        }
        match Upgrade::from_headers(headers) {
            Ok(_) if self.headers.twice => Some(Err(self.cors().failure(400, "HEADER_REPEATED", TWICE))),
            Ok(upgrade) => Some(Ok(upgrade)),
            Err(UpgradeError::NotWebSocket) => None,
            Err(why) => Some(Err(self.cors().upgrade_failure(why))),
        }
    }
}

impl Ask<'_> {
    /// The answer to a body over [`BODY_LIMIT`].
    pub(crate) fn too_large(&self) -> Answer {
        self.cors().failure(413, "TOO_LARGE", "a body has at most 512 KiB, a message 64 KiB")
    }

    /// The answer to a body that did not come whole.
    pub(crate) fn cut_short(&self) -> Answer {
        self.cors().failure(400, "CUT_SHORT", "the body did not come whole")
    }
}

const TWICE: &str = "a header stands there twice";

impl Shared {
    /// Answers a request that is no upgrade; a poll connection that it opens is served by a task of its own.
    pub(crate) fn poll(self: &Arc<Self>, ask: &Ask<'_>, body: Bytes) -> Becomes {
        let cors = ask.cors();
        let method = match ask.method {
            Method::Get => long_poll::Method::Get,
            Method::Post => long_poll::Method::Post,
            Method::Options => return Becomes::Answer(cors.preflight()),
            Method::Other => return Becomes::Answer(cors.method_not_allowed()),
        };
        let refuse = |status, code, message| Becomes::Answer(cors.failure(status, code, message));
        if ask.headers.twice {
            return refuse(400, "HEADER_REPEATED", TWICE);
        }
        let Some(id) = ask.headers.id.and_then(|id| std::str::from_utf8(id).ok()) else {
            return refuse(
                426,
                "TRANSPORT_REQUIRED",
                "a chat connection is a WebSocket, or polls with the header iflychat-token",
            );
        };
        if ask.method == Method::Post && !ask.headers.is_json() {
            return refuse(415, "CONTENT_TYPE", "a message is application/json");
        }
        let opens = if names_credentials(ask.query()) { Opens::Get } else { Opens::Post };
        let request =
            long_poll::Request { method, id, target: ask.target, opens, body, facts: ask.facts("long-poll") };
        match self.hub.request(request) {
            Reply::Now(answer) => Becomes::Answer(cors.answer(answer)),
            Reply::Held(held) => Becomes::Held(held, cors),
            Reply::Opened(connection, held) => {
                tokio::spawn(Server { shared: self.clone() }.serve(connection));
                Becomes::Held(held, cors)
            }
        }
    }
}
