//! `/chat/2.0` without any HTTP framework: what becomes of a request there.
//!
//! Wire document, sections 0 and 2. So far it upgrades to WebSocket; long-poll requests are answered 426.

use std::net::SocketAddr;

use bytes::Bytes;
use chatcamp_transport::{
    Facts,
    websocket::{Upgrade, UpgradeError},
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

/// Where chat is served.
pub(crate) const PATH: &str = "/chat/2.0";

/// Headers a page of another origin may send; the published SDK sends these four.
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("content-type, iflychat-token, x-csrf-token, x-session-key");

/// An answer with a small body.
pub(crate) type Answer = Response<Full<Bytes>>;

/// What is known of a connection that a request for `query` opened.
pub(crate) fn facts(peer: Option<SocketAddr>, query: Option<&str>, origin: Option<&[u8]>) -> Facts {
    Facts {
        transport: "websocket",
        peer,
        query: query.map(str::to_owned),
        origin: origin.and_then(|o| std::str::from_utf8(o).ok()).map(str::to_owned),
    }
}

/// Whether a GET of HTTP/1.1 with these headers becomes a WebSocket.
pub(crate) fn upgrade(headers: &HeaderMap) -> Result<Upgrade, UpgradeError> {
    Upgrade::from_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// Answers a request that does not become a WebSocket.
pub(crate) fn decline(method: &Method, origin: Option<&HeaderValue>, why: UpgradeError) -> Answer {
    let mut answer = if *method == Method::OPTIONS {
        preflight()
    } else if [Method::GET, Method::POST].contains(method) {
        let status = StatusCode::from_u16(why.status()).unwrap_or(StatusCode::BAD_REQUEST);
        let mut answer = failure(status, "WEBSOCKET_REQUIRED", &why.to_string());
        if status == StatusCode::UPGRADE_REQUIRED {
            answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        answer
    } else {
        let mut answer =
            failure(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "GET, POST or OPTIONS");
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
        answer
    };
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    answer
}

fn preflight() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    seal(headers);
    answer
}

/// An error answer: `{"ok":false,"error":{"code":…,"message":…}}`.
pub(crate) fn failure(status: StatusCode, code: &str, message: &str) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        ok: bool,
        error: Detail<'a>,
    }
    #[derive(Serialize)]
    struct Detail<'a> {
        code: &'a str,
        message: &'a str,
    }
    json(status, &Body { ok: false, error: Detail { code, message } })
}

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("bodies of this endpoint have text keys");
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    seal(answer.headers_mut());
    answer
}

/// The request may have had a token in its URL: nothing keeps it or passes it on.
fn seal(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
