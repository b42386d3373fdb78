//! Certificates of a server: loaded, checked, chosen by name, replaced.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::RwLock;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use webpki::{EndEntityCert, KeyUsage};

use super::CertificateFiles;

/// Certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The list of files is empty.
    #[error("TLS needs at least one certificate")]
    Empty,
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has no certificate or private key, or it is damaged.
    #[error("{} is not a PEM file with a {expected}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The private key does not belong to the certificate.
    #[error("the private key {} does not belong to the certificate {}", files.key.display(), files.chain.display())]
    Mismatch {
        /// The pair.
        files: CertificateFiles,
    },
    /// The certificate has expired.
    #[error("the certificate {} has expired; renew it", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is not valid yet.
    #[error("the certificate {} is not valid yet; check the clock of this machine", path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
    },
    /// The cryptography library refuses the settings.
    #[error("TLS cannot be set up")]
    Unsupported(#[source] rustls::Error),
}

/// The certificates in use. The first one is the default.
pub(super) struct Certificates {
    files: Vec<CertificateFiles>,
    provider: Arc<CryptoProvider>,
    current: RwLock<Vec<Certificate>>,
}

struct Certificate {
    key: Arc<CertifiedKey>,
    /// The contents of the files, to notice a change.
    contents: [Vec<u8>; 2],
}

impl Certificates {
    pub(super) fn load(
        files: Vec<CertificateFiles>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        if files.is_empty() {
            return Err(TlsError::Empty);
        }
        let certificates = Self { files, provider, current: RwLock::default() };
        certificates.reload()?;
        Ok(certificates)
    }

    /// Reads all files; replaces the certificates if a file has changed and all pairs are usable.
    ///
    /// Contents are compared, not times: orchestrators replace a symbolic link and keep the time of the file.
    pub(super) fn reload(&self) -> Result<bool, TlsError> {
        let mut contents = Vec::with_capacity(self.files.len());
        for files in &self.files {
            contents.push([read(&files.chain)?, read(&files.key)?]);
        }
        if self.current.read().iter().map(|certificate| &certificate.contents).eq(&contents) {
            return Ok(false);
        }
        let mut loaded = Vec::with_capacity(contents.len());
        for (files, contents) in self.files.iter().zip(contents) {
            let key = Arc::new(certified_key(files, &contents, &self.provider)?);
            loaded.push(Certificate { key, contents });
        }
        *self.current.write() = loaded;
        Ok(true)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read();
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.filter(|_| current.len() > 1).and_then(|name| {
            current.iter().find(|certificate| {
                let end = certificate.key.end_entity_cert().ok();
                end.and_then(|end| EndEntityCert::try_from(end).ok())
                    .is_some_and(|end| end.verify_is_valid_for_subject_name(&name).is_ok())
            })
        });
        named.or_else(|| current.first()).map(|certificate| certificate.key.clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

/// Returns the chain and the key of a pair that can be used now.
fn certified_key(
    files: &CertificateFiles,
    [chain, key]: &[Vec<u8>; 2],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let invalid =
        |path: &Path, expected, source| TlsError::Invalid { path: path.to_owned(), expected, source };
    let no_chain = |source| invalid(&files.chain, "certificate chain", source);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|source| no_chain(source.into()))?;
    let end = chain.first().ok_or_else(|| no_chain(pem::Error::NoItemsFound.into()))?;
    let end = EndEntityCert::try_from(end).map_err(|source| no_chain(source.into()))?;
    // Validity is checked before trust; without an authority, trust always fails.
    let now = UnixTime::since_unix_epoch(
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
    );
    match end.verify_for_usage(&[], &[], &[], now, KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CertExpired { .. }) => {
            return Err(TlsError::Expired { path: files.chain.clone() });
        }
        Err(webpki::Error::CertNotValidYet { .. }) => {
            return Err(TlsError::NotYetValid { path: files.chain.clone() });
        }
        _ => {}
    }
    let no_key = |source| invalid(&files.key, "private key", source);
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| no_key(source.into()))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { files: files.clone() },
        error => no_key(error.into()),
    })
}
