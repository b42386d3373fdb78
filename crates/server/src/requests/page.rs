//! Pages: lists of users in the order of their ids, within the size of a message.

use std::num::NonZeroU64;

use chatcamp_protocol::{UserId, limits, request::UserPage, user::PublicUser};

/// The number of users on a page if the client gives no limit.
const DEFAULT_LENGTH: usize = 20;
/// The maximum number of users on a page.
const MAX_LENGTH: usize = 100;
/// The maximum size of the users on a page, in bytes: a message without its envelope.
const BYTES: usize = limits::MESSAGE - 1024;

/// A page that is being filled.
#[derive(Debug)]
pub(super) struct Page {
    page: UserPage,
    length: usize,
    bytes_left: usize,
}

/// The page has no room for another user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageFull;

impl Page {
    /// Creates an empty page of the length that a client asks for, within bounds.
    pub(super) fn new(limit: Option<NonZeroU64>) -> Self {
        let asked = limit.map_or(DEFAULT_LENGTH, |limit| usize::try_from(limit.get()).unwrap_or(MAX_LENGTH));
        Self { page: UserPage::default(), length: asked.min(MAX_LENGTH), bytes_left: BYTES }
    }

    /// Returns the maximum number of users on the page.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Adds a user if there is room for it. An empty page has room for any user within the limits of a profile.
    ///
    /// # Errors
    /// [`PageFull`] if the user did not fit, or if the page is full with it. The next page then begins after the last user of this one.
    pub(super) fn push(&mut self, user: PublicUser) -> Result<(), PageFull> {
        let bytes = serde_json::to_vec(&user).map_or(usize::MAX, |json| json.len() + 1);
        let has_room = bytes <= self.bytes_left;
        if has_room {
            self.bytes_left -= bytes;
            self.page.users.push(user);
        }
        if has_room && self.page.users.len() < self.length {
            return Ok(());
        }
        self.page.reference = self.page.users.last().map(|last| last.id.clone());
        Err(PageFull)
    }

    /// Makes the next page begin after `id` instead of after the last user of this page.
    pub(super) fn continue_after(&mut self, id: Option<UserId>) {
        self.page.reference = id;
    }
}

impl From<Page> for UserPage {
    fn from(page: Page) -> Self {
        page.page
    }
}

#[cfg(test)]
mod tests {
    use chatcamp_protocol::{
        envelope,
        request::{ListBlockedUsers, PositiveAck, Request as _},
    };

    use super::*;

    fn user(id: &str, fill: &str) -> PublicUser {
        PublicUser {
            id: UserId::new(id).unwrap(),
            display_name: fill.repeat(limits::DISPLAY_NAME),
            avatar_url: fill.repeat(limits::PROFILE_URL),
            profile_url: fill.repeat(limits::PROFILE_URL),
            is_online: false,
            last_seen: u64::MAX,
        }
    }

    #[test]
    fn a_page_has_the_length_asked_for_within_bounds() {
        for (asked, length) in [(None, 20), (Some(1), 1), (Some(100), 100), (Some(101), 100)] {
            assert_eq!(Page::new(asked.and_then(NonZeroU64::new)).length(), length, "{asked:?}");
        }
        assert_eq!(Page::new(Some(NonZeroU64::MAX)).length(), MAX_LENGTH);
    }

    #[test]
    fn the_next_page_begins_after_the_last_user_of_a_full_one() {
        let mut page = Page::new(NonZeroU64::new(2));
        assert_eq!(page.push(user("a", "")), Ok(()));
        assert_eq!(page.page.reference, None);
        assert_eq!(page.push(user("b", "")), Err(PageFull));
        assert_eq!(page.page.reference.as_ref().map(UserId::as_str), Some("b"));
    }

    #[test]
    fn a_full_page_fits_into_a_message_and_is_not_empty() {
        for fill in ["x", "\"", "\u{1}"] {
            let mut page = Page::new(NonZeroU64::new(100));
            let ids = (0..100).map(|n| format!("{n:03}{}", "\"".repeat(limits::USER_ID - 3)));
            let full = ids.map(|id| page.push(user(&id, fill))).find(Result::is_err);
            assert_eq!(full, Some(Err(PageFull)));
            assert!(!page.page.users.is_empty());
            let page = UserPage::from(page);
            let ack = envelope::ack(ListBlockedUsers::TYPE, Some(u64::MAX), &PositiveAck::new(&page));
            let sent = envelope::number(&ack, u64::MAX);
            assert!(sent.len() <= limits::MESSAGE, "{} bytes", sent.len());
        }
    }
}
