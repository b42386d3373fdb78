//! One-time links: whoever has one signs in once, without the password.

use chatcamp_server::Clock;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::secret::{self, Mark};

/// How long a link is good, in seconds.
const LIFE: u64 = 60 * 60;
/// Links that are good at one moment, at most; of one more the eldest goes.
const MOST: usize = 8;

/// The links that were handed out and not yet used.
pub(crate) struct Links {
    open: Mutex<Vec<Link>>,
}

struct Link {
    mark: Mark,
    until: u64,
}

impl Links {
    pub(crate) fn new() -> Self {
        Self { open: Mutex::new(Vec::new()) }
    }

    /// The secret of a new link.
    pub(crate) fn issue(&self, clock: &Clock) -> Zeroizing<String> {
        let secret = secret::random();
        let mut open = self.open.lock();
        if open.len() == MOST {
            open.remove(0);
        }
        open.push(Link { mark: secret::mark(&secret), until: clock.now().saturating_add(LIFE) });
        secret
    }

    /// Whether a link is still good; to ask does not use it.
    pub(crate) fn is_good(&self, secret: &str, clock: &Clock) -> bool {
        let (mark, now) = (secret::mark(secret), clock.now());
        self.open.lock().iter().any(|link| link.mark == mark && now < link.until)
    }

    /// Uses a link up; false when it is not good.
    pub(crate) fn take(&self, secret: &str, clock: &Clock) -> bool {
        let (mark, now) = (secret::mark(secret), clock.now());
        let mut open = self.open.lock();
        open.retain(|link| now < link.until);
        let before = open.len();
        open.retain(|link| link.mark != mark);
        open.len() < before
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    #[test]
    fn a_link_is_good_once_and_not_for_ever() {
        let time = Arc::new(AtomicU64::new(1000));
        let clock = Clock::new({
            let time = time.clone();
            move || time.load(Ordering::Relaxed)
        });
        let links = Links::new();
        let (one, late) = (links.issue(&clock), links.issue(&clock));
        assert!(!links.is_good("guessed", &clock) && !links.take("guessed", &clock));
        assert!(links.is_good(&one, &clock) && links.is_good(&one, &clock), "looking does not use it");
        assert!(links.take(&one, &clock));
        assert!(!links.is_good(&one, &clock) && !links.take(&one, &clock));

        time.store(1000 + LIFE - 1, Ordering::Relaxed);
        assert!(links.is_good(&late, &clock));
        time.store(1000 + LIFE, Ordering::Relaxed);
        assert!(!links.is_good(&late, &clock) && !links.take(&late, &clock));
    }

    #[test]
    fn only_so_many_links_are_kept() {
        let (links, clock) = (Links::new(), Clock::system());
        let all: Vec<_> = (0..=MOST).map(|_| links.issue(&clock)).collect();
        assert!(!links.is_good(&all[0], &clock));
        assert!(all[1..].iter().all(|secret| links.is_good(secret, &clock)));
        assert_eq!(links.open.lock().len(), MOST);
    }
}
