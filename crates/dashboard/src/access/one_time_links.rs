//! One-time links, each of which signs in once without the password.

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::secret::{self, SecretDigest};

/// Lifetime of a link, in seconds.
const LIFETIME: u64 = 60 * 60;
/// Maximum number of valid links; a further one replaces the oldest.
const MAX_LINKS: usize = 8;

/// The links that were issued and not yet used. Times are in Unix seconds.
#[derive(Default)]
pub(crate) struct OneTimeLinks {
    unused: Mutex<Vec<Link>>,
}

struct Link {
    digest: SecretDigest,
    expires_at: u64,
}

impl OneTimeLinks {
    /// Issues a link and returns its secret.
    pub(crate) fn issue(&self, now: u64) -> Zeroizing<String> {
        let secret = secret::random();
        let mut unused = self.unused.lock();
        if unused.len() == MAX_LINKS {
            unused.remove(0);
        }
        unused.push(Link { digest: secret::digest(&secret), expires_at: now.saturating_add(LIFETIME) });
        secret
    }

    /// Returns whether a link is valid, without using it.
    pub(crate) fn is_valid(&self, secret: &str, now: u64) -> bool {
        let digest = secret::digest(secret);
        self.unused.lock().iter().any(|link| link.digest == digest && now < link.expires_at)
    }

    /// Uses a link; returns `false` if it is not valid.
    pub(crate) fn take(&self, secret: &str, now: u64) -> bool {
        let digest = secret::digest(secret);
        let mut unused = self.unused.lock();
        unused.retain(|link| now < link.expires_at);
        let before = unused.len();
        unused.retain(|link| link.digest != digest);
        unused.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_valid_once_and_for_an_hour() {
        let links = OneTimeLinks::default();
        let one = links.issue(1000);
        let late = links.issue(1000);
        assert!(!links.is_valid("guessed", 1000) && !links.take("guessed", 1000));
        assert!(links.is_valid(&one, 1000) && links.is_valid(&one, 1000), "asking does not use it");
        assert!(links.take(&one, 1000));
        assert!(!links.is_valid(&one, 1000) && !links.take(&one, 1000));

        assert!(links.is_valid(&late, 1000 + LIFETIME - 1));
        assert!(!links.is_valid(&late, 1000 + LIFETIME) && !links.take(&late, 1000 + LIFETIME));
    }

    #[test]
    fn a_further_link_replaces_the_oldest() {
        let links = OneTimeLinks::default();
        let all: Vec<_> = (0..=MAX_LINKS).map(|_| links.issue(0)).collect();
        assert!(!links.is_valid(&all[0], 0));
        assert!(all[1..].iter().all(|secret| links.is_valid(secret, 0)));
        assert_eq!(links.unused.lock().len(), MAX_LINKS);
    }
}
