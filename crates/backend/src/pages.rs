//! `users.list`: the users of the app, page by page.

use chatcamp_protocol::User;
use serde::{Deserialize, Serialize};

use crate::{Backend, Error, retry::Repeat};

/// Which users, and how many at a time. By default all, 100 at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UserQuery {
    /// Users in a page, 1 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// Only those who have a live session, or have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// Only those whose id or name begins so; in names A to Z are a to z.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Where to go on: what [`Pages::position`] said.
    #[serde(skip_serializing_if = "Option::is_none", rename = "reference")]
    pub after: Option<String>,
}

/// Users in the byte order of their ids; where a prefix is given, those whose id begins so, then those whose name does.
///
/// Users who come or go meanwhile do not shift the others.
#[derive(Debug, Clone)]
pub struct Pages {
    backend: Backend,
    query: UserQuery,
    is_over: bool,
}

#[derive(Deserialize)]
struct Page {
    users: Vec<User>,
    #[serde(default)]
    reference: Option<String>,
}

impl Backend {
    /// Lists users, page by page; nothing is asked for yet.
    #[must_use]
    pub fn users(&self, query: UserQuery) -> Pages {
        Pages { backend: self.clone(), query, is_over: false }
    }
}

impl Pages {
    /// Fetches the next page, a short or empty one perhaps; nothing after the last.
    ///
    /// # Errors
    /// Those of every call. The position stays, so that the same page can be asked for again.
    ///
    /// # Cancel safety
    /// Dropped, the position stays.
    pub async fn next(&mut self) -> Result<Option<Vec<User>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let page: Page = self.backend.call("users.list", Repeat::AsItIs, &self.query).await?;
        self.is_over = page.reference.is_none();
        self.query.after = page.reference.or_else(|| self.query.after.take());
        Ok(Some(page.users))
    }

    /// Where the next page begins, for [`UserQuery::after`]; nothing before the first page and after the last.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        self.query.after.as_deref().filter(|_| !self.is_over)
    }
}
