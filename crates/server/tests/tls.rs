//! TLS at the front door, with tokio-rustls as the client.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chatcamp_server::{
    Accounts, AuthPolicy, CertificateFiles, FrontDoor, Limits, Proxies, Server, Tls, TlsError,
};
use chatcamp_transport::websocket;
use common::{PATIENCE, Peer, World, eventually};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A folder with certificates, which trust themselves.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn files(&self, name: &str) -> CertificateFiles {
        let path = |end: &str| -> PathBuf { self.0.path().join(format!("{name}.{end}")) };
        CertificateFiles { chain: path("crt"), key: path("key") }
    }

    /// Writes a certificate for `host`; returns it, for clients to trust.
    fn write(
        &self,
        name: &str,
        host: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let files = self.files(name);
        fs::write(files.chain, certificate.pem()).unwrap();
        fs::write(files.key, key.serialize_pem()).unwrap();
        certificate.der().clone()
    }
}

/// A server whose front door speaks TLS, and what its clients trust.
struct Host {
    world: World,
    address: SocketAddr,
    tls: Tls,
    folder: Folder,
    trusted: CertificateDer<'static>,
}

impl Host {
    async fn new(limits: Limits) -> Self {
        let folder = Folder::new();
        let trusted = folder.write("one", "localhost", |_| {});
        let tls = Tls::load(vec![folder.files("one")]).unwrap();
        let world = World::new(AuthPolicy::Open, limits).await;
        let door =
            FrontDoor::bind(world.server.clone(), ([127, 0, 0, 1], 0).into()).unwrap().tls(tls.clone());
        let address = door.local_addr().unwrap();
        tokio::spawn(door.run());
        Self { world, address, tls, folder, trusted }
    }

    async fn dial(&self) -> TlsStream<TcpStream> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        connect(&trusting([&self.trusted], &TLS13), tcp, "localhost").await.unwrap()
    }

    async fn websocket(&self, stream: TlsStream<TcpStream>, user: &str) -> Peer {
        let connection = websocket::connect_over(stream, "localhost", "/chat/2.0").await.unwrap();
        Peer::native(connection, &self.world.app, user, None).await.unwrap()
    }

    fn poll(&self, user: &str) -> String {
        let target = format!("/chat/2.0?app_id={}&user_id={user}", self.world.app);
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\niflychat-token: id-of-{user}\r\n\r\n")
    }
}

fn trusting<const N: usize>(
    certificates: [&CertificateDer<'static>; N],
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn connect(
    config: &Arc<ClientConfig>,
    tcp: TcpStream,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name).unwrap();
    timeout(PATIENCE, TlsConnector::from(config.clone()).connect(name, tcp)).await.unwrap()
}

/// Reads until the text occurs, or the end; returns all that was read.
async fn read_until(stream: &mut (impl tokio::io::AsyncRead + Unpin), text: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            if stream.read_buf(&mut read).await.unwrap() == 0 {
                break;
            }
        }
    };
    timeout(PATIENCE, reading).await.unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn a_preface_stands_before_the_tls_handshake() {
    let folder = Folder::new();
    let trusted = folder.write("one", "localhost", |_| {});
    let tls = Tls::load(vec![folder.files("one")]).unwrap();
    let store = Arc::new(chatcamp_store::memory::Store::new());
    let accounts = Accounts::new(store.clone(), common::keyring());
    let app = accounts.create_app("test", AuthPolicy::Open, None).await.unwrap().id;
    let proxies = Proxies::trusting(["127.0.0.1/32".parse().unwrap()]);
    let server = Server::builder(store, common::keyring()).behind(proxies).start();
    let door = FrontDoor::bind(server.clone(), ([127, 0, 0, 1], 0).into()).unwrap();
    let door = door.tls(tls).proxy_protocol();
    let address = door.local_addr().unwrap();
    tokio::spawn(door.run());

    // A preface for a client at 198.51.100.7.
    let preface = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x01\x12\x67\x01\xbb";
    let config = trusting([&trusted], &TLS13);
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(preface).await.unwrap();
    let stream = connect(&config, tcp, "localhost").await.unwrap();
    let connection = websocket::connect_over(stream, "localhost", "/chat/2.0").await.unwrap();
    let _alice = Peer::native(connection, &app, "alice", None).await.unwrap();
    let sessions = server.sessions(&app, None).await.unwrap();
    assert_eq!(sessions[0].address, Some([198, 51, 100, 7].into()));

    let without = TcpStream::connect(address).await.unwrap();
    assert!(connect(&config, without, "localhost").await.is_err(), "TLS without a preface is closed");
    server.shutdown().await;
}

#[tokio::test]
async fn websocket_long_poll_and_api_are_served_over_both_versions() {
    let host = Host::new(Limits::default()).await;
    for (version, user) in [(&TLS12, "bob"), (&TLS13, "carol")] {
        let config = trusting([&host.trusted], version);
        let dial = async || {
            let tcp = TcpStream::connect(host.address).await.unwrap();
            connect(&config, tcp, "localhost").await.unwrap()
        };
        let mut alice = host.websocket(dial().await, "alice").await;
        assert_eq!(alice.request("users.update", json!({"display_name": "A"})).await["ok"], true);

        let mut stream = dial().await;
        stream.write_all(host.poll(user).as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "]").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        // The connection is kept, and hyper takes what is not for the chat.
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let answer = read_until(&mut stream, "HTTP/1.1 200 OK").await;
        assert!(answer.contains("HTTP/1.1 200 OK"), "{answer}");
    }
    host.world.server.shutdown().await;
}

#[tokio::test]
async fn large_files_and_messages_pass_in_many_records() {
    let host = Host::new(Limits::default()).await;
    let mut stream = host.dial().await;
    stream
        .write_all(b"GET /chatcamp.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().expect("an end that nobody cut off");
    let body = include_bytes!("../src/http/web/chatcamp.js");
    assert!(answer.ends_with(body), "{} bytes", answer.len());

    let mut alice = host.websocket(host.dial().await, "alice").await;
    let text = "x".repeat(4_000);
    for _ in 0..5 {
        let answer = alice.request("users.update", json!({"data": text})).await;
        assert_eq!(answer["ok"], true, "{answer}");
    }
}

#[tokio::test]
async fn new_keys_of_a_client_and_bytes_one_by_one_are_understood() {
    let host = Host::new(Limits::default()).await;
    let mut stream = host.dial().await;
    let poll = host.poll("alice");
    for byte in poll.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        stream.get_mut().1.refresh_traffic_keys().unwrap();
    }
    let answer = read_until(&mut stream, "users.auth.ack").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_client_that_has_closed_its_half_is_answered() {
    let host = Host::new(Limits::default()).await;
    for request in [host.poll("alice"), "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()] {
        let mut stream = host.dial().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_until(&mut stream, "HTTP/1.1 200 OK").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn a_held_poll_is_answered_at_the_end_of_its_client() {
    let host = Host::new(Limits::default()).await;
    let mut stream = host.dial().await;
    stream.write_all(host.poll("alice").as_bytes()).await.unwrap();
    read_until(&mut stream, "users.auth.ack").await;
    stream.write_all(host.poll("alice").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_until(&mut stream, "[]").await;
    assert!(answer.ends_with("[]"), "{answer}");
}

#[tokio::test]
async fn http_without_tls_is_told_so_and_garbage_is_closed() {
    let host = Host::new(Limits::default()).await;
    let mut tcp = TcpStream::connect(host.address).await.unwrap();
    tcp.write_all(b"GET /chat/2.0 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let answer = read_until(&mut tcp, "wss://").await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");

    // The first byte of a handshake, then garbage: an alert.
    let mut tcp = TcpStream::connect(host.address).await.unwrap();
    tcp.write_all(&[0x16; 100]).await.unwrap();
    let mut answer = Vec::new();
    _ = timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer.first(), Some(&0x15), "{answer:?}");
    eventually(|| host.world.server.load().connections == 0).await;
}

#[tokio::test]
async fn a_handshake_that_stops_is_pending_and_ends_at_its_deadline() {
    let mut limits = Limits::default();
    limits.handshake = Duration::from_millis(300);
    let host = Host::new(limits).await;
    let mut tcp = TcpStream::connect(host.address).await.unwrap();
    tcp.write_all(&[0x16, 3, 1]).await.unwrap();
    eventually(|| host.world.server.load().unverified == 1).await;
    let read = timeout(PATIENCE, tcp.read(&mut [0; 8])).await.unwrap();
    assert!(matches!(&read, Ok(0)) || read.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
    eventually(|| host.world.server.load() == common::AT_REST).await;
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let host = Host::new(Limits::default()).await;
    let other = host.folder.write("two", "other.example", |_| {});
    let tls = Tls::load(vec![host.folder.files("one"), host.folder.files("two")]).unwrap();
    let door = FrontDoor::bind(host.world.server.clone(), ([127, 0, 0, 1], 0).into()).unwrap().tls(tls);
    let address = door.local_addr().unwrap();
    tokio::spawn(door.run());
    let config = trusting([&host.trusted, &other], &TLS13);
    for (name, certificate) in [("localhost", &host.trusted), ("other.example", &other)] {
        let tcp = TcpStream::connect(address).await.unwrap();
        let stream = connect(&config, tcp, name).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], *certificate, "{name}");
    }
    // Any other name gets the first certificate, and the client decides.
    let tcp = TcpStream::connect(address).await.unwrap();
    let error = connect(&config, tcp, "unknown.example").await.unwrap_err().to_string();
    assert!(error.contains("unknown.example") || error.contains("NotValidForName"), "{error}");
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_by_name() {
    let folder = Folder::new();
    let load = |name| Tls::load(vec![folder.files(name)]).map(|_| ()).unwrap_err();
    let text = |error: TlsError| error.to_string();
    assert!(matches!(Tls::load(Vec::new()), Err(TlsError::Empty)));
    assert!(text(load("missing")).starts_with("cannot read "));

    let (past, future) = (SystemTime::UNIX_EPOCH, SystemTime::now() + Duration::from_secs(86_400));
    folder.write("expired", "localhost", |params| {
        params.not_before = past.into();
        params.not_after = (past + Duration::from_secs(86_400)).into();
    });
    assert!(text(load("expired")).ends_with("expired.crt has expired; renew it"));
    folder.write("early", "localhost", |params| params.not_before = future.into());
    assert!(text(load("early")).contains("early.crt is not valid yet"));

    folder.write("one", "localhost", |_| {});
    folder.write("two", "localhost", |_| {});
    fs::copy(folder.files("two").key, folder.files("one").key).unwrap();
    assert!(matches!(load("one"), TlsError::Mismatch { .. }));
    fs::write(folder.files("two").key, "-----BEGIN").unwrap();
    assert!(text(load("two")).ends_with("two.key is not a PEM file with a private key"));
    fs::write(folder.files("two").chain, "").unwrap();
    assert!(text(load("two")).ends_with("two.crt is not a PEM file with a certificate chain"));
}

#[tokio::test]
async fn certificates_are_replaced_under_live_connections() {
    let host = Host::new(Limits::default()).await;
    let mut alice = host.websocket(host.dial().await, "alice").await;
    assert!(!host.tls.reload().unwrap(), "the files are unchanged");

    // Half of a pair is replaced: the old pair stays.
    let files = host.folder.files("one");
    let old = [fs::read(&files.chain).unwrap(), fs::read(&files.key).unwrap()];
    let new = host.folder.write("one", "localhost", |_| {});
    let key = fs::read(&files.key).unwrap();
    fs::write(&files.key, &old[1]).unwrap();
    assert!(matches!(host.tls.reload(), Err(TlsError::Mismatch { .. })));
    host.dial().await;

    fs::write(&files.key, key).unwrap();
    assert!(host.tls.reload().unwrap());
    let tcp = TcpStream::connect(host.address).await.unwrap();
    connect(&trusting([&new], &TLS13), tcp, "localhost").await.unwrap();
    assert_eq!(alice.request("ping", json!({})).await["ok"], true);
}

#[tokio::test]
async fn no_handshake_fails_in_a_storm_of_replaced_certificates() {
    let swaps = std::env::var("CHATCAMP_SWAPS").map_or(50, |text| text.parse().unwrap());
    let host = Host::new(Limits::default()).await;
    let other = host.folder.write("two", "localhost", |_| {});
    let (one, two) = (host.folder.files("one"), host.folder.files("two"));
    let config = trusting([&host.trusted, &other], &TLS13);
    let pairs = [&one, &two].map(|files| [fs::read(&files.chain).unwrap(), fs::read(&files.key).unwrap()]);
    let dial = async || {
        let tcp = TcpStream::connect(host.address).await.unwrap();
        connect(&config, tcp, "localhost").await.unwrap();
    };
    for swap in 0..swaps {
        let [chain, key] = &pairs[(swap + 1) % 2];
        fs::write(&one.chain, chain).unwrap();
        let half = host.tls.reload();
        assert!(matches!(half, Err(TlsError::Mismatch { .. })), "{half:?}");
        let replace = async {
            fs::write(&one.key, key).unwrap();
            assert!(host.tls.reload().unwrap());
        };
        tokio::join!(dial(), dial(), replace, dial(), dial());
    }
}

#[tokio::test]
async fn a_client_resumes_by_a_ticket() {
    let host = Host::new(Limits::default()).await;
    for (version, users) in [(&TLS12, ["alice", "bob"]), (&TLS13, ["carol", "dave"])] {
        let config = trusting([&host.trusted], version);
        let mut kinds = Vec::new();
        for user in users {
            let tcp = TcpStream::connect(host.address).await.unwrap();
            let mut stream = connect(&config, tcp, "localhost").await.unwrap();
            // In TLS 1.3 the ticket arrives with the first bytes.
            stream.write_all(host.poll(user).as_bytes()).await.unwrap();
            read_until(&mut stream, "users.auth.ack").await;
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed], "{version:?}");
    }
}
