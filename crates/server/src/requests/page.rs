//! Pages: lists of users in the order of their ids, each as everybody sees it.

use std::{num::NonZeroU64, sync::Arc};

use chatcamp_protocol::{UserId, limits, user::PublicView};
use chatcamp_store::User;
use serde::{Serialize, Serializer};

use super::Call;
use crate::bus::BusError;

/// Users on a page unless the client says how many.
const USUAL: usize = 20;
/// Most users on a page; who asks for more gets these.
const MOST: usize = 100;
/// Most bytes of users on a page: what a message leaves beside its envelope.
const BYTES: usize = limits::MESSAGE - 1024;

/// The body of an acknowledgement that lists users.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    ok: bool,
    users: Vec<Listed>,
    /// Behind whom the next page begins, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<UserId>,
    #[serde(skip)]
    length: usize,
    #[serde(skip)]
    bytes_left: usize,
}

/// A user on a page.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) user: Arc<User>,
    pub(super) is_online: bool,
}

/// The page has no room for another user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Page {
    /// An empty page, of the length a client asks for.
    pub(super) fn new(limit: Option<NonZeroU64>) -> Self {
        let asked = limit.map_or(USUAL, |limit| usize::try_from(limit.get()).unwrap_or(MOST));
        Self { ok: true, users: Vec::new(), reference: None, length: asked.min(MOST), bytes_left: BYTES }
    }

    /// How many users it holds at most.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Adds a user, if there is room for it; an empty page has room for any, by the limits of a profile.
    ///
    /// # Errors
    /// [`Full`] when there was none, or none is left: then the next page begins behind the last user of this one.
    pub(super) fn push(&mut self, listed: Listed) -> Result<(), Full> {
        let bytes = serde_json::to_vec(&listed).map_or(usize::MAX, |json| json.len() + 1);
        let has_room = bytes <= self.bytes_left;
        if has_room {
            self.bytes_left -= bytes;
            self.users.push(listed);
        }
        if has_room && self.users.len() < self.length {
            return Ok(());
        }
        self.reference = self.users.last().map(|last| last.user.id.clone());
        Err(Full)
    }

    /// Says that there may be more behind `id`, whoever is on the page.
    pub(super) fn continue_behind(&mut self, id: Option<UserId>) {
        self.reference = id;
    }
}

impl Call {
    /// Adds to each user whether it is online.
    pub(super) async fn listed(&self, users: Vec<Arc<User>>) -> Result<Vec<Listed>, BusError> {
        let ids: Vec<_> = users.iter().map(|user| &user.id).collect();
        let online = self.requests.operations.are_online(&self.session.app, &ids).await?;
        Ok(users.into_iter().zip(online).map(|(user, is_online)| Listed { user, is_online }).collect())
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        public(&self.user, self.is_online).serialize(serializer)
    }
}

/// What everybody sees of a user.
pub(super) fn public(user: &User, is_online: bool) -> PublicView<'_> {
    PublicView {
        id: &user.id,
        display_name: &user.profile.display_name,
        avatar_url: &user.profile.avatar_url,
        profile_url: &user.profile.profile_url,
        is_online,
        last_seen: user.last_seen,
    }
}

#[cfg(test)]
mod tests {
    use chatcamp_protocol::AppId;

    use super::*;

    fn listed(id: &str, fill: &str) -> Listed {
        let mut user = User::new(AppId::new("demo").unwrap(), UserId::new(id).unwrap(), [0; 16], 1);
        user.profile.display_name = fill.repeat(limits::DISPLAY_NAME);
        user.profile.avatar_url = fill.repeat(limits::PROFILE_URL);
        user.profile.profile_url = fill.repeat(limits::PROFILE_URL);
        user.last_seen = u64::MAX;
        user.profile.check().unwrap();
        Listed { user: Arc::new(user), is_online: false }
    }

    #[test]
    fn a_page_is_as_long_as_asked_for_within_bounds() {
        for (asked, length) in [(None, 20), (Some(1), 1), (Some(100), 100), (Some(101), 100)] {
            assert_eq!(Page::new(asked.and_then(NonZeroU64::new)).length(), length, "{asked:?}");
        }
        assert_eq!(Page::new(Some(NonZeroU64::MAX)).length(), MOST);
    }

    #[test]
    fn the_last_one_that_fits_is_where_the_next_page_begins() {
        let mut page = Page::new(NonZeroU64::new(2));
        assert_eq!(page.push(listed("a", "")), Ok(()));
        assert_eq!(page.reference, None);
        assert_eq!(page.push(listed("b", "")), Err(Full));
        assert_eq!(page.reference.as_ref().map(UserId::as_str), Some("b"));
    }

    #[test]
    fn a_full_page_is_never_more_than_a_message_and_never_empty() {
        for fill in ["x", "\"", "\u{1}"] {
            let mut page = Page::new(NonZeroU64::new(100));
            let ids = (0..100).map(|n| format!("{n:03}{}", "\"".repeat(limits::USER_ID - 3)));
            let full = ids.map(|id| page.push(listed(&id, fill))).find(Result::is_err);
            assert_eq!(full, Some(Err(Full)));
            assert!(!page.users.is_empty());
            let ack = chatcamp_protocol::envelope::ack("users.block_list", Some(u64::MAX), &page);
            let sent = chatcamp_protocol::envelope::number(&ack, u64::MAX);
            assert!(sent.len() <= limits::MESSAGE, "{} bytes", sent.len());
        }
    }
}
