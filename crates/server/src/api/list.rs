//! `users.list`: users page by page, all of them or those that are looked for.
//!
//! Without a search, and among those who are online, users come in the byte order of their ids. A search gives first those
//! whose id begins with the text, in that order, then those whose name does, in the order of names. Wherever a page ends,
//! its reference says what it ended with, so that the next one begins there whatever has changed meanwhile.

use std::{fmt, sync::Arc};

use chatcamp_protocol::UserId;
use chatcamp_store::{StoreError, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Call,
    answer::Refusal,
    kinds::{AnyText, Flag, Reference, Whole},
    users::Shown,
};
use crate::BusError;

/// Users in a page, unless the caller says otherwise.
const PAGE: usize = 100;
/// Users looked at for one page, at most: a page may end before it is full.
const SCAN: usize = 5000;
/// Users looked at before other tasks get their turn.
const CHUNK: usize = 200;
/// Between name and id in a reference. No id has a control character.
const SEPARATOR: char = '\u{1f}';

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "UserList")]
pub(super) struct List {
    /// Users in a page, at most; default 100.
    limit: Option<Whole<1, 1000>>,
    /// Where the page begins: what the page before ended with. Empty is absent.
    #[schemars(with = "Option<Reference>")]
    reference: Option<String>,
    /// Only who has a live session, or only who has none.
    #[schemars(with = "Option<Flag>")]
    online: Option<bool>,
    /// Only users whose id or name begins with this; in names A to Z are a to z. Empty is absent.
    #[schemars(with = "Option<AnyText>")]
    prefix: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct PageBody {
    users: Vec<Shown>,
    /// Where the next page begins; absent at the end. A page before the end may be short, or empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

/// How far a list has come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The name, where users come in the order of names.
    name: Option<String>,
    id: UserId,
}

/// Goes through the users that may be wanted, and through no more of them than one page may.
struct Walk<'a> {
    call: &'a Call,
    /// What ids or names begin with; empty if that is no matter.
    prefix: &'a str,
    next: Next,
    left: usize,
}

/// Where a walk goes on.
enum Next {
    /// Among all users, behind this one.
    All(Option<UserId>),
    /// Among those whose id begins with the prefix, behind this one.
    Ids(Option<UserId>),
    /// Among those whose name does, behind this name and id.
    Names(Option<(String, UserId)>),
    /// Among those who are online: the first one stands last.
    Online(Vec<UserId>),
    End,
}

/// `users.list`: a page of users.
pub(super) async fn list(call: &Call, list: List) -> Result<PageBody, Refusal> {
    let limit = list.limit.and_then(|limit| usize::try_from(limit.0).ok()).unwrap_or(PAGE);
    let prefix = list.prefix.as_deref().unwrap_or_default();
    let reference = list.reference.filter(|reference| !reference.is_empty());
    let place = reference.as_deref().map(Place::parse).transpose()?;
    let mut walk = Walk::new(call, prefix, list.online == Some(true), place).await?;
    let (mut users, mut last_listed, mut last_seen): (Vec<Shown>, _, _) = (Vec::new(), None, None);
    // Mostly everybody is wanted, and one more tells whether there is another page.
    let mut width = limit + 1;
    while let Some(found) = walk.look(width).await? {
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
        behind: Option<Place>,
    ) -> Result<Self, BusError> {
        let next = match behind {
            behind if online => {
                let behind = behind.map(|place| place.id);
                let mut users = call.api.operations.online_users(&call.app.id, behind.as_ref()).await?;
                users.reverse();
                Next::Online(users)
            }
            behind if prefix.is_empty() => Next::All(behind.map(|place| place.id)),
            Some(Place { name: Some(name), id }) => Next::Names(Some((name, id))),
            behind => Next::Ids(behind.map(|place| place.id)),
        };
        Ok(Self { call, prefix, next, left: SCAN })
    }

    /// Looks at up to `width` more; none at the end, or when enough were looked at.
    async fn look(&mut self, width: usize) -> Result<Option<Vec<(Place, Arc<User>)>>, StoreError> {
        let width = width.min(self.left);
        if width == 0 {
            return Ok(None);
        }
        if self.left < SCAN {
            tokio::task::yield_now().await;
        }
        let (store, app) = (&self.call.api.operations.store, &self.call.app.id);
        let by_name = matches!(self.next, Next::Names(_));
        let (users, next) = match std::mem::replace(&mut self.next, Next::End) {
            Next::End => return Ok(None),
            Next::All(behind) => {
                let users = store.users(app, behind.as_ref(), width).await?;
                let last = users.last().filter(|_| users.len() == width).map(|user| user.id.clone());
                (users, last.map_or(Next::End, |last| Next::All(Some(last))))
            }
            Next::Ids(behind) => {
                let mut users = self.by_id(behind, width).await?;
                let last = users.last().filter(|_| users.len() == width).map(|user| user.id.clone());
                users.retain(|user| user.id.as_str().starts_with(self.prefix));
                let last = last.filter(|id| id.as_str().starts_with(self.prefix));
                (users, last.map_or(Next::Names(None), |last| Next::Ids(Some(last))))
            }
            Next::Names(behind) => {
                let behind = behind.as_ref().map(|(name, id)| (name.as_str(), id));
                let users = store.users_by_name(app, self.prefix, behind, width).await?;
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

    /// Those whose id begins with the prefix, and then others.
    async fn by_id(&self, behind: Option<UserId>, width: usize) -> Result<Vec<Arc<User>>, StoreError> {
        // What is no id does not begin one.
        let Ok(prefix) = UserId::new(self.prefix) else { return Ok(Vec::new()) };
        let (store, app) = (&self.call.api.operations.store, &self.call.app.id);
        let (mut users, behind) = match behind.filter(|behind| *behind >= prefix) {
            Some(behind) => (Vec::new(), behind),
            None => (store.user(app, &prefix).await?.into_iter().collect(), prefix),
        };
        users.extend(store.users(app, Some(&behind), width - users.len()).await?);
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

    /// Whether a search finds the user, here and not before: one whose id begins like this was found by that.
    fn is_first_of(&self, user: &User, prefix: &str) -> bool {
        let (id, name) = (user.id.as_str().as_bytes(), user.profile.display_name.as_bytes());
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
    fn a_place_is_read_as_it_was_written() {
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
