//! A signed-in request, and the services that pages and actions use.

use std::sync::Arc;

use chatcamp_protocol::AppId;
use chatcamp_server::{Accounts, Clock, PublicUrl, Server};
use chatcamp_store::{App, Store};

use crate::{
    access::{BrowserSession, BrowserSessions},
    error::PageError,
    fields::{Fields, href},
    flash::FlashMessage,
    host::Origin,
    paths::Root,
};

/// What pages read and actions change.
pub(crate) struct Services {
    pub(crate) server: Server,
    pub(crate) accounts: Accounts,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// The URL of the chat, if it differs from the dashboard's and the server has no public URL.
    pub(crate) chat_url: Option<String>,
    /// When the dashboard was created, with its server, in Unix seconds.
    pub(crate) started_at: u64,
    /// Whether the server has the page `/try` too.
    pub(crate) has_try_page: bool,
}

/// A request of a signed-in browser.
pub(crate) struct PageRequest<'a> {
    pub(crate) services: &'a Services,
    pub(crate) sessions: &'a BrowserSessions,
    pub(crate) session: BrowserSession,
    pub(crate) origin: Origin,
    pub(crate) root: Root,
    pub(crate) path_and_query: String,
    pub(crate) query: Fields,
    /// The body of the answer will be dropped: a flash message must not be used up.
    pub(crate) is_head: bool,
}

impl PageRequest<'_> {
    /// Returns the app that the query names.
    pub(crate) async fn app(&self) -> Result<Arc<App>, PageError> {
        let id = AppId::new(self.query.text("app")).map_err(|_| PageError::not_found())?;
        Ok(self.services.accounts.app(&id).await?)
    }

    /// Returns the link to a page, relative to the requested one.
    pub(crate) fn href(&self, path: &str, query: &[(&str, &str)]) -> String {
        self.root.to(&href(path, query))
    }

    /// Returns the link to a path of the chat's address, which is not the dashboard's if the dashboard has an address of its own.
    pub(crate) fn server_href(&self, path: &str) -> String {
        if self.services.chat_url.is_some() { self.chat_url() + path } else { self.href(path, &[]) }
    }

    /// Returns the URL at which apps reach the chat.
    pub(crate) fn chat_url(&self) -> String {
        let known = self.services.server.public_url().map(PublicUrl::to_string);
        known.or_else(|| self.services.chat_url.clone()).unwrap_or_else(|| self.origin.to_string())
    }

    /// Returns the URL of the chat if it is a guess that misses the path of a proxy: the page's script, which sees the path, corrects
    /// it.
    pub(crate) fn guessed_url(&self) -> Option<String> {
        let is_known = self.services.server.public_url().is_some() || self.services.chat_url.is_some();
        (!is_known).then(|| self.origin.to_string())
    }

    /// Returns the current Unix time in seconds.
    pub(crate) fn now(&self) -> u64 {
        self.services.clock.now()
    }

    /// Stores a flash message for the page that follows.
    pub(crate) fn set_flash(&self, page: &str, flash: FlashMessage) {
        self.sessions.set_flash(&self.session, page, flash);
    }

    /// Removes and returns the flash message of this page.
    pub(crate) fn take_flash(&self) -> Option<FlashMessage> {
        if self.is_head {
            return None;
        }
        self.sessions.take_flash(&self.session, &self.path_and_query)
    }
}
