//! A certificate authority, a TLS proxy, and servers whose handshakes fail, for tests.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail like a test")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::TlsError;

/// A certificate authority with a key of its own.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Creates an authority with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns the certificate of the authority in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// Returns the configuration of a server with a certificate for these names and IP addresses.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.server_with(names, |_| {})
    }

    fn server_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        server_config(certificate.der().clone(), key)
    }

    /// Returns the configuration of a server that presents the certificate of the authority as its own.
    #[must_use]
    pub fn as_server(&self) -> Arc<ServerConfig> {
        let key = PrivatePkcs8KeyDer::from(self.0.key().serialize_der());
        server_config(self.0.as_ref().der().clone(), key)
    }
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate], key.into()).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// What a [`Proxy`] learnt about a client from its handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The host name that the client named; `None` if it dialled an IP address.
    pub server_name: Option<String>,
    /// The protocol that was negotiated.
    pub alpn: Option<String>,
}

/// A TLS server on loopback that forwards plaintext to another server. Ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of the system's choice and forwards to `upstream`.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing was started.
    pub async fn start(config: Arc<ServerConfig>, upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let handshakes = Arc::<Mutex<Vec<Handshake>>>::default();
        let noted = Arc::clone(&handshakes);
        let connections = Arc::<AtomicUsize>::default();
        let accepted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let acceptor = TlsAcceptor::from(config);
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                open.spawn(forward(acceptor.clone(), stream, upstream, Arc::clone(&noted)));
            }
        });
        Self { address, handshakes, connections, _tasks: tasks }
    }

    /// Returns the address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the completed handshakes in order.
    #[must_use]
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.handshakes.lock().unwrap().clone()
    }
}

async fn forward(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    upstream: SocketAddr,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
) {
    stream.set_nodelay(true).unwrap();
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let (_, session) = stream.get_ref();
    let alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let server_name = session.server_name().map(str::to_owned);
    handshakes.lock().unwrap().push(Handshake { server_name, alpn });
    if let Ok(mut upstream) = TcpStream::connect(upstream).await {
        upstream.set_nodelay(true).unwrap();
        // A broken connection ends both sides.
        let _ = copy_bidirectional(&mut stream, &mut upstream).await;
    }
}

/// A way in which the handshake with a server at `localhost` fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is signed by another authority.
    UnknownAuthority,
    /// The certificate is for other names.
    WrongName,
    /// The certificate is that of the authority itself.
    AuthorityAsServer,
    /// The server speaks plain HTTP.
    PlainHttp,
    /// The server closes the connection after the first bytes of the client.
    Cut,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::Expired,
        Self::NotYetValid,
        Self::UnknownAuthority,
        Self::WrongName,
        Self::AuthorityAsServer,
        Self::PlainHttp,
        Self::Cut,
    ];

    /// Returns whether `error` is the one that a client must report for this fault.
    #[must_use]
    pub fn is_reported_as(self, error: &TlsError) -> bool {
        match (self, error) {
            (Self::Expired, TlsError::Expired { not_after }) => not_after.is_some(),
            (Self::NotYetValid, TlsError::NotYetValid { not_before, .. }) => not_before.is_some(),
            (Self::UnknownAuthority, TlsError::UnknownAuthority)
            | (Self::PlainHttp, TlsError::NotTls)
            | (Self::Cut, TlsError::Cut) => true,
            (Self::WrongName, TlsError::WrongName { expected, names }) => {
                expected.as_deref() == Some("localhost") && *names == ["other.example", "192.0.2.1"]
            }
            (Self::AuthorityAsServer, TlsError::Certificate(why)) => why.contains("CA:FALSE"),
            _ => false,
        }
    }

    /// Returns a text that the message of the error contains.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Expired => "certificate expired on ",
            Self::NotYetValid => "check the clock",
            Self::UnknownAuthority => "not signed by a trusted authority",
            Self::WrongName => "is for other.example, 192.0.2.1, not for localhost",
            Self::AuthorityAsServer => "issue one with CA:FALSE",
            Self::PlainHttp => "does not use TLS on this port",
            Self::Cut => "ended during the TLS handshake",
        }
    }
}

/// A server with a [`Fault`]. Ends when it is dropped.
#[derive(Debug)]
pub struct FaultyServer {
    address: SocketAddr,
    root: String,
    connections: Arc<AtomicUsize>,
    _proxy: Option<Proxy>,
    _tasks: JoinSet<()>,
}

impl FaultyServer {
    /// Starts the server on a port of the system's choice.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing was started.
    pub async fn start(fault: Fault) -> Self {
        let authority = Authority::new("trusted");
        let local = ["localhost"];
        let config = match fault {
            Fault::Expired => authority.server_with(&local, |params| {
                params.not_after = date_time_ymd(2001, 2, 3);
            }),
            Fault::NotYetValid => authority.server_with(&local, |params| {
                params.not_before = date_time_ymd(2999, 2, 3);
            }),
            Fault::UnknownAuthority => Authority::new("unknown").server(&local),
            Fault::WrongName => authority.server(&["other.example", "192.0.2.1"]),
            Fault::AuthorityAsServer => authority.as_server(),
            Fault::PlainHttp => {
                return Self::plain(authority.pem(), b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
            Fault::Cut => return Self::plain(authority.pem(), b"").await,
        };
        // No handshake succeeds, so nothing is forwarded.
        let proxy = Proxy::start(config, (Ipv4Addr::LOCALHOST, 9).into()).await;
        Self {
            address: proxy.address(),
            root: authority.pem(),
            connections: Arc::clone(&proxy.connections),
            _proxy: Some(proxy),
            _tasks: JoinSet::new(),
        }
    }

    /// Starts a server that answers every request with what nginx answers on a port for TLS.
    ///
    /// # Cancel safety
    /// If the future is dropped, nothing was started.
    pub async fn expecting_tls() -> Self {
        const RESPONSE: &[u8] =
            b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\n\
            Content-Length: 147\r\nConnection: close\r\n\r\n\
            <html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n\
            <body>\r\n<center><h1>400 Bad Request</h1></center>\r\n</body>\r\n";
        Self::plain(String::new(), RESPONSE).await
    }

    async fn plain(root: String, answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let accepted = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                // All of the client's first flight: unread bytes would turn the close into a reset.
                let _ = stream.read(&mut [0; 16 * 1024]).await;
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { address, root, connections, _proxy: None, _tasks: tasks }
    }

    /// Returns the port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the URL to dial.
    #[must_use]
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}", self.port())
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns the root certificate, in PEM, that the client trusts.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }
}
