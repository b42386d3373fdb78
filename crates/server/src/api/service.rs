//! The Platform API as a `tower` service, for axum or any other server on hyper.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Body;
use tower_service::Service;

use super::Api;

/// Serves the Platform API: `/api/1.0/METHOD`, `/api/2.0/METHOD` and `/api/openapi.json`. Answers 404 to every other path.
///
/// Mount it without stripping the path, for example with axum's `route_service("/api/{*path}", …)`; published callers write
/// `//api/1.0/METHOD` too, which a fallback service catches.
///
/// A request runs to its end even if the client closes the connection. If the client closes only its half, it gets the answer
/// if the HTTP server supports that, as hyper does with `half_close`.
///
/// # Panics
/// Its answers panic if they are polled outside a tokio runtime.
#[derive(Debug, Clone)]
pub struct ApiService {
    api: Arc<Api>,
    peer: Option<SocketAddr>,
}

impl ApiService {
    pub(crate) fn of(api: Arc<Api>) -> Self {
        Self { api, peer: None }
    }

    /// Returns a service for the requests of one client, whose address then counts for the rate of wrong API keys. Without it, all
    /// clients share one rate; a correct key is never delayed. Headers of proxies are not read here.
    ///
    /// # Examples
    /// ```
    /// # fn example(api: chatcamp_server::ApiService) -> chatcamp_server::ApiService {
    /// api.for_peer(([192, 0, 2, 7], 50_000).into())
    /// # }
    /// ```
    #[must_use]
    pub fn for_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    /// A failed request is an answer with an error status, never an error of the service.
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = self.api.clone();
        let address = self.peer.map(|peer| peer.ip());
        Box::pin(async move { Ok(super::serve(&api, request, address).await) })
    }
}
