//! Queries that select users of an app.

use chatcamp_protocol::UserId;

/// Selects users of an app, for [`UserStore::find_users`](crate::UserStore::find_users). The default selects all users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserQuery {
    /// A text inside the id or the display name. Empty selects all users.
    ///
    /// A to Z count as a to z; no other characters are folded.
    pub text: String,
    /// Whether the user must present an access token in an open app too.
    pub check_access_token: Option<bool>,
    /// Whether the user is suspended.
    pub is_suspended: Option<bool>,
    /// The ids to select from. Ids of users that do not exist select nobody.
    pub ids: Option<Vec<UserId>>,
}
