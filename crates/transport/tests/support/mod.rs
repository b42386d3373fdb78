//! A hub with and without sockets around it.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part")]

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_transport::{
    Connection, ConnectionInfo, Listener,
    long_poll::{
        Answer, BODY_LIMIT, Exchange, ExchangeAnswer, ExchangeError, ExchangeRequest, Hub, ID_HEADER, Limits,
        Method, Opens, Reply, Request, Transport,
    },
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time};

/// Maximum number of connections that were opened and not accepted.
const BACKLOG: usize = 64;

/// A hub, and the queue of the connections that it opens. Clones share both.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) hub: Arc<Hub>,
    opened: mpsc::Sender<Connection>,
}

/// Accepts the connections that a [`Server`] opens. Its tasks end when it is dropped.
#[derive(Debug)]
pub(crate) struct Accepted {
    accept: mpsc::Receiver<Connection>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Creates a hub whose time advances by itself.
    pub(crate) fn start(limits: Limits) -> (Self, Accepted) {
        let (opened, accept) = mpsc::channel(BACKLOG);
        let server = Self { hub: Arc::new(Hub::new(limits)), opened };
        let hub = Arc::clone(&server.hub);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut ticks = time::interval(Duration::from_millis(20));
            loop {
                hub.expire(ticks.tick().await.into_std());
            }
        });
        (server, Accepted { accept, tasks })
    }

    pub(crate) async fn answer(&self, request: Request<'_>) -> Answer {
        match self.hub.request(request) {
            Reply::Now(answer) => answer,
            Reply::Held(held) => held.await,
            Reply::Opened(connection, held) => {
                self.opened.send(connection).await.ok();
                held.await
            }
        }
    }

    async fn http(self, request: hyper::Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let id = head.headers.get(ID_HEADER).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let answer = match Limited::new(body, BODY_LIMIT).collect().await {
            Ok(body) => {
                let method = if head.method == "POST" { Method::Post } else { Method::Get };
                let opens = if head.uri.query().is_some() { Opens::Get } else { Opens::Post };
                let target = head.uri.to_string();
                let body = body.to_bytes();
                let request =
                    Request { method, id, target: &target, opens, body, info: ConnectionInfo::default() };
                self.answer(request).await
            }
            Err(_) => Answer { status: 413, body: Bytes::from_static(b"{}") },
        };
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status.try_into().unwrap();
        Ok(response)
    }
}

#[async_trait]
impl Listener for Accepted {
    async fn accept(&mut self) -> Option<Connection> {
        self.accept.recv().await
    }
}

/// The hub behind hyper, on loopback.
pub(crate) async fn loopback() -> (Transport, Accepted) {
    let (address, accepted) = listen().await;
    (Transport::new(&format!("http://{address}/chat")).unwrap(), accepted)
}

/// The hub behind hyper, and its address on loopback.
pub(crate) async fn listen() -> (SocketAddr, Accepted) {
    let (server, mut accepted) = Server::start(Limits::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    accepted.tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let server = server.clone();
            let service = service_fn(move |request| server.clone().http(request));
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, accepted)
}

/// The hub called directly.
pub(crate) fn direct() -> (Transport, Accepted) {
    let (server, accepted) = Server::start(Limits::default());
    (Transport::over(server, "/chat"), accepted)
}

#[async_trait]
impl Exchange for Server {
    async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, ExchangeError> {
        let answer = self.answer(native(&request)).await;
        Ok(ExchangeAnswer { status: answer.status, body: answer.body })
    }

    fn is_exposed(&self) -> bool {
        false
    }
}

/// Converts a request of the client into a request to the hub.
pub(crate) fn native(request: &ExchangeRequest) -> Request<'_> {
    Request {
        method: request.method,
        id: &request.id,
        target: &request.target,
        opens: Opens::Post,
        body: request.body.clone(),
        info: ConnectionInfo::default(),
    }
}
