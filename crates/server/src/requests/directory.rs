//! `users.list`, `users.list_count`: the users of the app, if the app lets clients see them.
//!
//! Suspended users are never listed, and whether a user must present a token is not disclosed: filters that ask for
//! either are invalid.

use std::sync::Arc;

use chatcamp_protocol::{
    AppId, ErrorCode, UserId, limits,
    request::{CountResponse, CountUsers, ListUsers, PresenceFilter, UserCount, UserFilters, UserPage},
    user::PublicUser,
};
use chatcamp_store::{Store, StoreError, User};

use super::{
    call::{Call, Failure, Outcome},
    page::Page,
};
use crate::{bus::BusError, operations::Unavailable};

/// The maximum number of users read for one request.
const SCAN: usize = 10_000;
/// The number of users read before other tasks run.
const CHUNK: usize = 200;
/// The maximum number of ids in one request.
const USER_IDS: usize = 1000;

/// Lists users in the byte order of their ids.
pub(super) async fn list(call: &Call<ListUsers>, request: ListUsers) -> Outcome {
    if request.user_ids.as_ref().is_some_and(|ids| ids.len() > USER_IDS) {
        let message = format!("user_ids has more than {USER_IDS} ids");
        return Err(Failure::refused(ErrorCode::ValueTooLong, message));
    }
    if request.display_name_search.as_ref().is_some_and(|text| text.len() > limits::DISPLAY_NAME) {
        let message = format!("display_name_search is longer than {} bytes", limits::DISPLAY_NAME);
        return Err(Failure::refused(ErrorCode::ValueTooLong, message));
    }
    check_directory(call).await?;
    Ok(call.succeed(&fill_page(call, request).await?))
}

/// Counts users.
pub(super) async fn count(call: &Call<CountUsers>, request: CountUsers) -> Outcome {
    check_directory(call).await?;
    Ok(call.succeed(&CountResponse { users: count_users(call, &request.filters).await? }))
}

/// Refuses the request if the app does not let clients list its users.
async fn check_directory<R>(call: &Call<R>) -> Result<(), Failure> {
    match call.store().app(&call.session.app).await? {
        Some(app) if app.directory => Ok(()),
        _ => {
            let message = "this app does not let clients list or count its users";
            Err(Failure::refused(ErrorCode::DirectoryOff, message))
        }
    }
}

async fn fill_page(call: &Call<ListUsers>, request: ListUsers) -> Result<UserPage, Unavailable> {
    let matcher = Matcher::new(&request.filters, request.display_name_search.as_deref());
    let mut page = Page::new(request.limit);
    let mut walk = Walk::new(call.store(), &call.session.app, request.reference, request.user_ids);
    // Usually all users match, so that the first step fills the page.
    let mut width = page.length();
    while let Some(users) = walk.next(width).await? {
        for user in matcher.select(call, users).await? {
            if page.push(user).is_err() {
                return Ok(page.into());
            }
        }
        width = CHUNK;
    }
    page.continue_after(walk.stopped_at());
    Ok(page.into())
}

async fn count_users(call: &Call<CountUsers>, filters: &UserFilters) -> Result<UserCount, Unavailable> {
    if filters.is_online_filter.unwrap_or_default() == PresenceFilter::All {
        let count = call.store().active_user_count(&call.session.app).await?;
        return Ok(UserCount { count, is_partial: false });
    }
    let matcher = Matcher::new(filters, None);
    let mut walk = Walk::new(call.store(), &call.session.app, None, None);
    let mut count = 0;
    while let Some(users) = walk.next(CHUNK).await? {
        count += matcher.select(call, users).await?.len() as u64;
    }
    Ok(UserCount { count, is_partial: walk.stopped_at().is_some() })
}

/// Reads users in the order of their ids, at most [`SCAN`] of them.
struct Walk<'a> {
    store: &'a dyn Store,
    app: &'a AppId,
    /// The last user read.
    at: Option<UserId>,
    /// The ids to read, in descending order; `None` for all users of the app.
    named: Option<Vec<UserId>>,
    left: usize,
    has_ended: bool,
}

impl<'a> Walk<'a> {
    fn new(
        store: &'a dyn Store,
        app: &'a AppId,
        after: Option<UserId>,
        mut named: Option<Vec<UserId>>,
    ) -> Self {
        if let Some(named) = &mut named {
            named.retain(|id| after.as_ref().is_none_or(|after| id > after));
            named.sort_unstable_by(|a, b| b.cmp(a));
            named.dedup();
        }
        Self { store, app, at: after, named, left: SCAN, has_ended: false }
    }

    /// Reads up to `width` more users. Returns `None` if there are no more, or if [`SCAN`] users were read.
    async fn next(&mut self, width: usize) -> Result<Option<Vec<Arc<User>>>, StoreError> {
        let width = width.min(self.left);
        if self.has_ended || width == 0 {
            return Ok(None);
        }
        if self.left < SCAN {
            tokio::task::yield_now().await;
        }
        self.left -= width;
        let Some(named) = &mut self.named else {
            let users = self.store.users(self.app, self.at.as_ref(), width).await?;
            self.has_ended = users.len() < width;
            self.at = users.last().map(|user| user.id.clone()).or_else(|| self.at.take());
            return Ok(Some(users));
        };
        let mut users = Vec::new();
        for id in named.split_off(named.len().saturating_sub(width)).iter().rev() {
            users.extend(self.store.user(self.app, id).await?);
        }
        self.has_ended = named.is_empty();
        Ok(Some(users))
    }

    /// Returns the last user read; `None` if there are no more users.
    fn stopped_at(self) -> Option<UserId> {
        if self.has_ended { None } else { self.at }
    }
}

/// The filters of a request.
struct Matcher {
    presence: PresenceFilter,
    search: Option<String>,
}

impl Matcher {
    fn new(filters: &UserFilters, search: Option<&str>) -> Self {
        let search = search.map(|search| fold(search).collect());
        Self { presence: filters.is_online_filter.unwrap_or_default(), search }
    }

    /// Returns the users that match, as others see them.
    async fn select<R>(
        &self,
        call: &Call<R>,
        mut users: Vec<Arc<User>>,
    ) -> Result<Vec<PublicUser>, BusError> {
        users.retain(|user| !user.is_suspended && self.is_found(user));
        let mut users = call.public_users(&users).await?;
        users.retain(|user| match self.presence {
            PresenceFilter::All => true,
            PresenceFilter::Online => user.is_online,
            PresenceFilter::Offline => !user.is_online,
        });
        Ok(users)
    }

    fn is_found(&self, user: &User) -> bool {
        self.search.as_ref().is_none_or(|search| {
            begins_with(&user.profile.display_name, search) || begins_with(user.id.as_str(), search)
        })
    }
}

/// Returns whether `text` begins with `prefix`, which is folded.
fn begins_with(text: &str, prefix: &str) -> bool {
    let mut text = fold(text);
    prefix.chars().all(|expected| text.next() == Some(expected))
}

/// Returns the text in lower case.
fn fold(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_matches_prefixes_in_any_case() {
        for (text, search, is_found) in [
            ("Alice", "al", true),
            ("Alice", "ALICE", true),
            ("Alice", "alices", false),
            ("Alice", "lice", false),
            ("Ärger", "ä", true),
            ("ΣΊΣΥΦΟΣ", "σίσυφοσ", true),
            ("名前", "名", true),
            ("", "", true),
            ("", "a", false),
        ] {
            let folded: String = fold(search).collect();
            assert_eq!(begins_with(text, &folded), is_found, "{text} {search}");
        }
    }
}
