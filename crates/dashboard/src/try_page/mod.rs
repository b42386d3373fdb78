//! The page `/try`: two users of one app side by side, who connect, say things to each other, and lose their connection.
//!
//! A browser's client cannot publish. What one user says to the other the page asks of its own server, `POST /try/publish`,
//! as an app's page would ask its backend. Everybody who reaches the page may: it is for an open app in development.

mod page;

use std::{fmt, net::SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_protocol::{AppId, UserId, limits};
use chatcamp_server::{Pages, PublishError, Recipients, Server};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    body::{self, Unread},
    host::{HostName, Hosts},
};

/// Where the page is.
const PATH: &str = "/try";
/// Largest body, in bytes: an event with the names beside it.
const BODY: usize = limits::EVENT + 4 * 1024;

/// Nothing but what this server sends itself: no script or style within the page, no other origin, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const EVERY_ANSWER: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The page, and what it asks of its server.
pub struct TryPage {
    server: Server,
    app: AppId,
    listen: SocketAddr,
    hosts: Hosts,
}

/// Why nothing was published.
#[derive(Debug)]
enum Refusal {
    /// A page of another origin asks, or no page at all.
    Foreign,
    TooLarge,
    /// With what is wrong about it.
    Invalid(String),
}

impl TryPage {
    /// The page for users of this app, reached at the address `listen`; it answers to loopback names and to that address.
    #[must_use]
    pub fn new(server: Server, app: AppId, listen: SocketAddr) -> Self {
        Self { server, app, listen, hosts: Hosts::new(listen, Vec::new()) }
    }

    /// The same, answering to these names too.
    #[must_use]
    pub fn with_hosts(self, names: Vec<HostName>) -> Self {
        Self { hosts: Hosts::new(self.listen, names), ..self }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(origin) = self.hosts.origin(request.headers()) else {
            let message = "this page answers to the address it listens on, to localhost, and to the names of --dashboard-host";
            return fail(StatusCode::MISDIRECTED_REQUEST, message);
        };
        let allowed = match request.uri().path() {
            "/try/publish" => "POST",
            _ => "GET, HEAD",
        };
        if !allowed.split(", ").any(|method| method == request.method().as_str()) {
            let mut answer = fail(StatusCode::METHOD_NOT_ALLOWED, "this is not how it is asked for");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return answer;
        }
        let file = |kind, body: &'static str| respond(StatusCode::OK, kind, body.into());
        match request.uri().path() {
            "/try/" => {
                let mut answer = respond(StatusCode::SEE_OTHER, HTML, Bytes::new());
                answer.headers_mut().insert(LOCATION, HeaderValue::from_static(PATH));
                answer
            }
            PATH => respond(StatusCode::OK, HTML, page::render(&self.app).into_string().into()),
            "/try/page.js" => file(SCRIPT, include_str!("page.js")),
            "/try/plug.js" => file(SCRIPT, include_str!("plug.js")),
            "/try/page.css" => file("text/css; charset=utf-8", include_str!("page.css")),
            "/try/icon.svg" => file("image/svg+xml", include_str!("icon.svg")),
            "/try/publish" if !origin.has_sent(request.headers()) => Refusal::Foreign.answer(),
            "/try/publish" => self.publish(request).await.unwrap_or_else(|refusal| refusal.answer()),
            _ => fail(StatusCode::NOT_FOUND, "there is no such page; the page is at /try"),
        }
    }

    /// `{"to": user id, "type": …, "data": …}`.
    async fn publish(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        let invalid = |what: &str| Refusal::Invalid(what.into());
        // No form can send this to another origin unasked.
        let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        let essence = kind.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
        if !essence.eq_ignore_ascii_case(b"application/json") {
            return Err(invalid("the body is to be application/json"));
        }
        let body = body::read(request.into_body(), BODY).await.map_err(|why| match why {
            Unread::TooLarge => Refusal::TooLarge,
            Unread::TooSlow | Unread::Broken => invalid("the body did not come whole, and in time"),
        })?;
        let Ok(Value::Object(asked)) = serde_json::from_slice(&body) else {
            return Err(invalid("the body is not a JSON object"));
        };
        let text = |name: &str| {
            let text = asked.get(name).and_then(Value::as_str);
            text.ok_or_else(|| Refusal::Invalid(format!("{name} is to be text")))
        };
        let data = asked.get("data").unwrap_or(&Value::Null);
        let to = UserId::new(text("to")?).map_err(|error| Refusal::Invalid(error.to_string()))?;
        match self.server.publish(&self.app, &Recipients::Users(vec![to]), text("type")?, data).await {
            Ok(delivered) => Ok(respond_json(StatusCode::OK, &json!({ "ok": true, "delivered": delivered }))),
            Err(PublishError::TooLarge) => Err(Refusal::TooLarge),
            Err(error) => Err(Refusal::Invalid(error.to_string())),
        }
    }
}

#[async_trait]
impl Pages for TryPage {
    fn claims(&self, path: &str) -> bool {
        path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    async fn serve(&self, request: Request<Incoming>, _peer: SocketAddr) -> Response<Full<Bytes>> {
        let is_head = request.method() == Method::HEAD;
        let mut answer = self.answer(request).await;
        if is_head {
            *answer.body_mut() = Full::default();
        }
        answer
    }
}

impl fmt::Debug for TryPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryPage").field("app", &self.app).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Refusal {
    fn answer(self) -> Response<Full<Bytes>> {
        match self {
            Self::Foreign => fail(StatusCode::FORBIDDEN, "only the page itself may ask for this"),
            Self::TooLarge => fail(StatusCode::PAYLOAD_TOO_LARGE, "an event has at most 32 KiB"),
            Self::Invalid(what) => fail(StatusCode::BAD_REQUEST, &what),
        }
    }
}

fn fail(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    respond_json(status, &json!({ "ok": false, "error": { "message": message } }))
}

fn respond_json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    respond(status, "application/json", body.to_string().into())
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in EVERY_ANSWER {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests;
