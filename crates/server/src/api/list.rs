//! `users.list`: lists all users, or those that match a search, page by page.
//!
//! Without a search, and among online users, the order is the byte order of ids. A search first lists the users whose id begins
//! with the text, in that order, then those whose name does, in the order of names. The reference of a page names its last
//! user, so that the next page begins there, whatever has changed in between.

use std::{fmt, sync::Arc};

use chatcamp_protocol::UserId;
use chatcamp_store::{StoreError, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Call,
    answer::Refusal,
    users::UserView,
    values::{Reference, Whole},
};
use crate::BusError;

/// The default number of users in a page.
const PAGE: usize = 100;
/// The maximum number of users examined for one page; a page may end before it is full.
const SCAN: usize = 5000;
/// How many users are examined before other tasks may run.
const CHUNK: usize = 200;
/// Separates name and id in a reference. Ids contain no control character.
const SEPARATOR: char = '\u{1f}';

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "UserList")]
pub(super) struct List {
    /// The most users in the page; default 100.
    limit: Option<Whole<1, 1000>>,
    /// The `reference` of the previous page. Empty means absent.
    #[schemars(with = "Option<Reference>")]
    reference: Option<String>,
    /// If true, only users with a live session; if false, only users without one.
    online: Option<bool>,
    /// Only users whose id or name begins with this text. Names are compared without regard to the case of ASCII letters. Empty
    /// means absent.
    prefix: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct PageBody {
    users: Vec<UserView>,
    /// Where the next page begins; absent on the last page. Earlier pages may be short or empty too.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

/// A position in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The name, if users are listed in the order of names.
    name: Option<String>,
    id: UserId,
}

/// Iterates over the users that may match, up to the limit of one page.
struct Walk<'a> {
    call: &'a Call,
    /// What ids or names must begin with; empty without a search.
    prefix: &'a str,
    next: Next,
    left: usize,
}

/// Where a walk continues.
enum Next {
    /// Among all users, after this one.
    All(Option<UserId>),
    /// Among the users whose id begins with the prefix, after this one.
    Ids(Option<UserId>),
    /// Among the users whose name begins with the prefix, after this name and id.
    Names(Option<(String, UserId)>),
    /// Among online users, in reverse order.
    Online(Vec<UserId>),
    End,
}

/// `users.list`: returns a page of users.
pub(super) async fn list(call: &Call, list: List) -> Result<PageBody, Refusal> {
    let limit = list.limit.and_then(|limit| usize::try_from(limit.0).ok()).unwrap_or(PAGE);
    let prefix = list.prefix.as_deref().unwrap_or_default();
    let reference = list.reference.filter(|reference| !reference.is_empty());
    let place = reference.as_deref().map(Place::parse).transpose()?;
    let mut walk = Walk::new(call, prefix, list.online == Some(true), place).await?;
    let mut users: Vec<UserView> = Vec::new();
    let mut last_listed = None;
    let mut last_seen = None;
    // Usually every user matches, and one more tells whether there is another page.
    let mut width = limit + 1;
    while let Some(found) = walk.next_users(width).await? {
        let shown = call.show(&found.iter().map(|(_, user)| &**user).collect::<Vec<_>>()).await?;
        for ((place, user), shown) in found.into_iter().zip(shown) {
            let is_wanted = place.is_first_of(&user, prefix)
                && list.online.is_none_or(|online| shown.is_online == online);
            if is_wanted {
                if users.len() == limit {
                    return Ok(PageBody { users, reference: last_listed });
                }
                users.push(shown);
                last_listed = Some(place.to_string());
            }
            last_seen = Some(place);
        }
        width = CHUNK;
    }
    let reference = last_seen.filter(|_| !matches!(walk.next, Next::End));
    Ok(PageBody { users, reference: reference.map(|place| place.to_string()) })
}

impl<'a> Walk<'a> {
    async fn new(
        call: &'a Call,
        prefix: &'a str,
        online: bool,
        after: Option<Place>,
    ) -> Result<Self, BusError> {
        let next = match after {
            after if online => {
                let after = after.map(|place| place.id);
                let mut users = call.api.operations.online_users(&call.app.id, after.as_ref()).await?;
                users.reverse();
                Next::Online(users)
            }
            after if prefix.is_empty() => Next::All(after.map(|place| place.id)),
            Some(Place { name: Some(name), id }) => Next::Names(Some((name, id))),
            after => Next::Ids(after.map(|place| place.id)),
        };
        Ok(Self { call, prefix, next, left: SCAN })
    }

    /// Returns up to `width` more users. Returns `None` at the end, or at the limit of one page.
    async fn next_users(&mut self, width: usize) -> Result<Option<Vec<(Place, Arc<User>)>>, StoreError> {
        let width = width.min(self.left);
        if width == 0 {
            return Ok(None);
        }
        if self.left < SCAN {
            tokio::task::yield_now().await;
        }
        let store = &self.call.api.operations.store;
        let app = &self.call.app.id;
        let by_name = matches!(self.next, Next::Names(_));
        let (users, next) = match std::mem::replace(&mut self.next, Next::End) {
            Next::End => return Ok(None),
            Next::All(after) => {
                let users = store.users(app, after.as_ref(), width).await?;
                let last = users.last().filter(|_| users.len() == width).map(|user| user.id.clone());
                (users, last.map_or(Next::End, |last| Next::All(Some(last))))
            }
            Next::Ids(after) => {
                let mut users = self.by_id(after, width).await?;
                let last = users.last().filter(|_| users.len() == width).map(|user| user.id.clone());
                users.retain(|user| user.id.as_str().starts_with(self.prefix));
                let last = last.filter(|id| id.as_str().starts_with(self.prefix));
                (users, last.map_or(Next::Names(None), |last| Next::Ids(Some(last))))
            }
            Next::Names(after) => {
                let after = after.as_ref().map(|(name, id)| (name.as_str(), id));
                let users = store.users_by_name(app, self.prefix, after, width).await?;
                let last = users.last().filter(|_| users.len() == width);
                let last = last.map(|user| (user.profile.display_name.clone(), user.id.clone()));
                (users, last.map_or(Next::End, |last| Next::Names(Some(last))))
            }
            Next::Online(mut ids) => {
                let mut users = Vec::new();
                for id in ids.split_off(ids.len().saturating_sub(width)).iter().rev() {
                    users.extend(store.user(app, id).await?);
                }
                (users, if ids.is_empty() { Next::End } else { Next::Online(ids) })
            }
        };
        self.next = next;
        self.left -= users.len();
        Ok(Some(users.into_iter().map(|user| (Place::of(&user, by_name), user)).collect()))
    }

    /// Returns users in the order of ids, beginning with those whose id begins with the prefix.
    async fn by_id(&self, after: Option<UserId>, width: usize) -> Result<Vec<Arc<User>>, StoreError> {
        // A prefix that is not a valid id begins no id.
        let Ok(prefix) = UserId::new(self.prefix) else { return Ok(Vec::new()) };
        let store = &self.call.api.operations.store;
        let app = &self.call.app.id;
        let (mut users, after) = match after.filter(|after| *after >= prefix) {
            Some(after) => (Vec::new(), after),
            None => (store.user(app, &prefix).await?.into_iter().collect(), prefix),
        };
        users.extend(store.users(app, Some(&after), width - users.len()).await?);
        Ok(users)
    }
}

impl Place {
    fn of(user: &User, by_name: bool) -> Self {
        Self { name: by_name.then(|| user.profile.display_name.clone()), id: user.id.clone() }
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let (name, id) = match text.rsplit_once(SEPARATOR) {
            Some((name, id)) => (Some(name.to_owned()), id),
            None => (None, text),
        };
        let id = UserId::new(id).map_err(|why| Refusal::invalid("reference", why))?;
        Ok(Self { name, id })
    }

    /// Returns whether this position is where a search lists the user: by its id if the id begins with the prefix, otherwise by its
    /// name.
    fn is_first_of(&self, user: &User, prefix: &str) -> bool {
        let id = user.id.as_str().as_bytes();
        let name = user.profile.display_name.as_bytes();
        let prefix = prefix.as_bytes();
        if id.starts_with(prefix) {
            return self.name.is_none();
        }
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}{SEPARATOR}{}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_formatting_and_parsing() {
        let id = UserId::new("ann").unwrap();
        for name in [None, Some(""), Some("Ann"), Some("a\u{1f}b")] {
            let place = Place { name: name.map(str::to_owned), id: id.clone() };
            assert_eq!(Place::parse(&place.to_string()).unwrap(), place);
        }
        for text in ["", "a\u{1f}", "\u{1f}", "a\nb"] {
            assert!(Place::parse(text).is_err(), "{text:?}");
        }
    }
}
