//! Serves the requests that the front door does not read itself: hyper reads them, and the API, the mounted pages or the chat
//! endpoint answers.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri, Version, header::HOST};
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{
    HEALTH, Served,
    connection::{HttpConnection, Phase},
    head,
    linger::linger,
    socket::Socket,
    stream::HttpStream,
};
#[cfg(feature = "api")]
use crate::api;
use crate::{
    ClientInfo, Pages,
    admission::{PendingConnection, PendingGuard},
    http::{
        Http, PublicUrl,
        endpoint::{self, Answer},
        proxies::Peer,
        service,
    },
};

/// How long a page may take to finish its answer once the connection is evicted. The client may send its form byte by byte.
const PAGE_DRAIN: Duration = Duration::from_secs(3);

/// Lets hyper serve the connection until it ends, is evicted, or the server shuts down.
///
/// An evicted connection first finishes the request in progress: a held poll or an API call has the drain time of the
/// server's limits, a page [`PAGE_DRAIN`], because unauthenticated clients can delay it by sending their form slowly. Few evicted
/// connections do so at the same time.
pub(super) async fn serve(
    http: &Arc<Http>,
    served: Served,
    read: Vec<u8>,
    socket: impl Socket,
    peer: Peer,
    guard: PendingGuard,
) {
    let guard = Arc::new(guard);
    let pending = PendingConnection::new(&guard);
    let is_encrypted = socket.is_encrypted();
    let address = peer.address();
    let connection = HttpConnection::new(socket, pending.clone(), peer.is_proxy());
    let stream = HttpStream::new(read, connection.clone());
    let of_requests = (http.clone(), connection.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (http, connection) = of_requests.clone();
        if let Some(url) = &http.public_url {
            without_public_path(&mut request, url, &served);
        }
        let pages = served.pages_at(request.uri().path()).cloned();
        let has_chat = served.chat;
        let client = peer.hop(&http.proxies, is_encrypted).client(service::pairs(request.headers()));
        connection.requested(client.address.ip(), pages.is_some(), !request.body().is_end_stream());
        request.extensions_mut().insert(pending.clone());
        async move {
            let response = respond(&http, pages, has_chat, &connection, request, client).await;
            connection.responded();
            response
        }
    });
    let mut builder = http1::Builder::new();
    // Hyper has no deadlines, since pending connections have their own. A client may close its half of the connection after its
    // request.
    builder.half_close(true).max_buf_size(head::LIMIT);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => Some(ended),
        evicted = http.shutdown.unless_begun(guard.evicted()) => {
            served.as_mut().graceful_shutdown();
            finish(served, evicted.is_some(), &connection, &guard, http.limits.drain).await
        }
    };
    if ended.is_some() && connection.is_sending() {
        linger(http, connection.socket(), &guard).await;
    }
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "an HTTP connection failed"),
        None => tracing::debug!(peer = %address, "an HTTP connection was cut off"),
    }
}

/// Lets a connection that is evicted, or whose server shuts down, finish the request in progress. Returns `None` if it does not end
/// in time, or if too many evicted connections are finishing theirs.
async fn finish<F: Future>(
    served: F,
    is_evicted: bool,
    connection: &HttpConnection,
    guard: &PendingGuard,
    drain: Duration,
) -> Option<F::Output> {
    if is_evicted && connection.phase() == Phase::Head {
        return None;
    }
    let limit = if connection.is_in_page() { drain.min(PAGE_DRAIN) } else { drain };
    if is_evicted {
        let _permit = guard.try_finish()?;
        return timeout(limit, served).await.ok();
    }
    // At a shutdown, a head that is still arriving keeps its deadline.
    tokio::select! {
        ended = timeout(limit, served) => ended.ok(),
        () = guard.evicted() => None,
    }
}

async fn respond(
    http: &Arc<Http>,
    pages: Option<Arc<dyn Pages>>,
    has_chat: bool,
    connection: &HttpConnection,
    mut request: Request<Incoming>,
    client: ClientInfo,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !has_one_host(&request) {
        let answer = if has_chat && request.uri().path() == endpoint::PATH {
            service::chat_request(request.method(), request.uri(), request.headers(), client.into())
                .bad_host()
        } else {
            endpoint::bad_host()
        };
        return Ok(service::render(&answer));
    }
    if let Some(pages) = pages {
        return Ok(pages.serve(request, client).await);
    }
    let path = request.uri().path();
    if path == HEALTH {
        return Ok(service::render(&http.health.answer().await));
    }
    if !has_chat {
        return Ok(service::render(&nothing_here()));
    }
    #[cfg(feature = "api")]
    if api::is_at(path) {
        return Ok(api::serve(&http.api, request, Some(client.address.ip())).await);
    }
    request.extensions_mut().insert(connection.clone());
    service::serve(http.clone(), client.into(), request).await
}

/// Removes the path of the server's public address from a request, unless only the whole path is one that is served.
fn without_public_path<B>(request: &mut Request<B>, url: &PublicUrl, served: &Served) {
    let Some(path) = url.remainder(request.uri().path()) else { return };
    let path = if path.is_empty() { "/" } else { path };
    if !served.has(path) {
        return;
    }
    let target = request.uri().query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Returns whether a request names its host once, as HTTP/1.1 requires (RFC 9112, section 3.2); HTTP/1.0 may leave it out.
fn has_one_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => head::is_host(host.as_bytes()),
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

fn nothing_here() -> Answer {
    Answer::failure(404, "NOT_FOUND", "nothing is served here; this address has pages only, not the chat")
}
