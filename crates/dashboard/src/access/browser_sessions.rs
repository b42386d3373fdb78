//! Signed-in browsers: a bounded table of sessions, found by the digest of their cookie.

use std::collections::HashMap;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{
    password_hash::PasswordHash,
    secret::{self, SecretDigest},
};
use crate::flash::FlashMessage;

/// Maximum lifetime of a session, in seconds.
pub(crate) const LIFETIME: u64 = 12 * 60 * 60;
/// Lifetime of a session without requests by its user, in seconds. Requests of a page that reloads its data do not count.
const IDLE_LIFETIME: u64 = 60 * 60;
/// Maximum number of sessions; a further one replaces the one that was idle longest.
const MAX_SESSIONS: usize = 64;
/// Maximum number of flash messages that a session stores; they may contain form fields.
const MAX_FLASHES: usize = 4;

/// The sessions of signed-in browsers. Times are in Unix seconds.
#[derive(Default)]
pub(crate) struct BrowserSessions {
    by_cookie: Mutex<HashMap<SecretDigest, Entry>>,
}

/// The session that a request belongs to.
pub(crate) struct BrowserSession {
    cookie: SecretDigest,
    /// The token that every form of this session must contain.
    pub(crate) form_token: Zeroizing<String>,
}

struct Entry {
    form_token: Zeroizing<String>,
    started_at: u64,
    last_used: u64,
    /// The admin password at sign-in: the session ends when the password changes.
    password: PasswordHash,
    /// Flash messages, with the page that shows each of them.
    flashes: Vec<(String, FlashMessage)>,
}

/// Who caused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    User,
    /// A page that reloads its data.
    Script,
}

impl BrowserSessions {
    /// Starts a session and returns the value of its cookie.
    pub(crate) fn start(&self, password: PasswordHash, now: u64) -> Zeroizing<String> {
        let cookie = secret::random();
        let mut sessions = self.by_cookie.lock();
        sessions.retain(|_, entry| !entry.has_expired(now));
        if sessions.len() >= MAX_SESSIONS {
            let idlest = sessions.iter().min_by_key(|(_, entry)| entry.last_used).map(|(digest, _)| *digest);
            idlest.map(|digest| sessions.remove(&digest));
        }
        let form_token = secret::random();
        let entry = Entry { form_token, started_at: now, last_used: now, password, flashes: Vec::new() };
        sessions.insert(secret::digest(&cookie), entry);
        cookie
    }

    /// Returns the session of a cookie, or `None` if it has ended.
    pub(crate) fn find(
        &self,
        cookie: &str,
        password: &PasswordHash,
        trigger: Trigger,
        now: u64,
    ) -> Option<BrowserSession> {
        let cookie = secret::digest(cookie);
        let mut sessions = self.by_cookie.lock();
        let entry = sessions.get_mut(&cookie)?;
        if entry.has_expired(now) || entry.password != *password {
            sessions.remove(&cookie);
            return None;
        }
        if trigger == Trigger::User {
            entry.last_used = now;
        }
        Some(BrowserSession { cookie, form_token: entry.form_token.clone() })
    }

    pub(crate) fn end(&self, session: &BrowserSession) {
        self.by_cookie.lock().remove(&session.cookie);
    }

    /// Stores the flash message of a page. It replaces an earlier one of that page.
    pub(crate) fn set_flash(&self, session: &BrowserSession, page: &str, flash: FlashMessage) {
        let mut sessions = self.by_cookie.lock();
        let Some(Entry { flashes, .. }) = sessions.get_mut(&session.cookie) else { return };
        flashes.retain(|(of, _)| of != page);
        if flashes.len() == MAX_FLASHES {
            flashes.remove(0);
        }
        flashes.push((page.to_owned(), flash));
    }

    /// Removes and returns the flash message of a page.
    pub(crate) fn take_flash(&self, session: &BrowserSession, page: &str) -> Option<FlashMessage> {
        let mut sessions = self.by_cookie.lock();
        let flashes = &mut sessions.get_mut(&session.cookie)?.flashes;
        let index = flashes.iter().position(|(of, _)| of == page)?;
        Some(flashes.remove(index).1)
    }
}

impl Entry {
    fn has_expired(&self, now: u64) -> bool {
        now >= self.started_at.saturating_add(LIFETIME) || now >= self.last_used.saturating_add(IDLE_LIFETIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> PasswordHash {
        PasswordHash::from_text("hash")
    }

    fn is_signed_in(sessions: &BrowserSessions, cookie: &str, trigger: Trigger, now: u64) -> bool {
        sessions.find(cookie, &hash(), trigger, now).is_some()
    }

    #[test]
    fn a_session_ends_without_requests_by_its_user_even_if_its_page_reloads() {
        let sessions = BrowserSessions::default();
        let cookie = sessions.start(hash(), 0);
        assert!(is_signed_in(&sessions, &cookie, Trigger::Script, IDLE_LIFETIME - 1));
        assert!(!is_signed_in(&sessions, &cookie, Trigger::Script, IDLE_LIFETIME));

        let cookie = sessions.start(hash(), 0);
        assert!(is_signed_in(&sessions, &cookie, Trigger::User, IDLE_LIFETIME - 1));
        assert!(is_signed_in(&sessions, &cookie, Trigger::User, 2 * (IDLE_LIFETIME - 1)));
    }

    #[test]
    fn a_session_in_use_ends_after_its_lifetime() {
        let sessions = BrowserSessions::default();
        let cookie = sessions.start(hash(), 0);
        for now in (0..LIFETIME).step_by(1800) {
            assert!(is_signed_in(&sessions, &cookie, Trigger::User, now));
        }
        assert!(!is_signed_in(&sessions, &cookie, Trigger::User, LIFETIME));
    }

    #[test]
    fn a_new_password_ends_every_session() {
        let sessions = BrowserSessions::default();
        let cookie = sessions.start(hash(), 0);
        assert!(is_signed_in(&sessions, &cookie, Trigger::User, 0));
        assert!(sessions.find(&cookie, &PasswordHash::from_text("another"), Trigger::User, 0).is_none());
        assert!(!is_signed_in(&sessions, &cookie, Trigger::User, 0), "it stays ended");
    }

    #[test]
    fn a_flash_message_is_shown_once_by_its_page() {
        let sessions = BrowserSessions::default();
        let cookie = sessions.start(hash(), 0);
        let session = sessions.find(&cookie, &hash(), Trigger::User, 0).unwrap();
        for page in 0..=MAX_FLASHES {
            sessions.set_flash(&session, &page.to_string(), FlashMessage::success("first"));
            sessions.set_flash(&session, &page.to_string(), FlashMessage::success(format!("of {page}")));
        }
        let taken = |page: &str| sessions.take_flash(&session, page).map(|flash| flash.text);
        assert_eq!(taken("another"), None);
        assert_eq!(taken("1").as_deref(), Some("of 1"));
        assert_eq!(taken("1"), None);
        assert_eq!(taken("0"), None, "the oldest was dropped");
    }

    #[test]
    fn a_further_session_replaces_the_idlest() {
        let sessions = BrowserSessions::default();
        let first = sessions.start(hash(), 0);
        let second = sessions.start(hash(), 1);
        assert!(is_signed_in(&sessions, &first, Trigger::User, 2));
        for _ in 0..MAX_SESSIONS - 1 {
            sessions.start(hash(), 3);
        }
        assert_eq!(sessions.by_cookie.lock().len(), MAX_SESSIONS);
        assert!(is_signed_in(&sessions, &first, Trigger::User, 3));
        assert!(!is_signed_in(&sessions, &second, Trigger::User, 3));
    }
}
