//! Access to the dashboard: the admin password, attempts to sign in, one-time links and the sessions of browsers.

mod attempts;
mod browser_sessions;
mod one_time_links;
mod password;
mod password_hash;
mod secret;

use std::sync::Arc;

use chatcamp_server::Clock;
use http::{HeaderMap, header::COOKIE};

pub use self::password::{AdminPassword, PasswordError};
pub(crate) use self::{
    attempts::{Attempt, SignInAttempts},
    browser_sessions::{BrowserSession, BrowserSessions, Trigger},
    one_time_links::OneTimeLinks,
    password::MAX_BYTES as MAX_PASSWORD_BYTES,
    password_hash::PasswordHash,
    secret::is_same,
};

/// Maximum number of cookies with the dashboard's name that are checked: other programs on this host may set more of them.
const MAX_COOKIES: usize = 4;

/// Decides which requests are signed in.
pub(crate) struct Access {
    pub(crate) password: Arc<AdminPassword>,
    pub(crate) attempts: Arc<SignInAttempts>,
    pub(crate) links: OneTimeLinks,
    pub(crate) sessions: BrowserSessions,
    pub(crate) clock: Clock,
    /// Browsers store cookies by host and ignore the port: two servers on one machine need two names.
    cookie_name: String,
}

impl Access {
    pub(crate) fn new(password: AdminPassword, port: u16, clock: Clock) -> Self {
        Self {
            password: Arc::new(password),
            attempts: Arc::default(),
            links: OneTimeLinks::default(),
            sessions: BrowserSessions::default(),
            clock,
            cookie_name: format!("chatcamp_dashboard_{port}"),
        }
    }

    /// Starts a session and returns the `Set-Cookie` header for it.
    pub(crate) fn start_session(&self, password: PasswordHash, is_https: bool) -> String {
        let value = self.sessions.start(password, self.clock.now());
        self.cookie(&value, browser_sessions::LIFETIME, is_https)
    }

    /// Ends a session and returns the `Set-Cookie` header that deletes its cookie.
    pub(crate) fn end_session(&self, session: &BrowserSession, is_https: bool) -> String {
        self.sessions.end(session);
        self.cookie("", 0, is_https)
    }

    /// Returns the session that a request belongs to, or `None` if it is not signed in.
    pub(crate) async fn session(
        &self,
        headers: &HeaderMap,
        trigger: Trigger,
    ) -> Result<Option<BrowserSession>, PasswordError> {
        let values = cookies(headers, &self.cookie_name);
        if values.is_empty() {
            return Ok(None);
        }
        let Some(password) = self.password.hash().await? else { return Ok(None) };
        let now = self.clock.now();
        Ok(values.into_iter().find_map(|value| self.sessions.find(value, &password, trigger, now)))
    }

    fn cookie(&self, value: &str, max_age: u64, is_https: bool) -> String {
        let secure = if is_https { "; Secure" } else { "" };
        let name = &self.cookie_name;
        // Without `Path`, a browser sends the cookie to the folder of the form that set it: to the pages of the dashboard only, under
        // whichever path a proxy serves them.
        format!("{name}={value}; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}")
    }
}

/// Returns the values of the cookies with a name.
fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter_map(|(n, value)| (n == name).then_some(value))
        .take(MAX_COOKIES)
        .collect()
}
