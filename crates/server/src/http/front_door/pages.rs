//! What a front door serves beside the chat: pages that others bring along.

use std::{fmt, net::SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

/// Pages behind some paths of a [`FrontDoor`](crate::FrontDoor), such as a dashboard.
///
/// A request comes here before the chat is asked, so an implementation claims no path of the chat. It bounds the bodies it
/// reads, in bytes and in time; an answer may take a minute. When that is over, or the connection is evicted for another, an
/// answer under way has three seconds.
///
/// The extensions of a request have its [`PendingConnection`](crate::PendingConnection). An implementation that authenticates
/// clients marks their connections there: pending connections are bounded, and evicted for others.
///
/// A request is answered to its end, also if its client closes the connection meanwhile.
#[async_trait]
pub trait Pages: fmt::Debug + Send + Sync {
    /// Whether requests for this path come here.
    fn claims(&self, path: &str) -> bool;

    /// Answers a request of the peer.
    async fn serve(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>>;
}
