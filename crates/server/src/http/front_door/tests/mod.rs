//! Connections with made-up peer addresses, since loopback addresses are exempt from the limits.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use chatcamp_protocol::AppId;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream},
    net::TcpStream,
};

use super::*;
use crate::{Accounts, AuthPolicy, Keyring, Limits, Proxies, Server};

mod hostile;
pub(in crate::http) mod memory;
mod proxies;

const ADDRESS: [u8; 4] = [192, 0, 2, 1];

struct Host {
    server: Server,
    accounts: Accounts,
    door: FrontDoor,
    app: String,
    key: String,
}

/// A client's end of a connection.
struct Client<S = TcpStream>(S);

impl Host {
    async fn new(limits: Limits) -> Self {
        Self::behind(Proxies::default(), limits).await
    }

    async fn behind(proxies: Proxies, limits: Limits) -> Self {
        let store = Arc::new(chatcamp_store::memory::Store::new());
        let keyring = Keyring::new(vec![[7; 32]]).unwrap();
        let accounts = Accounts::new(store.clone(), keyring.clone());
        let app = accounts.create_app("test", AuthPolicy::Open, None).await.unwrap().id;
        let key = accounts.create_api_key(&app, "test").await.unwrap().key;
        let server = Server::builder(store, keyring).limits(limits).behind(proxies).start();
        let door = FrontDoor::bind(server.clone(), "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { server, accounts, door, app: app.to_string(), key }
    }

    /// Connects through memory; the server receives one byte at a time.
    fn connect_in_memory(&self) -> Client<DuplexStream> {
        self.connect_in_memory_from(ADDRESS)
    }

    fn connect_in_memory_from(&self, address: impl Into<IpAddr>) -> Client<DuplexStream> {
        let (client, server) = memory::pair();
        self.door.receive(server, SocketAddr::new(address.into(), 1));
        Client(client)
    }

    /// Connects over TCP, as if from this address.
    async fn connect(&self, address: impl Into<IpAddr>) -> Client {
        let client = TcpStream::connect(self.door.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, self.door.listener.accept());
        self.door.receive(accepted.unwrap().0, SocketAddr::new(address.into(), 1));
        Client(client.unwrap())
    }

    /// Returns the addresses of the live sessions.
    async fn session_addresses(&self) -> Vec<String> {
        let sessions = self.server.sessions(&AppId::new(&*self.app).unwrap(), None).await.unwrap();
        sessions.iter().map(|session| session.address.unwrap().to_string()).collect()
    }

    fn call(&self) -> String {
        format!(
            "POST /api/2.0/users.list HTTP/1.1\r\nHost: h\r\nx-api-key: {}\r\nContent-Length: 0\r\n\r\n",
            self.key
        )
    }

    /// Waits until this many connections are pending. For connections in memory.
    async fn pending(&self, count: usize) {
        let pending = || self.door.http.admission.pending.len();
        // Bounded by rounds and not by time, so that no deadline passes meanwhile if time is paused.
        for _ in 0..100_000 {
            if pending() == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{} are pending, not {count}", pending());
    }

    fn poll(&self, id: usize) -> String {
        let app = &self.app;
        let target = format!("/chat/2.0?app_id={app}&user_id=user{id}");
        format!("GET {target} HTTP/1.1\r\nHost: h\r\niflychat-token: id{id}\r\n\r\n")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Reads until the text occurs, and returns everything that was read.
    async fn read_until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        loop {
            let received = tokio::time::timeout(Duration::from_secs(20), self.0.read_buf(&mut read)).await;
            let all = String::from_utf8_lossy(&read).into_owned();
            if all.contains(text) {
                return all;
            }
            assert!(matches!(received, Ok(Ok(1..))), "{text} is missing: {all}");
        }
    }

    /// Sends a request; returns the status of the answer, or `None` if the connection is closed instead.
    async fn ask(&mut self, request: &str) -> Option<u16> {
        self.0.write_all(request.as_bytes()).await.ok()?;
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
                    return head.split(' ').nth(1).unwrap().parse().ok();
                }
            }
            let received = self.0.read_buf(&mut read);
            match tokio::time::timeout(Duration::from_secs(20), received).await {
                Ok(Ok(1..)) => {}
                _ => return None,
            }
        }
    }
}

#[tokio::test]
async fn connections_of_authenticated_backends_do_not_count_as_pending() {
    const BACKENDS: usize = 80;
    const ROUNDS: usize = 5;
    let host = Host::new(Limits::default()).await;
    assert!(BACKENDS > Limits::default().unverified_per_address);
    let mut backends = Vec::new();
    let mut failed = 0;
    let mut half_open = Vec::new();
    for round in 0..ROUNDS {
        for n in 0..BACKENDS {
            if round == 0 {
                backends.push(host.connect(ADDRESS).await);
            }
            // As many half-open connections of the same address as there are calls.
            half_open.push(host.connect(ADDRESS).await);
            failed += usize::from(backends[n].ask(&host.call()).await != Some(200));
        }
        // All deadlines of the half-open connections have passed.
        host.door.http.admission.pending.expire(std::time::Instant::now() + Duration::from_secs(70));
        tokio::task::yield_now().await;
    }
    assert_eq!(failed, 0, "of {} calls failed", BACKENDS * ROUNDS);
    assert_eq!(host.door.http.admission.pending.len(), 0, "the half-open connections have expired");
}

#[tokio::test]
async fn connections_of_polls_with_a_session_are_not_evicted() {
    let limits = Limits { unverified: 4, unverified_per_address: 4, ..Limits::default() };
    let host = Host::new(limits).await;
    let mut polls = Vec::new();
    for n in 0..8 {
        let mut poll = host.connect(ADDRESS).await;
        // One that hyper reads, after another request, and one that the front door reads itself.
        if n % 2 == 0 {
            assert_eq!(poll.ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await, Some(200));
        }
        assert_eq!(poll.ask(&host.poll(n)).await, Some(200));
        // The next request succeeds only if there is a session.
        let body = r#"{"t":"ping","d":{},"r":1}"#;
        let length = body.len();
        let rest = format!("\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
        let post = host.poll(n).replace("GET", "POST").replace("\r\n\r\n", &rest);
        assert_eq!(poll.ask(&post).await, Some(200));
        polls.push(poll);
    }
    assert_eq!(host.door.http.admission.pending.len(), 0);
    let half_open = [host.connect(ADDRESS).await, host.connect(ADDRESS).await];
    for _ in 0..8 {
        drop(host.connect([192, 0, 2, 2]).await);
    }
    for (n, poll) in polls.iter_mut().enumerate() {
        let preflight = host.poll(n).replace("GET", "OPTIONS");
        let status = poll.ask(&preflight.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n")).await;
        assert!(matches!(status, Some(204)), "{n}: {status:?}");
    }
    drop(half_open);
}

#[tokio::test]
async fn an_ipv4_mapped_address_counts_as_its_ipv4_address() {
    let limits = Limits { unverified_per_address: 1, ..Limits::default() };
    let host = Host::new(limits).await;
    let mapped = |last| Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped();
    let clients =
        [host.connect(mapped(1)).await, host.connect(mapped(2)).await, host.connect(mapped(3)).await];
    assert_eq!(host.door.http.admission.pending.len(), 3, "each address is counted alone");
    let again = host.connect([192, 0, 2, 3]).await;
    assert_eq!(
        host.door.http.admission.pending.len(),
        3,
        "the same address in the other form evicts the older connection"
    );
    drop((clients, again));
}

#[tokio::test]
async fn requests_over_a_stream_in_memory_are_served_as_over_tcp() {
    let host = Host::new(Limits::default()).await;
    let mut client = host.connect_in_memory();
    // The front door reads polls itself; hyper reads the requests that follow them.
    assert_eq!(client.ask(&host.poll(1)).await, Some(200));
    assert_eq!(client.ask("GET /chat/2.0 HTTP/1.1\r\nHost: h\r\n\r\n").await, Some(426));
    assert_eq!(client.ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await, Some(200));
    assert_eq!(client.ask(&host.call()).await, Some(200));
    assert_eq!(client.ask("no request\r\n\r\n").await, Some(400), "hyper's refusal is replaced");
    assert_eq!(client.0.read(&mut [0]).await.unwrap(), 0, "the server closes its half");
}

#[tokio::test]
async fn a_poll_over_a_stream_in_memory_is_answered_when_its_client_closes_its_half() {
    let host = Host::new(Limits::default()).await;
    for first in ["", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let mut client = host.connect_in_memory();
        if !first.is_empty() {
            assert_eq!(client.ask(first).await, Some(200));
        }
        assert_eq!(client.ask(&host.poll(first.len())).await, Some(200), "opens the connection");
        client.0.write_all(host.poll(first.len()).as_bytes()).await.unwrap();
        client.0.shutdown().await.unwrap();
        assert!(client.read_until("\r\n\r\n[]").await.starts_with("HTTP/1.1 200 "), "{first}");
    }
}

#[tokio::test]
async fn a_websocket_over_a_stream_in_memory_has_a_session() {
    let host = Host::new(Limits::default()).await;
    let mut client = host.connect_in_memory();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let request = host.poll(1).replace("iflychat-token: id1", upgrade);
    client.0.write_all(request.as_bytes()).await.unwrap();
    let answer = client.read_until("user1").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let request = r#"{"t":"users.get","d":{},"r":1}"#;
    // A text frame whose mask is zero.
    let mut frame = vec![0x81, 0x80 | u8::try_from(request.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(request.as_bytes());
    client.0.write_all(&frame).await.unwrap();
    client.read_until(r#""t":"users.get.ack","to":1"#).await;
    assert_eq!(host.door.http.admission.sessions.connected(), 1);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_connection_over_the_rate_of_handshakes_is_closed_before_its_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let files = crate::CertificateFiles { chain: folder.path().join("crt"), key: folder.path().join("key") };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["h".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&files.chain, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let rate = crate::Rate { per_second: 1, burst: 2 };
    let limits = Limits { connections_per_address: Some(rate), ..Limits::default() };
    let mut host = Host::new(limits).await;
    host.door.tls = Some(Tls::load(vec![files]).unwrap());

    // Far more than the burst, whatever the time that this takes adds to it.
    let mut reading = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut client = host.connect(ADDRESS).await;
        reading.spawn(async move { client.0.read(&mut [0]).await });
    }
    let closed = tokio::time::timeout(Duration::from_secs(20), reading.join_next()).await.unwrap();
    let closed = closed.unwrap().unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let pending = || host.door.http.admission.pending.len();
    let before = pending();
    assert!((8..64).contains(&before), "{before} wait for their handshake");
    let _exempt = [host.connect([127, 0, 0, 1]).await, host.connect([127, 0, 0, 1]).await];
    assert_eq!(pending(), before + 2);
}
