//! Answers to HTTP requests, and their headers.

use std::time::Duration;

use bytes::Bytes;
use chatcamp_protocol::Code;
use chatcamp_transport::{long_poll, websocket::UpgradeError};
use serde::Serialize;

use super::super::web::File;

/// An answer, which the front door or the service writes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    cors: Option<Cors>,
    kind: Kind,
}

/// The origin that may read an answer. Any page's origin is echoed, since the chat path never reads a cookie.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    origin: Option<Box<[u8]>>,
}

/// Grants every origin, for requests without credentials.
const ANY: &[u8] = b"*";

/// The body of an error: `{"ok":false,"error":{"code":…,"message":…}}`.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    ok: bool,
    error: Detail<'a>,
}

#[derive(Debug, Serialize)]
struct Detail<'a> {
    code: &'a str,
    message: &'a str,
}

impl<'a> Failure<'a> {
    fn new(code: &'a str, message: &'a str) -> Self {
        Self { ok: false, error: Detail { code, message } }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    File(&'static File),
    FileIsRead,
    Preflight,
    UpgradeRequired,
    MethodNotAllowed,
    /// Has the wait in seconds.
    RateLimited(u64),
}

impl Answer {
    /// Creates an answer with a JSON body, for a path other than the chat's.
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        let body =
            serde_json::to_vec(body).expect("the bodies that this server sends are serializable").into();
        Self { status, body, cors: None, kind: Kind::Plain }
    }

    /// Creates an error, for a path other than the chat's.
    pub(crate) fn failure(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &Failure::new(code, message))
    }

    /// Creates an answer with a file for web pages, or 304 if the value of `If-None-Match` names this file.
    pub(crate) fn file(file: &'static File, has: Option<&[u8]>) -> Self {
        let has = has.and_then(|has| std::str::from_utf8(has).ok()).unwrap_or_default();
        let is_same = has.split(',').any(|tag| tag.trim().trim_start_matches("W/") == file.etag);
        let (status, body) = if is_same { (304, Bytes::new()) } else { (200, file.body.clone()) };
        Self { status, body, cors: None, kind: Kind::File(file) }
    }

    /// Creates the answer to a request for a file with a method other than GET or HEAD.
    pub(crate) fn file_is_read() -> Self {
        let answer = Self::failure(405, "METHOD_NOT_ALLOWED", "this is a file: GET or HEAD");
        Self { kind: Kind::FileIsRead, ..answer }
    }

    /// Calls `each` with the name and the value of every header except `Content-Length`.
    pub(crate) fn headers(&self, mut each: impl FnMut(&'static str, &[u8])) {
        if let Kind::File(file) = self.kind {
            each("content-type", file.content_type.as_bytes());
            each("etag", file.etag.as_bytes());
            each("cache-control", b"no-cache");
            each("x-content-type-options", b"nosniff");
            // Pages of other origins may import a module only with these headers.
            each("access-control-allow-origin", b"*");
            each("cross-origin-resource-policy", b"cross-origin");
            return;
        }
        if !self.body.is_empty() {
            each("content-type", b"application/json");
        }
        // The URL of the request may contain a token, so no cache and no `Referer` may keep it.
        each("cache-control", b"no-store");
        each("referrer-policy", b"no-referrer");
        if let Some(cors) = &self.cors {
            each("vary", b"Origin");
            if let Some(origin) = &cors.origin {
                each("access-control-allow-origin", origin);
                // Browsers reject credentials together with `*`.
                if **origin != *ANY {
                    each("access-control-allow-credentials", b"true");
                }
            }
        }
        match self.kind {
            Kind::Plain | Kind::File(_) => {}
            Kind::Preflight => {
                each("access-control-allow-methods", b"GET, POST, OPTIONS");
                // The published SDK sends these (`docs/PROTOCOL.md`, "Transports").
                each(
                    "access-control-allow-headers",
                    b"content-type, iflychat-token, x-csrf-token, x-session-key",
                );
                each("access-control-max-age", b"86400");
            }
            Kind::UpgradeRequired => {
                each("upgrade", b"websocket");
                each("sec-websocket-version", b"13");
            }
            Kind::RateLimited(seconds) => each("retry-after", seconds.to_string().as_bytes()),
            Kind::FileIsRead => each("allow", b"GET, HEAD"),
            Kind::MethodNotAllowed => each("allow", b"GET, POST, OPTIONS"),
        }
    }
}

impl Cors {
    pub(super) fn new(origin: Option<&[u8]>) -> Self {
        Self { origin: origin.map(Into::into) }
    }

    /// Grants every origin, for a page whose origin is unknown.
    pub(super) fn any() -> Self {
        Self::new(Some(ANY))
    }

    /// Creates the answer to a poll.
    pub(crate) fn answer(self, answer: long_poll::Answer) -> Answer {
        Answer { status: answer.status, body: answer.body, cors: Some(self), kind: Kind::Plain }
    }

    pub(super) fn preflight(self) -> Answer {
        Answer { status: 204, body: Bytes::new(), cors: Some(self), kind: Kind::Preflight }
    }

    pub(super) fn method_not_allowed(self) -> Answer {
        let answer = self.failure(405, "METHOD_NOT_ALLOWED", "GET, POST or OPTIONS");
        Answer { kind: Kind::MethodNotAllowed, ..answer }
    }

    pub(super) fn upgrade_failure(self, why: UpgradeError) -> Answer {
        self.failure(why.status(), "UPGRADE_REFUSED", &why.to_string())
    }

    /// Creates the answer to a client that may connect after `wait`.
    pub(super) fn rate_limited(self, wait: Duration) -> Answer {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let answer = self.failure(429, Code::RateLimited.as_str(), Code::RateLimited.reason());
        Answer { kind: Kind::RateLimited(seconds), ..answer }
    }

    /// Creates an error on the chat path.
    pub(crate) fn failure(&self, status: u16, code: &str, message: &str) -> Answer {
        let kind = if status == 426 { Kind::UpgradeRequired } else { Kind::Plain };
        Answer { cors: Some(self.clone()), kind, ..Answer::failure(status, code, message) }
    }
}
