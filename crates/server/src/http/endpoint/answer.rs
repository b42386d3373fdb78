//! Answers, and the headers that every answer on the chat path carries.

use bytes::Bytes;
use chatcamp_transport::{long_poll, websocket::UpgradeError};
use serde::Serialize;

use super::super::web::File;

/// An answer, to be written by an adapter.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    cors: Option<Cors>,
    kind: Kind,
}

/// Whom an answer is for: any page's origin is echoed, since no cookie is ever read here.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    origin: Option<Box<[u8]>>,
}

/// Every origin, for requests without credentials.
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
}

impl Answer {
    /// An answer with a JSON body, outside the chat path.
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("bodies of this server have text keys").into();
        Self { status, body, cors: None, kind: Kind::Plain }
    }

    /// An error outside the chat path.
    pub(crate) fn failure(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &Failure::new(code, message))
    }

    /// A file for web pages, unless the page has just this one.
    pub(crate) fn file(file: &'static File, has: Option<&[u8]>) -> Self {
        let has = has.and_then(|has| std::str::from_utf8(has).ok()).unwrap_or_default();
        let is_same = has.split(',').any(|tag| tag.trim().trim_start_matches("W/") == file.etag);
        let (status, body) = match is_same {
            true => (304, Bytes::new()),
            false => (200, Bytes::from_static(file.body)),
        };
        Self { status, body, cors: None, kind: Kind::File(file) }
    }

    /// What asks for a file by another method than GET or HEAD.
    pub(crate) fn file_is_read() -> Self {
        let answer = Self::failure(405, "METHOD_NOT_ALLOWED", "this is a file: GET or HEAD");
        Self { kind: Kind::FileIsRead, ..answer }
    }

    /// Names and values of its headers, `Content-Length` excepted.
    pub(crate) fn headers(&self, mut each: impl FnMut(&'static str, &[u8])) {
        if let Kind::File(file) = self.kind {
            each("content-type", file.content_type.as_bytes());
            each("etag", file.etag.as_bytes());
            each("cache-control", b"no-cache");
            each("x-content-type-options", b"nosniff");
            // A module that a page of another origin imports needs these.
            each("access-control-allow-origin", b"*");
            each("cross-origin-resource-policy", b"cross-origin");
            return;
        }
        if !self.body.is_empty() {
            each("content-type", b"application/json");
        }
        // The request may have had a token in its URL: nothing keeps it or passes it on.
        each("cache-control", b"no-store");
        each("referrer-policy", b"no-referrer");
        if let Some(cors) = &self.cors {
            each("vary", b"Origin");
            if let Some(origin) = &cors.origin {
                each("access-control-allow-origin", origin);
                // A browser takes the two together for no grant at all.
                if **origin != *ANY {
                    each("access-control-allow-credentials", b"true");
                }
            }
        }
        match self.kind {
            Kind::Plain | Kind::File(_) => {}
            Kind::Preflight => {
                each("access-control-allow-methods", b"GET, POST, OPTIONS");
                // The published SDK sends these (wire document, section 0).
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
            Kind::FileIsRead => each("allow", b"GET, HEAD"),
            Kind::MethodNotAllowed => each("allow", b"GET, POST, OPTIONS"),
        }
    }
}

impl Cors {
    pub(super) fn new(origin: Option<&[u8]>) -> Self {
        Self { origin: origin.map(Into::into) }
    }

    /// For a page whose origin is not known.
    pub(super) fn any() -> Self {
        Self::new(Some(ANY))
    }

    /// A poll's answer.
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

    /// An error on the chat path.
    pub(crate) fn failure(&self, status: u16, code: &str, message: &str) -> Answer {
        let kind = if status == 426 { Kind::UpgradeRequired } else { Kind::Plain };
        Answer { cors: Some(self.clone()), kind, ..Answer::failure(status, code, message) }
    }
}
