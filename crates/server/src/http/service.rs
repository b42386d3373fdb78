//! The chat endpoint as a `tower` service, for axum or any other server on hyper.

use std::{
    convert::Infallible,
    fmt,
    future::ready,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use chatcamp_runtime::timeout;
use chatcamp_transport::{
    Connection,
    websocket::{self, Upgrade},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::{
    Http,
    endpoint::{self, Answer, ChatHeaders, ChatRequest, Method, PollOutcome},
    front_door::HttpConnection,
    proxies::{ClientInfo, Peer},
    web::File,
};

/// Serves `/chat/2.0` (WebSocket upgrades of HTTP/1.1, long-poll of HTTP/1.1 and HTTP/2), `/chatcamp.js`, the client for web
/// pages, with its types `/chatcamp.d.ts` and its package `/chatcamp.tgz`, and `/compat.js`, the script with which pages of the
/// hosted service use this server. Answers 404 to every other path.
///
/// Mount it at these paths without stripping them, for example with axum's `route_service("/chat/2.0", …)`.
///
/// The HTTP server decides whether a client may close its half of the connection after its request: hyper drops such requests
/// unless `half_close` is set.
///
/// # Panics
/// Its answers panic if they are polled outside a tokio runtime.
#[derive(Debug, Clone)]
pub struct ChatService {
    http: Arc<Http>,
    peer: Option<SocketAddr>,
    is_encrypted: bool,
}

/// A future that resolves to the answer to a request.
///
/// # Cancel safety
/// Dropping it abandons a held poll; no message is lost.
pub struct AnswerFuture(Pin<Box<dyn Future<Output = Rendered> + Send>>);

/// A response. A failed request is a response too, with an error status.
type Rendered = Result<Response<Full<Bytes>>, Infallible>;

impl ChatService {
    pub(crate) fn of(http: Arc<Http>) -> Self {
        Self { http, peer: None, is_encrypted: false }
    }

    /// Returns a service for the requests over a connection of this peer, whose address then counts for the limits on connections.
    ///
    /// If the peer is a proxy that the server trusts ([`Builder::behind`](crate::Builder::behind)), the address in the headers of each
    /// request counts instead.
    #[must_use]
    pub fn for_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Returns a service for a connection that this process encrypts, as by TLS.
    #[must_use]
    pub fn encrypted(mut self) -> Self {
        self.is_encrypted = true;
        self
    }
}

impl<B> Service<Request<B>> for ChatService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AnswerFuture {
        let proxies = &self.http.proxies;
        let sender = match self.peer.map(|peer| Peer::new(peer, proxies)) {
            Some(peer) => peer.hop(proxies, self.is_encrypted).client(pairs(request.headers())).into(),
            None => Sender { peer: None, is_encrypted: self.is_encrypted },
        };
        serve(self.http.clone(), sender, request)
    }
}

/// The client that sent a request, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    peer: Option<SocketAddr>,
    is_encrypted: bool,
}

impl From<ClientInfo> for Sender {
    fn from(client: ClientInfo) -> Self {
        Self { peer: Some(client.address), is_encrypted: client.encrypted }
    }
}

/// Answers a request.
pub(super) fn serve<B>(http: Arc<Http>, sender: Sender, mut request: Request<B>) -> AnswerFuture
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = request.uri().path();
    if path != endpoint::PATH {
        let has = request.headers().get(http::header::IF_NONE_MATCH).map(HeaderValue::as_bytes);
        let answer = match (File::at(path), request.method()) {
            (Some(file), &http::Method::GET | &http::Method::HEAD) => Answer::file(file, has),
            (Some(_), _) => Answer::file_is_read(),
            (None, _) if path.ends_with(endpoint::PATH) => {
                chat_request(request.method(), request.uri(), request.headers(), sender).wrong_path()
            }
            (None, _) => Answer::failure(404, "NOT_FOUND", endpoint::NOTHING_HERE),
        };
        return AnswerFuture::now(render(&answer));
    }
    let chat = chat_request(request.method(), request.uri(), request.headers(), sender);
    let upgrade = match request.version() {
        Version::HTTP_11 => chat.upgrade(pairs(request.headers())),
        _ => None,
    };
    // The body would be read as WebSocket frames.
    if upgrade.is_some() && !request.body().is_end_stream() {
        return AnswerFuture::now(render(&chat.body_behind_upgrade()));
    }
    match upgrade {
        Some(Ok(upgrade)) => {
            let info = chat.info("websocket");
            let upgraded = hyper::upgrade::on(&mut request);
            let admission = http.admission.clone();
            let task = http.shutdown.enter();
            tokio::spawn(async move {
                match upgraded.await {
                    Ok(stream) => {
                        let carrier = websocket::Carrier::server(TokioIo::new(stream), &[], Vec::new());
                        admission.serve(Connection::new(carrier, info)).await;
                    }
                    Err(error) => tracing::debug!(%error, "an upgrade failed"),
                }
                drop(task);
            });
            AnswerFuture::now(switching(&upgrade))
        }
        Some(Err(answer)) => AnswerFuture::now(render(&answer)),
        None => AnswerFuture(Box::pin(poll(http, sender, request))),
    }
}

/// Reads the body, up to the limit, and passes the request to the endpoint.
async fn poll<B>(http: Arc<Http>, sender: Sender, request: Request<B>) -> Rendered
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let connection = head.extensions.get::<HttpConnection>();
    let chat = chat_request(&head.method, &head.uri, &head.headers, sender);
    let mark = || {
        if let Some(connection) = connection
            && http.admitted_polls.id(&chat).is_some_and(|poll| http.admitted_polls.contains(poll))
        {
            connection.mark_authenticated();
        }
    };
    let outcome = match read_body(&http, &chat, body).await {
        Ok(body) => http.poll(&chat, body),
        Err(answer) => PollOutcome::Answer(answer),
    };
    // A held poll of a session is not pending.
    mark();
    let answer = match (outcome, connection) {
        (PollOutcome::Answer(answer), _) => answer,
        (PollOutcome::Held { held, cors, waits_for_messages: true }, Some(connection)) => {
            cors.answer(connection.held_answer(held).await)
        }
        (PollOutcome::Held { held, cors, .. }, _) => cors.answer(held.await),
    };
    // A session may have begun.
    mark();
    Ok(render(&answer))
}

/// Reads the body.
///
/// # Errors
/// The answer to send if the head decides the request, or if the body is too large, incomplete or late.
async fn read_body<B>(http: &Http, chat: &ChatRequest<'_>, body: B) -> Result<Bytes, Answer>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let upper = body.size_hint().upper().and_then(|upper| usize::try_from(upper).ok());
    if let Some(answer) = http.answer_head(chat, upper.unwrap_or(0)) {
        return Err(answer);
    }
    // The length of a chunked body is unknown.
    let limit = http.body_limit(chat.id().unwrap_or_default());
    let _room = http.make_room(chat, upper.unwrap_or(limit))?;
    let reading = Limited::new(body, limit).collect();
    match timeout(&*http.runtime, http.limits.handshake, reading).await {
        Some(Ok(body)) => Ok(body.to_bytes()),
        Some(Err(error)) if error.is::<LengthLimitError>() => Err(chat.too_large()),
        Some(Err(_)) | None => Err(chat.cut_short()),
    }
}

/// Converts the head of a request for the endpoint.
pub(super) fn chat_request<'a>(
    method: &http::Method,
    uri: &'a http::Uri,
    headers: &'a HeaderMap,
    sender: Sender,
) -> ChatRequest<'a> {
    let target = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    ChatRequest {
        method: Method::new(method.as_str()),
        target,
        headers: ChatHeaders::from_headers(pairs(headers)),
        peer: sender.peer,
        is_encrypted: sender.is_encrypted,
    }
}

pub(super) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// Converts an answer for hyper.
pub(crate) fn render(answer: &Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("answers have a valid status");
    answer.headers(|name, value| {
        // An echoed origin was a header value, so the conversion succeeds.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    });
    response
}

fn switching(upgrade: &Upgrade) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::from_str(upgrade.accept_key()).expect("base64 is a valid header value");
    let headers = response.headers_mut();
    headers.insert(http::header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(http::header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

impl AnswerFuture {
    fn now(response: Response<Full<Bytes>>) -> Self {
        Self(Box::pin(ready(Ok(response))))
    }
}

impl Future for AnswerFuture {
    type Output = Rendered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for AnswerFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerFuture")
    }
}
