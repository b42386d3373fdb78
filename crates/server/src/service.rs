//! The chat endpoint as a `tower` service, for axum or any other server on hyper.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    task::{Context, Poll},
};

use chatcamp_transport::{Connection, websocket};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::{
    Server,
    endpoint::{self, Answer},
};

/// Serves `/chat/2.0` of HTTP/1.1; every other path is answered 404.
///
/// Mount it at that path without stripping it, for example with axum's `route_service("/chat/2.0", …)`.
#[derive(Debug, Clone)]
pub struct ChatService {
    server: Server,
    peer: Option<SocketAddr>,
}

impl ChatService {
    /// The endpoint of a server.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self { server, peer: None }
    }

    /// The same for requests of one peer, whose address then counts for the limits on connections.
    #[must_use]
    pub fn for_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Answers a request; an upgraded connection is served by a task of its own.
    pub fn answer<B>(&self, mut request: Request<B>) -> Answer {
        if request.uri().path() != endpoint::PATH {
            return endpoint::failure(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "nothing is served here; chat is at /chat/2.0",
            );
        }
        let granted = match (request.method(), request.version()) {
            (&Method::GET, Version::HTTP_11) => endpoint::upgrade(request.headers()),
            _ => Err(websocket::UpgradeError::NotWebSocket),
        };
        let origin = request.headers().get(header::ORIGIN);
        let upgrade = match granted {
            Ok(upgrade) => upgrade,
            Err(why) => return endpoint::decline(request.method(), origin, why),
        };
        let facts = endpoint::facts(self.peer, request.uri().query(), origin.map(HeaderValue::as_bytes));
        let upgraded = hyper::upgrade::on(&mut request);
        let server = self.server.clone();
        let task = server.shared.enter();
        tokio::spawn(async move {
            match upgraded.await {
                Ok(stream) => {
                    let carrier = websocket::Carrier::server(TokioIo::new(stream), &[], Vec::new());
                    server.serve(Connection::new(carrier, facts)).await;
                }
                Err(error) => tracing::debug!(%error, "an upgrade did not come about"),
            }
            drop(task);
        });
        let accept = HeaderValue::from_str(upgrade.accept_key()).expect("base64 is a header value");
        let mut answer = Response::new(http_body_util::Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        answer
    }
}

impl<B> Service<Request<B>> for ChatService {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request)))
    }
}
