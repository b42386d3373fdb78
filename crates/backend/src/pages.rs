//! `users.list`: lists the users of the app in pages.

use chatcamp_protocol::User;
use serde::{Deserialize, Serialize};

use crate::{Backend, Error, retry::Repeat};

/// A query for users. By default all users, 100 per page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UserQuery {
    /// Users per page, 1 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// Only users with a live session (`true`) or without one (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// Only users whose id or name begins with this text; ASCII letters in names are compared without case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Continues after an earlier page: the value of [`Pages::position`].
    #[serde(skip_serializing_if = "Option::is_none", rename = "reference")]
    pub after: Option<String>,
}

/// Pages of users in the byte order of their ids. With a prefix, the users whose id matches come first, then those whose name
/// matches.
///
/// Users created or deleted between two pages do not shift the others.
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
    /// Lists users in pages. Sends nothing yet.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_backend::UserQuery;
    ///
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let mut pages = chat.users(UserQuery { online: Some(true), ..UserQuery::default() });
    /// while let Some(users) = pages.next().await? {
    ///     println!("{} users", users.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn users(&self, query: UserQuery) -> Pages {
        Pages { backend: self.clone(), query, is_over: false }
    }
}

impl Pages {
    /// Fetches the next page, which may be short or empty. Returns `None` after the last page.
    ///
    /// # Errors
    /// Those of every call; see [`Error`]. The position does not change: call again for the same page.
    ///
    /// # Cancel safety
    /// Cancel safe: the position does not change if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Vec<User>>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let page: Page = self.backend.call("users.list", Repeat::Idempotent, &self.query).await?;
        self.is_over = page.reference.is_none();
        self.query.after = page.reference.or_else(|| self.query.after.take());
        Ok(Some(page.users))
    }

    /// Returns the start of the next page, for [`UserQuery::after`], or `None` before the first page and after the last.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        self.query.after.as_deref().filter(|_| !self.is_over)
    }
}
