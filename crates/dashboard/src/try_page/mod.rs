//! The page `/try`: two users of one app side by side, who connect, send each other messages and lose their connection.
//!
//! The client for web pages cannot publish events. To send a message, the page asks its own server, `POST /try/publish`, as
//! the page of an app would ask its backend. Everyone who can reach the page can publish: it is for an open app in development.

mod template;

use std::{fmt, net::SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_protocol::{AppId, UserId, limits};
use chatcamp_server::{ClientInfo, Pages, PublishError, Recipients, Server};
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
    body::{self, BodyError},
    host::{HostName, Hosts},
};

/// The path of the page.
const PATH: &str = "/try";
/// Maximum size of a publish request, in bytes: an event and the names of the fields.
const MAX_BODY: usize = limits::EVENT + 4 * 1024;

/// Allows only files of this server: no inline scripts or styles, no other origins, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const COMMON_HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The page `/try`, with its files and its publish request.
pub struct TryPage {
    server: Server,
    app: AppId,
    hosts: Hosts,
}

/// Why an event was not published.
#[derive(Debug)]
enum Refusal {
    /// The request was not sent by the page itself.
    Foreign,
    TooLarge,
    Invalid(String),
}

impl TryPage {
    /// Creates the page for users of an app, reached at the address `listen`.
    ///
    /// It answers to loopback names, to that address and to the host of the server's public URL. [`with_hosts`](Self::with_hosts)
    /// adds other names.
    #[must_use]
    pub fn new(server: Server, app: AppId, listen: SocketAddr) -> Self {
        let hosts = Hosts::new(listen, Vec::new(), server.public_url());
        Self { server, app, hosts }
    }

    /// Answers to these names too.
    #[must_use]
    pub fn with_hosts(mut self, names: Vec<HostName>) -> Self {
        self.hosts.names = names;
        self
    }

    async fn answer(&self, request: Request<Incoming>, client: ClientInfo) -> Response<Full<Bytes>> {
        let Some(origin) = self.hosts.origin(request.headers(), client.encrypted) else {
            let message = "this page answers only to localhost, to the address it listens on and to the names given with --public-url and \
                           --dashboard-host";
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
                answer.headers_mut().insert(LOCATION, HeaderValue::from_static("../try"));
                answer
            }
            PATH => respond(StatusCode::OK, HTML, template::render(&self.app).into_string().into()),
            "/try/page.js" => file(SCRIPT, include_str!("page.js")),
            "/try/network.js" => file(SCRIPT, include_str!("network.js")),
            "/try/page.css" => file("text/css; charset=utf-8", include_str!("page.css")),
            "/try/icon.svg" => file("image/svg+xml", include_str!("icon.svg")),
            "/try/publish" if !origin.has_sent(request.headers()) => Refusal::Foreign.answer(),
            "/try/publish" => self.publish(request).await.unwrap_or_else(|refusal| refusal.answer()),
            _ => fail(StatusCode::NOT_FOUND, "page not found; the page is at /try"),
        }
    }

    /// Publishes an event: `{"to": user id, "type": …, "data": …}`.
    async fn publish(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
        let invalid = |reason: &str| Refusal::Invalid(reason.into());
        // A form of another site cannot have this content type.
        if !body::has_content_type(request.headers(), "application/json") {
            return Err(invalid("the content type must be application/json"));
        }
        let body = body::read(request.into_body(), MAX_BODY).await.map_err(|error| match error {
            BodyError::TooLarge => Refusal::TooLarge,
            BodyError::TimedOut => invalid("the body was not received in time"),
            BodyError::Incomplete => invalid("the body is incomplete"),
        })?;
        let Ok(Value::Object(fields)) = serde_json::from_slice(&body) else {
            return Err(invalid("the body is not a JSON object"));
        };
        let text = |name: &str| {
            let text = fields.get(name).and_then(Value::as_str);
            text.ok_or_else(|| Refusal::Invalid(format!("{name} must be text")))
        };
        let data = fields.get("data").unwrap_or(&Value::Null);
        let to = UserId::new(text("to")?).map_err(|error| Refusal::Invalid(error.to_string()))?;
        match self.server.publish(&self.app, &Recipients::Users(vec![to]), text("type")?, data).await {
            Ok(published) => {
                let body =
                    json!({ "ok": true, "delivered": published.delivered, "queued": published.queued });
                Ok(respond_json(StatusCode::OK, &body))
            }
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

    async fn serve(&self, request: Request<Incoming>, client: ClientInfo) -> Response<Full<Bytes>> {
        let is_head = request.method() == Method::HEAD;
        let mut answer = self.answer(request, client).await;
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
            Self::Foreign => fail(StatusCode::FORBIDDEN, "only the page /try may send this request"),
            Self::TooLarge => fail(StatusCode::PAYLOAD_TOO_LARGE, "an event must not exceed 32 KiB"),
            Self::Invalid(reason) => fail(StatusCode::BAD_REQUEST, &reason),
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
    for (name, value) in COMMON_HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests;
