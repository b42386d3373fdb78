//! TLS at the front door.

mod certificates;
mod stream;

use std::{fmt, path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::{Ticketer, default_provider},
    server::NoServerSessionStorage,
};

pub use self::certificates::TlsError;
pub(super) use self::stream::Stream;

use self::certificates::Certificates;

/// The certificate chain and the private key of a server, both as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate of the server first, then those that lead to a trusted authority.
    pub chain: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// The certificates of a [`FrontDoor`](crate::FrontDoor), which can be replaced while it serves.
///
/// TLS 1.2 and 1.3 with the cryptography of aws-lc-rs; the default provider of the process is neither installed nor read. A client
/// resumes by a ticket that lasts at least 6 and at most 12 hours; early data is refused.
///
/// # Examples
/// ```no_run
/// use std::sync::Arc;
/// use chatcamp_server::{CertificateFiles, FrontDoor, Keyring, Server, Tls};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::load(vec![CertificateFiles { chain: "chain.pem".into(), key: "key.pem".into() }])?;
/// let server = Server::builder(Arc::new(chatcamp_store::memory::Store::new()), Keyring::new(vec![[7; 32]])?).start();
/// let door = FrontDoor::bind(server, "0.0.0.0:443".parse()?)?.tls(tls.clone());
/// tokio::spawn(door.run());
/// // … when the files have changed:
/// tls.reload()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl Tls {
    /// Loads certificates. A client gets the first one whose names include the name that the client asks for, otherwise the first
    /// one of all.
    ///
    /// # Errors
    /// [`TlsError`] if there is no certificate, or one cannot be used.
    pub fn load(files: Vec<CertificateFiles>) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let certificates = Arc::new(Certificates::load(files, provider.clone())?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unsupported)?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Ticketer::new().map_err(TlsError::Unsupported)?;
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), certificates })
    }

    /// Loads the files again; returns whether any of them had changed. New connections get the new certificates, live connections
    /// are left as they are.
    ///
    /// # Errors
    /// [`TlsError`] if a certificate cannot be used, for example because only one file of a pair is replaced yet. All certificates
    /// then stay as they were.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.certificates.reload()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}
