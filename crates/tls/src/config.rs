//! Which certificates a client trusts.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    client::WantsClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// The only protocol of the clients over TLS: WebSocket and long-poll are HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// The platform's configuration, as long as a client uses it. Loading the root certificates of the system takes 25
/// to 120 ms.
static PLATFORM: Mutex<Weak<ClientConfig>> = Mutex::new(Weak::new());

/// The TLS configuration of a client. Cheap to clone; clones share their sessions for resumption.
///
/// It offers TLS 1.3 and 1.2, and the protocol `http/1.1`.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Why root certificates cannot be used. Always a configuration error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The text contains no certificate in PEM.
    #[error(
        "no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----; \
         give the certificate of the authority, not its key"
    )]
    NoCertificate,
    /// A certificate is malformed.
    #[error("certificate {number} is malformed: {why}")]
    Malformed {
        /// The position of the certificate among all, from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
    /// The operating system has no usable root certificates.
    #[error(
        "cannot load the root certificates of this system: {0}; \
         install them (on Debian the package ca-certificates), or give root certificates"
    )]
    Platform(String),
}

impl Tls {
    /// Trusts the authorities that the operating system trusts.
    ///
    /// Windows, Apple's systems and Android verify certificates themselves. On other systems the root certificates are files,
    /// which the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` can replace. They are loaded again after the last
    /// clone of the configuration was dropped.
    ///
    /// # Errors
    /// [`RootsError::Platform`] if the system has no root certificates.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> Result<(), chatcamp_tls::RootsError> {
    /// let tls = chatcamp_tls::Tls::platform()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn platform() -> Result<Self, RootsError> {
        let mut shared = PLATFORM.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = shared.upgrade() {
            return Ok(Self(config));
        }
        let builder = builder().with_platform_verifier();
        let tls = Self::new(builder.map_err(|error| RootsError::Platform(error.to_string()))?);
        *shared = Arc::downgrade(&tls.0);
        Ok(tls)
    }

    /// Trusts only the authorities whose certificates are in `pem`, and not those of the operating system.
    ///
    /// Text around the certificates is ignored. The certificate of a server can be its own root if it is not the certificate of
    /// an authority (`CA:FALSE`).
    ///
    /// # Errors
    /// [`RootsError`] if `pem` contains no certificate or a malformed one.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_tls::{RootsError, Tls};
    ///
    /// assert_eq!(Tls::with_roots("not PEM").unwrap_err(), RootsError::NoCertificate);
    /// ```
    pub fn with_roots(pem: impl AsRef<[u8]>) -> Result<Self, RootsError> {
        Self::with_root_texts([pem.as_ref()])
    }

    /// Trusts the authorities in all of `texts`, each of which must contain a certificate.
    pub(crate) fn with_root_texts<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        for text in texts {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(text) {
                let number = roots.len() + 1;
                let malformed = |why: String| RootsError::Malformed { number, why };
                let certificate = certificate.map_err(|error| malformed(error.to_string()))?;
                roots.add(certificate).map_err(|error| malformed(error.to_string()))?;
            }
            if roots.len() == before {
                return Err(RootsError::NoCertificate);
            }
        }
        Ok(Self::new(builder().with_root_certificates(roots)))
    }

    /// Trusts no certificate at all: for an HTTP client that needs a configuration and dials only `http://`.
    ///
    /// # Examples
    /// ```
    /// let tls = chatcamp_tls::Tls::without_roots();
    /// ```
    #[must_use]
    pub fn without_roots() -> Self {
        Self::new(builder().with_root_certificates(RootCertStore::empty()))
    }

    /// Returns the configuration of rustls, for a transport of your own.
    ///
    /// # Examples
    /// ```
    /// let tls = chatcamp_tls::Tls::without_roots();
    /// assert!(tls.config().enable_sni);
    /// ```
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.0
    }

    fn new(builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> Self {
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Self(Arc::new(config))
    }
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(name: &str) -> String {
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn roots_are_read_from_pem_with_other_text_around_them() {
        let (a, b) = (root("a.example"), root("b.example"));
        for pem in [a.clone(), format!("# two\r\n{a}\ntext\n{b}"), format!("{a}{b}").replace('\n', "\r\n")] {
            Tls::with_roots(&pem).unwrap();
        }
    }

    #[test]
    fn unusable_roots_are_named() {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let good = root("a.example");
        let cut = &good[..good.len() / 2];
        let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, expected) in [
            ("", "no certificate in PEM"),
            ("hello", "no certificate in PEM"),
            (&key, "no certificate in PEM"),
            (cut, "certificate 1 is malformed"),
            (&format!("{good}{no_der}"), "certificate 2 is malformed"),
            (&good.replacen('M', "?", 1), "certificate 1 is malformed"),
        ] {
            let error = Tls::with_roots(pem).unwrap_err().to_string();
            assert!(error.contains(expected), "{pem}: {error}");
        }
    }

    #[test]
    fn clients_that_trust_the_platform_share_its_configuration() {
        // A system without root certificates is an error, and not the subject of this test.
        if let (Ok(first), Ok(second)) = (Tls::platform(), Tls::platform()) {
            assert!(Arc::ptr_eq(first.config(), second.config()));
        }
    }
}
