//! A user as its own client sees it.

use chatcamp_protocol::{AccessToken, User};

/// Returns the user as its own client sees it, with the token that its session presented.
pub(crate) fn own_user(user: &chatcamp_store::User, token: Option<&AccessToken>, is_online: bool) -> User {
    User {
        id: user.id.clone(),
        profile: user.profile.clone(),
        last_seen: user.last_seen,
        is_online,
        is_suspended: user.is_suspended,
        check_access_token: user.check_access_token,
        access_token: token.cloned(),
    }
}
