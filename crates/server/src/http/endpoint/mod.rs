//! `/chat/2.0` without an HTTP framework: maps the head and body of a request to an answer, an upgrade or a held poll.
//!
//! See `docs/PROTOCOL.md`, "Transports". The front door and the `tower` service read and write HTTP for it.

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
use crate::bodies::BodyRoom;
/// The largest body of a POST, in bytes. A native client sends several messages in one POST.
use chatcamp_transport::long_poll::BODY_LIMIT;

/// The path of the chat endpoint.
pub(crate) const PATH: &str = "/chat/2.0";

/// A request at [`PATH`].
#[derive(Debug)]
pub(crate) struct ChatRequest<'a> {
    pub(crate) method: Method,
    /// Path and query, unchanged.
    pub(crate) target: &'a str,
    pub(crate) headers: ChatHeaders<'a>,
    /// The address of the client, if it is known.
    pub(crate) peer: Option<SocketAddr>,
    /// Whether the client's connection is encrypted, by this process or by a trusted proxy.
    pub(crate) is_encrypted: bool,
}

/// The methods that the chat endpoint distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Options,
    Other,
}

/// The headers that the chat endpoint reads, besides those of an upgrade.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ChatHeaders<'a> {
    /// `iflychat-token`: the id of the long-poll connection that a GET or POST belongs to.
    id: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    /// Whether one of these headers is repeated.
    is_repeated: bool,
    /// Whether `Origin` is repeated, so that no origin can be granted access.
    is_origin_repeated: bool,
}

/// The outcome of a request of a long-poll connection.
#[derive(Debug)]
pub(crate) enum PollOutcome {
    /// Send this answer.
    Answer(Answer),
    /// Send the answer that `held` resolves to, passed through [`Cors::answer`].
    Held {
        held: Held,
        cors: Cors,
        /// Whether the poll waits for messages, so that an answer without messages is valid too.
        waits_for_messages: bool,
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

impl<'a> ChatHeaders<'a> {
    pub(crate) fn from_headers(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let slot = if name.eq_ignore_ascii_case("iflychat-token") {
                &mut found.id
            } else if name.eq_ignore_ascii_case("origin") {
                &mut found.origin
            } else if name.eq_ignore_ascii_case("content-type") {
                &mut found.content_type
            } else {
                continue;
            };
            let is_repeated = slot.replace(value).is_some();
            found.is_repeated |= is_repeated;
            found.is_origin_repeated |= is_repeated && name.eq_ignore_ascii_case("origin");
        }
        found
    }

    /// Returns whether the content type is JSON, with any parameters.
    fn is_json(&self) -> bool {
        let Some(value) = self.content_type else { return false };
        let kind = value.split(|&b| b == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    }
}

impl ChatRequest<'_> {
    /// Returns what is known about a connection that this request opens.
    pub(crate) fn info(&self, transport: &'static str) -> ConnectionInfo {
        let mut info = ConnectionInfo::new(transport);
        info.peer = self.peer;
        info.encrypted = self.is_encrypted;
        info.query = self.query().map(str::to_owned);
        info.origin = self.headers.origin.map(|origin| String::from_utf8_lossy(origin).into_owned());
        info
    }

    fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Returns the id, empty if it is not UTF-8. Returns `None` if the header is missing.
    pub(crate) fn id(&self) -> Option<&str> {
        self.headers.id.map(|id| std::str::from_utf8(id).unwrap_or_default())
    }

    fn cors(&self) -> Cors {
        Cors::new(if self.headers.is_origin_repeated { None } else { self.headers.origin })
    }

    /// Returns the upgrade that a GET with these headers asks for, or the answer that refuses it. Returns `None` if the request
    /// does not ask for an upgrade.
    pub(crate) fn upgrade<'h>(
        &self,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Option<Result<Upgrade, Answer>> {
        if self.method != Method::Get {
            return None;
        }
        match Upgrade::from_headers(headers) {
            Ok(_) if self.headers.is_repeated => {
                Some(Err(self.cors().failure(400, "HEADER_REPEATED", REPEATED)))
            }
            Ok(upgrade) => Some(Ok(upgrade)),
            Err(UpgradeError::NotWebSocket) => None,
            Err(why) => Some(Err(self.cors().upgrade_failure(why))),
        }
    }
}

impl ChatRequest<'_> {
    /// Returns the answer to a body that is too large.
    pub(crate) fn too_large(&self) -> Answer {
        self.cors().failure(
            413,
            "TOO_LARGE",
            "a body has at most 512 KiB, a message 64 KiB; before the user is authenticated 16 KiB and 4 KiB",
        )
    }

    /// Returns the answer to an upgrade that has a body.
    pub(crate) fn body_behind_upgrade(&self) -> Answer {
        self.cors().failure(400, "BODY_BEHIND_UPGRADE", "a request for a WebSocket has no body")
    }

    /// Returns the answer to a request for chat at a path that is not [`PATH`]. A page of another origin can read it, and so learns
    /// that the path in its URL is wrong.
    pub(crate) fn wrong_path(&self) -> Answer {
        match self.method {
            Method::Options => self.cors().preflight(),
            _ => self.cors().failure(404, "NOT_FOUND", NOTHING_HERE),
        }
    }

    /// Returns the answer to a request without exactly one valid `Host` header.
    pub(crate) fn bad_host(&self) -> Answer {
        let (code, message) = refused::HOST;
        self.cors().failure(400, code, message)
    }

    /// Returns the answer to an incomplete body.
    pub(crate) fn cut_short(&self) -> Answer {
        self.cors().failure(400, "CUT_SHORT", "the body did not come whole")
    }
}

/// The message of a 404.
pub(crate) const NOTHING_HERE: &str = "nothing is served here; chat is at /chat/2.0";

const REPEATED: &str = "a header is repeated";

/// The largest body of a POST before its connection is authenticated, in bytes: one message, whose characters may take three
/// more bytes each when JSON escapes them.
const UNAUTHENTICATED_BODY: usize = 4 * limits::HANDSHAKE_MESSAGE;

impl Http {
    /// Returns the answer to a request whose head decides it, before its body is read. Returns `None` if the body must be read.
    ///
    /// `length` is the length of the body, or 0 if it is unknown.
    pub(crate) fn answer_head(&self, chat: &ChatRequest<'_>, length: usize) -> Option<Answer> {
        let cors = chat.cors();
        match chat.method {
            Method::Options => return Some(cors.preflight()),
            Method::Other => return Some(cors.method_not_allowed()),
            Method::Get | Method::Post => {}
        }
        let refuse = |status, code, message| Some(cors.failure(status, code, message));
        if chat.headers.is_repeated {
            return refuse(400, "HEADER_REPEATED", REPEATED);
        }
        let Some(id) = chat.id() else {
            return refuse(
                426,
                "TRANSPORT_REQUIRED",
                "a chat connection is a WebSocket, or polls with the header iflychat-token",
            );
        };
        if chat.method == Method::Post && !chat.headers.is_json() {
            return refuse(415, "CONTENT_TYPE", "a message is application/json");
        }
        let is_too_large = length > UNAUTHENTICATED_BODY && length > self.body_limit(id);
        is_too_large.then(|| chat.too_large())
    }

    /// Returns the largest body of a POST for the long-poll connection with this id, in bytes.
    pub(crate) fn body_limit(&self, id: &str) -> usize {
        let is_authenticated = self.hub.message_limit(id) >= limits::MESSAGE;
        if is_authenticated { BODY_LIMIT } else { UNAUTHENTICATED_BODY }
    }

    /// Reserves memory for a body of this length until the result is dropped.
    ///
    /// # Errors
    /// The answer to send if all bodies together are too large now.
    pub(crate) fn make_room(
        &self,
        chat: &ChatRequest<'_>,
        length: usize,
    ) -> Result<BodyRoom<IpAddr>, Answer> {
        let network = chat.peer.and_then(|peer| self.proxies.network(peer.ip()));
        self.bodies.reserve(network, length).ok_or_else(|| {
            chat.cors().failure(503, "OVERLOADED", "too much is being sent to this server now")
        })
    }

    /// Handles a request whose body has been read. If it opens a long-poll connection, spawns a task that serves the connection.
    pub(crate) fn poll(&self, chat: &ChatRequest<'_>, body: Bytes) -> PollOutcome {
        if let Some(answer) = self.answer_head(chat, body.len()) {
            return PollOutcome::Answer(answer);
        }
        let cors = chat.cors();
        let method =
            if chat.method == Method::Get { long_poll::Method::Get } else { long_poll::Method::Post };
        let opens = if names_credentials(chat.query()) { Opens::Get } else { Opens::Post };
        let id = chat.id().unwrap_or_default();
        let request =
            long_poll::Request { method, id, target: chat.target, opens, body, info: chat.info("long-poll") };
        match self.hub.request(request) {
            Reply::Now(answer) => PollOutcome::Answer(cors.answer(answer)),
            Reply::Held(held) => {
                PollOutcome::Held { held, cors, waits_for_messages: method == long_poll::Method::Get }
            }
            Reply::Opened(connection, held) => {
                // The published SDK understands no message here, only that the request failed. A native client is told in a message.
                if opens == Opens::Get
                    && let Err(wait) = self.admission.rates.may_open(chat.peer.map(|peer| peer.ip()))
                {
                    return PollOutcome::Answer(cors.rate_limited(wait));
                }
                let poll = self.admitted_polls.id(chat);
                let polls = self.admitted_polls.clone();
                let admitted = move || poll.map(|poll| polls.insert(poll));
                self.runtime.spawn(Box::pin(self.admission.serve_while(connection, admitted)));
                PollOutcome::Held { held, cors, waits_for_messages: false }
            }
        }
    }
}
