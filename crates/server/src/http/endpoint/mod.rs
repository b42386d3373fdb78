//! `/chat/2.0` without any HTTP framework: head and body in; answer, upgrade or held poll out.
//!
//! Wire document, sections 0 and 2. Two adapters speak HTTP for it: the front door and the `tower` service.

mod admitted;
mod answer;
mod refused;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use chatcamp_auth::server::names_credentials;
use chatcamp_protocol::limits;
use chatcamp_transport::{
    ConnectionInfo,
    long_poll::{self, Held, Opens, Reply},
    websocket::{Upgrade, UpgradeError},
};

pub(crate) use self::{
    admitted::{AdmittedPolls, PollId},
    answer::{Answer, Cors},
    refused::{bad_host, refused_head},
};
use super::Http;
use crate::{bodies::BodyRoom, network::network};
/// Largest body of a POST, in bytes: several messages of a native client in one.
pub(crate) use chatcamp_transport::long_poll::BODY_LIMIT;

/// Where chat is served.
pub(crate) const PATH: &str = "/chat/2.0";

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
    /// The origin does, so that it names nobody.
    origin_twice: bool,
}

/// What becomes of a request for a poll.
#[derive(Debug)]
pub(crate) enum Becomes {
    /// This answer.
    Answer(Answer),
    /// The answer that `held` resolves to, with [`Cors::answer`].
    Held {
        held: Held,
        cors: Cors,
        /// Whether it waits for news, so that an answer without any is as good.
        is_news: bool,
    },
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
            let twice = slot.replace(value).is_some();
            wanted.twice |= twice;
            wanted.origin_twice |= twice && name.eq_ignore_ascii_case("origin");
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
    /// Returns what is known about a connection that this request opens.
    pub(crate) fn info(&self, transport: &'static str) -> ConnectionInfo {
        let mut info = ConnectionInfo::new(transport);
        info.peer = self.peer;
        info.query = self.query().map(str::to_owned);
        info.origin =
            self.headers.origin.and_then(|origin| std::str::from_utf8(origin).ok()).map(str::to_owned);
        info
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The id, empty if it is none that can be read.
    fn id(&self) -> Option<&str> {
        self.headers.id.map(|id| std::str::from_utf8(id).unwrap_or_default())
    }

    fn cors(&self) -> Cors {
        Cors::new(if self.headers.origin_twice { None } else { self.headers.origin })
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
        self.cors().failure(
            413,
            "TOO_LARGE",
            "a body has at most 512 KiB, a message 64 KiB; before the user is authenticated 16 KiB and 4 KiB",
        )
    }

    /// The answer to an upgrade that has a body.
    pub(crate) fn body_behind_upgrade(&self) -> Answer {
        self.cors().failure(400, "BODY_BEHIND_UPGRADE", "a request for a WebSocket has no body")
    }

    /// The answer to a request that does not name its host once.
    pub(crate) fn bad_host(&self) -> Answer {
        let (code, message) = refused::HOST;
        self.cors().failure(400, code, message)
    }

    /// The answer to a body that did not come whole.
    pub(crate) fn cut_short(&self) -> Answer {
        self.cors().failure(400, "CUT_SHORT", "the body did not come whole")
    }
}

const TWICE: &str = "a header stands there twice";

/// Largest body of a POST before its connection is authenticated, in bytes: one message, whose characters JSON may write with
/// three times their bytes.
const STRANGER_BODY: usize = 4 * limits::HANDSHAKE_MESSAGE;

impl Http {
    /// The answer to a request that its head alone decides, before anything of a body is read.
    ///
    /// `length` is the body's, as far as it is known.
    pub(crate) fn answer_head(&self, ask: &Ask<'_>, length: usize) -> Option<Answer> {
        let cors = ask.cors();
        match ask.method {
            Method::Options => return Some(cors.preflight()),
            Method::Other => return Some(cors.method_not_allowed()),
            Method::Get | Method::Post => {}
        }
        let refuse = |status, code, message| Some(cors.failure(status, code, message));
        if ask.headers.twice {
            return refuse(400, "HEADER_REPEATED", TWICE);
        }
        let Some(id) = ask.id() else {
            return refuse(
                426,
                "TRANSPORT_REQUIRED",
                "a chat connection is a WebSocket, or polls with the header iflychat-token",
            );
        };
        if ask.method == Method::Post && !ask.headers.is_json() {
            return refuse(415, "CONTENT_TYPE", "a message is application/json");
        }
        let is_stranger = || self.hub.message_limit(id) < limits::MESSAGE;
        if length > BODY_LIMIT || (length > STRANGER_BODY && is_stranger()) {
            return Some(ask.too_large());
        }
        None
    }

    /// Room for a body of this length, as long as it is held; an answer when all bodies together are too large now.
    pub(crate) fn make_room(&self, ask: &Ask<'_>, length: usize) -> Result<BodyRoom<IpAddr>, Answer> {
        let network = ask.peer.and_then(|peer| network(peer.ip()));
        self.bodies
            .reserve(network, length)
            .ok_or_else(|| ask.cors().failure(503, "OVERLOADED", "too much is being sent to this server now"))
    }

    /// Answers a request that its head does not decide; a poll connection that it opens is served by a task of its own.
    pub(crate) fn poll(&self, ask: &Ask<'_>, body: Bytes) -> Becomes {
        if let Some(answer) = self.answer_head(ask, body.len()) {
            return Becomes::Answer(answer);
        }
        let cors = ask.cors();
        let method = if ask.method == Method::Get { long_poll::Method::Get } else { long_poll::Method::Post };
        let opens = if names_credentials(ask.query()) { Opens::Get } else { Opens::Post };
        let id = ask.id().unwrap_or_default();
        let request =
            long_poll::Request { method, id, target: ask.target, opens, body, info: ask.info("long-poll") };
        match self.hub.request(request) {
            Reply::Now(answer) => Becomes::Answer(cors.answer(answer)),
            Reply::Held(held) => Becomes::Held { held, cors, is_news: method == long_poll::Method::Get },
            Reply::Opened(connection, held) => {
                let poll = self.admitted_polls.id(ask);
                let polls = self.admitted_polls.clone();
                let admitted = move || poll.map(|poll| polls.insert(poll));
                self.runtime.spawn(Box::pin(self.admission.serve_while(connection, admitted)));
                Becomes::Held { held, cors, is_news: false }
            }
        }
    }
}
