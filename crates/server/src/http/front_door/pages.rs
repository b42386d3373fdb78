//! Pages that a front door serves beside the chat.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::ClientInfo;

/// Pages behind some paths of a [`FrontDoor`](crate::FrontDoor), such as a dashboard.
///
/// Pages are matched before the chat, so an implementation must not claim a path of the chat. It must bound the bodies that
/// it reads, in bytes and in time. An answer may take a minute. After that, or when the connection is evicted, an answer in
/// progress has three seconds.
///
/// The extensions of a request contain its [`PendingConnection`](crate::PendingConnection). The number of pending connections
/// is limited and they are evicted for new ones, so an implementation that authenticates clients should mark theirs.
///
/// [`serve`](Self::serve) is polled to its end even if the client closes the connection.
#[async_trait]
pub trait Pages: fmt::Debug + Send + Sync {
    /// Returns whether these pages answer requests for this path.
    fn claims(&self, path: &str) -> bool;

    /// Answers a request of `client`.
    async fn serve(&self, request: Request<Incoming>, client: ClientInfo) -> Response<Full<Bytes>>;
}
