//! The authorities that a client trusts, as its builder collects them.

use crate::{RootsError, Tls};

/// The authorities that a client trusts, before they are loaded. Those of the operating system by default.
///
/// # Examples
/// ```
/// use chatcamp_tls::Trust;
///
/// # fn main() -> Result<(), chatcamp_tls::RootsError> {
/// # let pem = chatcamp_tls::testing::Authority::new("example").pem();
/// let mut trust = Trust::default();
/// trust.add_root(&pem);
/// let tls = trust.load()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Trust(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    Platform,
    /// The texts of all roots, in PEM.
    Roots(Vec<Vec<u8>>),
    Given(Tls),
}

impl Trust {
    /// Trusts an authority instead of those of the operating system, and beside those already added.
    pub fn add_root(&mut self, pem: impl AsRef<[u8]>) {
        let mut roots = match std::mem::take(&mut self.0) {
            Source::Roots(roots) => roots,
            Source::Platform | Source::Given(_) => Vec::new(),
        };
        roots.push(pem.as_ref().to_vec());
        self.0 = Source::Roots(roots);
    }

    /// Uses this configuration instead of everything else.
    pub fn set(&mut self, tls: Tls) {
        self.0 = Source::Given(tls);
    }

    /// Returns whether nothing was added or set.
    #[must_use]
    pub fn is_platform(&self) -> bool {
        matches!(self.0, Source::Platform)
    }

    /// Returns the configuration.
    ///
    /// # Errors
    /// [`RootsError`] if a root certificate is missing or malformed.
    pub fn load(&self) -> Result<Tls, RootsError> {
        match &self.0 {
            Source::Platform => Tls::platform(),
            Source::Roots(texts) => Tls::with_root_texts(texts.iter().map(Vec::as_slice)),
            Source::Given(tls) => Ok(tls.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::Authority;

    #[test]
    fn roots_add_up_and_replace_everything_else() {
        let mut trust = Trust::default();
        assert!(trust.is_platform());
        trust.set(Tls::without_roots());
        for name in ["a", "b"] {
            trust.add_root(Authority::new(name).pem());
        }
        trust.load().unwrap();
        let with = |pem: &str| {
            let mut trust = trust.clone();
            trust.add_root(pem);
            trust.load().map(drop)
        };
        assert_eq!(with("not PEM"), Err(RootsError::NoCertificate));
        let malformed = with("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----");
        assert!(matches!(malformed, Err(RootsError::Malformed { number: 3, .. })), "{malformed:?}");
        let tls = Tls::without_roots();
        trust.set(tls.clone());
        assert!(Arc::ptr_eq(trust.load().unwrap().config(), tls.config()) && !trust.is_platform());
    }
}
