//! The users of one's app, where the app lets clients see them.
//!
//! Suspended users are listed to nobody, and who must present a token is told to nobody: filters that ask for either
//! are refused.

use std::{num::NonZeroU64, sync::Arc};

use chatcamp_protocol::{ErrorCode, UserId, limits};
use chatcamp_store::{StoreError, User};
use serde::{Deserialize, Serialize};

use super::{
    Call,
    page::{Listed, Page},
};
use crate::{bus::BusError, operations::Unavailable};

/// Most users looked at for one request.
const SCAN: usize = 10_000;
/// Users looked at before other tasks get their turn.
const CHUNK: usize = 200;
/// Most ids a client may ask for at once.
const USER_IDS: usize = 1000;

#[derive(Deserialize)]
pub(super) struct List {
    limit: Option<NonZeroU64>,
    reference: Option<UserId>,
    user_ids: Option<Vec<UserId>>,
    display_name_search: Option<String>,
    #[serde(flatten)]
    filters: Filters,
}

/// The filters of lists and counts.
#[derive(Deserialize)]
pub(super) struct Filters {
    is_online_filter: Option<Presence>,
    #[serde(rename = "is_active_filter")]
    _active: Option<Active>,
    #[serde(rename = "is_check_access_token_filter")]
    _check_access_token: Option<CheckAccessToken>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Presence {
    #[default]
    All,
    Online,
    Offline,
}

/// Those who are not suspended, in either case.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Active {
    All,
    Active,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum CheckAccessToken {
    All,
}

#[derive(Serialize)]
struct CountBody {
    ok: bool,
    users: Count,
}

#[derive(Serialize)]
struct Count {
    count: u64,
    /// There are more users than one request looks at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_partial: bool,
}

/// `users.list`: a page of users in the byte order of their ids, as everybody sees them.
pub(super) async fn list(call: Call, body: List) {
    if body.user_ids.as_ref().is_some_and(|ids| ids.len() > USER_IDS) {
        return call.fail(ErrorCode::ValueTooLong, &format!("user_ids has more than {USER_IDS} ids"));
    }
    if body.display_name_search.as_ref().is_some_and(|text| text.len() > limits::DISPLAY_NAME) {
        let message = format!("display_name_search is longer than {} bytes", limits::DISPLAY_NAME);
        return call.fail(ErrorCode::ValueTooLong, &message);
    }
    if !is_open(&call).await {
        return;
    }
    match fill_page(&call, body).await {
        Ok(page) => call.succeed(&page),
        Err(error) => call.fail_unavailable(&error),
    }
}

/// `users.list_count`: how many users there are.
pub(super) async fn count(call: Call, filters: Filters) {
    if !is_open(&call).await {
        return;
    }
    match count_users(&call, &filters).await {
        Ok(users) => call.succeed(&CountBody { ok: true, users }),
        Err(error) => call.fail_unavailable(&error),
    }
}

/// Whether the app lets clients see its users; says no if not.
async fn is_open(call: &Call) -> bool {
    match call.store().app(&call.session.app).await {
        Ok(Some(app)) if app.directory => true,
        Ok(_) => {
            call.fail(ErrorCode::DirectoryOff, "this app does not let clients list or count its users");
            false
        }
        Err(error) => {
            call.fail_store(error);
            false
        }
    }
}

async fn fill_page(call: &Call, body: List) -> Result<Page, Unavailable> {
    let wanted = Wanted::new(call, &body.filters, body.display_name_search.as_deref());
    let mut page = Page::new(body.limit);
    let mut walk = Walk::new(call, body.reference, body.user_ids);
    // Mostly everybody is wanted, so that the first look fills the page.
    let mut width = page.length();
    while let Some(users) = walk.next(width).await? {
        for listed in wanted.select(users).await? {
            if page.push(listed).is_err() {
                return Ok(page);
            }
        }
        width = CHUNK;
    }
    page.continue_behind(walk.stopped_at());
    Ok(page)
}

async fn count_users(call: &Call, filters: &Filters) -> Result<Count, Unavailable> {
    if filters.is_online_filter.unwrap_or_default() == Presence::All {
        let count = call.store().active_user_count(&call.session.app).await?;
        return Ok(Count { count, is_partial: false });
    }
    let wanted = Wanted::new(call, filters, None);
    let mut walk = Walk::new(call, None, None);
    let mut count = 0;
    while let Some(users) = walk.next(CHUNK).await? {
        count += wanted.select(users).await?.len() as u64;
    }
    Ok(Count { count, is_partial: walk.stopped_at().is_some() })
}

/// Goes through users in the order of their ids, and through no more of them than one request may.
struct Walk<'a> {
    call: &'a Call,
    /// The last one looked at.
    at: Option<UserId>,
    /// Who is asked for, the first one last; everybody if absent.
    named: Option<Vec<UserId>>,
    left: usize,
    has_ended: bool,
}

impl<'a> Walk<'a> {
    fn new(call: &'a Call, behind: Option<UserId>, mut named: Option<Vec<UserId>>) -> Self {
        if let Some(named) = &mut named {
            named.retain(|id| behind.as_ref().is_none_or(|behind| id > behind));
            named.sort_unstable_by(|a, b| b.cmp(a));
            named.dedup();
        }
        Self { call, at: behind, named, left: SCAN, has_ended: false }
    }

    /// Looks at up to `width` more; none when there are no more, or enough were looked at.
    async fn next(&mut self, width: usize) -> Result<Option<Vec<Arc<User>>>, StoreError> {
        let width = width.min(self.left);
        if self.has_ended || width == 0 {
            return Ok(None);
        }
        if self.left < SCAN {
            tokio::task::yield_now().await;
        }
        self.left -= width;
        let (store, app) = (self.call.store(), &self.call.session.app);
        let Some(named) = &mut self.named else {
            let users = store.users(app, self.at.as_ref(), width).await?;
            self.has_ended = users.len() < width;
            self.at = users.last().map(|user| user.id.clone()).or_else(|| self.at.take());
            return Ok(Some(users));
        };
        let mut users = Vec::new();
        for id in named.split_off(named.len().saturating_sub(width)).iter().rev() {
            users.extend(store.user(app, id).await?);
        }
        self.has_ended = named.is_empty();
        Ok(Some(users))
    }

    /// The last one looked at, if there may be more.
    fn stopped_at(self) -> Option<UserId> {
        if self.has_ended { None } else { self.at }
    }
}

/// Who is asked for.
struct Wanted<'a> {
    call: &'a Call,
    presence: Presence,
    search: Option<String>,
}

impl<'a> Wanted<'a> {
    fn new(call: &'a Call, filters: &Filters, search: Option<&str>) -> Self {
        let search = search.map(|search| fold(search).collect());
        Self { call, presence: filters.is_online_filter.unwrap_or_default(), search }
    }

    /// Returns those of the users who are asked for, with their presence.
    async fn select(&self, mut users: Vec<Arc<User>>) -> Result<Vec<Listed>, BusError> {
        users.retain(|user| !user.is_suspended && self.is_found(user));
        let mut listed = self.call.listed(users).await?;
        listed.retain(|listed| match self.presence {
            Presence::All => true,
            Presence::Online => listed.is_online,
            Presence::Offline => !listed.is_online,
        });
        Ok(listed)
    }

    fn is_found(&self, user: &User) -> bool {
        self.search.as_ref().is_none_or(|search| {
            begins_with(&user.profile.display_name, search) || begins_with(user.id.as_str(), search)
        })
    }
}

/// Whether `text` begins with `prefix`, which is folded already.
fn begins_with(text: &str, prefix: &str) -> bool {
    let mut text = fold(text);
    prefix.chars().all(|wanted| text.next() == Some(wanted))
}

/// The text without regard to case.
fn fold(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_beginnings_in_any_case() {
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
