//! Typed requests about users: one user, lists, counts and blocks.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    num::NonZeroU64,
    pin::Pin,
    task::{Context, Poll, ready},
};

use chatcamp_protocol::{
    ErrorCode, UserId,
    request::{
        BlockUser, CountUsers, GetUser, ListBlockedUsers, ListUsers, PresenceFilter, UnblockUser, UserCount,
        UserFilters, UserPage, VisibleUser,
    },
    user::PublicUser,
};
use futures_core::Stream;

use crate::{ChatCamp, RequestError};

/// Users per request, unless the query says otherwise: the maximum of the server.
const PAGE_SIZE: u16 = 100;

/// Selects users of the app; all of them by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserQuery {
    /// Only users with a live session (`true`) or without one (`false`).
    pub online: Option<bool>,
    /// Only users whose display name or id begins with this text of at most 255 bytes, ignoring case.
    pub prefix: Option<String>,
    /// Only these users, at most 1,000; ids of no user are skipped.
    pub ids: Option<Vec<UserId>>,
    /// Only users after this one, for example after the last one received before an error.
    pub after: Option<UserId>,
    /// Users per request, 1 to 100; 100 by default.
    pub page_size: Option<u16>,
}

impl UserQuery {
    fn into_request(self) -> ListUsers {
        ListUsers {
            limit: NonZeroU64::new(self.page_size.unwrap_or(PAGE_SIZE).into()),
            reference: self.after,
            user_ids: self.ids,
            display_name_search: self.prefix,
            filters: presence(self.online),
        }
    }
}

fn presence(online: Option<bool>) -> UserFilters {
    let filter = online.map(|online| if online { PresenceFilter::Online } else { PresenceFilter::Offline });
    UserFilters { is_online_filter: filter, ..UserFilters::default() }
}

/// A list that is read page by page.
#[derive(Debug, Clone)]
enum List {
    Users(ListUsers),
    Blocked(ListBlockedUsers),
}

impl List {
    fn continue_after(&mut self, reference: UserId) {
        match self {
            Self::Users(request) => request.reference = Some(reference),
            Self::Blocked(request) => request.reference = Some(reference),
        }
    }
}

type Fetch = Pin<Box<dyn Future<Output = Result<UserPage, RequestError>> + Send>>;

/// Users as other users see them, in the byte order of their ids. Also a [`Stream`].
///
/// The next page is requested when its first user is asked for. If pages are requested faster than the server allows, waits as long
/// as the server asks. Any other error is returned once and ends the list; [`UserQuery::after`] continues it.
pub struct Users {
    chat: ChatCamp,
    /// The request of the next page; `None` after the last.
    next: Option<List>,
    fetch: Option<Fetch>,
    page: VecDeque<PublicUser>,
}

impl Users {
    fn new(chat: &ChatCamp, list: List) -> Self {
        Self { chat: chat.clone(), next: Some(list), fetch: None, page: VecDeque::new() }
    }

    /// Returns the next user, or `None` after the last or after an error.
    ///
    /// # Errors
    /// Those of [`ChatCamp::send`], except [`ErrorCode::RateLimited`]. [`ErrorCode::DirectoryOff`] if the app does not let clients list its
    /// users.
    ///
    /// # Cancel safety
    /// Dropping the future loses no user; a page that was requested is received by the next call.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_client::{ChatCamp, RequestError, UserQuery};
    ///
    /// # async fn example(chat: ChatCamp) -> Result<(), RequestError> {
    /// let mut users = chat.users(UserQuery { online: Some(true), ..UserQuery::default() });
    /// while let Some(user) = users.try_next().await? {
    ///     println!("{} {}", user.id, user.display_name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_next(&mut self) -> Result<Option<PublicUser>, RequestError> {
        poll_fn(|cx| self.poll_user(cx)).await.transpose()
    }

    fn poll_user(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<PublicUser, RequestError>>> {
        loop {
            if let Some(user) = self.page.pop_front() {
                return Poll::Ready(Some(Ok(user)));
            }
            let Some(list) = &mut self.next else { return Poll::Ready(None) };
            let fetch = self.fetch.get_or_insert_with(|| Box::pin(page(self.chat.clone(), list.clone())));
            let fetched = ready!(fetch.as_mut().poll(cx));
            self.fetch = None;
            match fetched {
                Ok(UserPage { users, reference }) => {
                    self.page = users.into();
                    match reference {
                        Some(reference) => list.continue_after(reference),
                        None => self.next = None,
                    }
                }
                Err(error) => {
                    self.next = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// Requests one page; again after the time that the server asks to wait.
async fn page(chat: ChatCamp, list: List) -> Result<UserPage, RequestError> {
    loop {
        let page = match list.clone() {
            List::Users(request) => chat.send(request).await,
            List::Blocked(request) => chat.send(request).await,
        };
        match page {
            Err(error) => match error.retry_after() {
                Some(wait) => chat.sleep(wait).await,
                None => return Err(error),
            },
            page => return page,
        }
    }
}

impl Stream for Users {
    type Item = Result<PublicUser, RequestError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_user(cx)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users")
            .field("next", &self.next)
            .field("page", &self.page.len())
            .finish_non_exhaustive()
    }
}

impl ChatCamp {
    /// Lists users of the app. Sends nothing until a user is asked for.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_client::{ChatCamp, RequestError, UserQuery};
    ///
    /// # async fn example(chat: ChatCamp) -> Result<(), RequestError> {
    /// let mut users = chat.users(UserQuery::default());
    /// while let Some(user) = users.try_next().await? {
    ///     println!("{} {}", user.id, user.display_name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn users(&self, query: UserQuery) -> Users {
        Users::new(self, List::Users(query.into_request()))
    }

    /// Lists the users that the connected user blocks. Sends nothing until a user is asked for.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) -> Result<(), chatcamp_client::RequestError> {
    /// while let Some(user) = chat.blocked().try_next().await? {
    ///     chat.unblock(&user.id).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn blocked(&self) -> Users {
        let request = ListBlockedUsers { limit: NonZeroU64::new(PAGE_SIZE.into()), reference: None };
        Users::new(self, List::Blocked(request))
    }

    /// Returns a user as other users see it, or `None` if the app has no user with this id.
    /// [`current_user`](Self::current_user) returns the connected user with its private fields.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`RequestError::UserId`].
    ///
    /// # Cancel safety
    /// Cancel safe: the request only reads.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) -> Result<(), chatcamp_client::RequestError> {
    /// if let Some(bob) = chat.user("bob").await? {
    ///     println!("{} is online: {}", bob.display_name, bob.is_online);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn user(&self, id: impl AsRef<str>) -> Result<Option<PublicUser>, RequestError> {
        let id = UserId::new(id)?;
        match self.send(GetUser { id: Some(id) }).await {
            Ok(response) => Ok(Some(match response.user {
                VisibleUser::Own(user) => (*user).into(),
                VisibleUser::Other(user) => user,
            })),
            Err(RequestError::Rejected { known: Some(ErrorCode::UserNotFound), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Blocks a user until [`unblock`](Self::unblock). Blocking a user twice is not an error.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`RequestError::UserId`]. [`ErrorCode::UserNotFound`], [`ErrorCode::OwnUser`] or
    /// [`ErrorCode::TooManyBlocks`] if the server rejects the request.
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) -> Result<(), chatcamp_client::RequestError> {
    /// let blocked = chat.block("mallory").await?;
    /// println!("blocked {}", blocked.display_name);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn block(&self, id: impl AsRef<str>) -> Result<PublicUser, RequestError> {
        Ok(self.send(BlockUser { block_id: UserId::new(id)? }).await?.user)
    }

    /// Ends a block. Unblocking a user who is not blocked is not an error.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`RequestError::UserId`]. [`ErrorCode::UserNotFound`] if the app has no user with this id.
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) -> Result<(), chatcamp_client::RequestError> {
    /// chat.unblock("mallory").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unblock(&self, id: impl AsRef<str>) -> Result<PublicUser, RequestError> {
        Ok(self.send(UnblockUser { unblock_id: UserId::new(id)? }).await?.user)
    }

    /// Counts the users of the app.
    ///
    /// # Errors
    /// Those of [`send`](Self::send). [`ErrorCode::DirectoryOff`] if the app does not let clients list its users.
    ///
    /// # Cancel safety
    /// Cancel safe: the request only reads.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) -> Result<(), chatcamp_client::RequestError> {
    /// let users = chat.count_users().await?;
    /// println!("{}{} users", users.count, if users.is_partial { " or more" } else { "" });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn count_users(&self) -> Result<UserCount, RequestError> {
        Ok(self.send(CountUsers::default()).await?.users)
    }

    /// Counts the users of the app that have a live session.
    ///
    /// # Errors
    /// Those of [`count_users`](Self::count_users).
    ///
    /// # Cancel safety
    /// Cancel safe: the request only reads.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) -> Result<(), chatcamp_client::RequestError> {
    /// println!("{} users are online", chat.count_online_users().await?.count);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn count_online_users(&self) -> Result<UserCount, RequestError> {
        Ok(self.send(CountUsers { filters: presence(Some(true)) }).await?.users)
    }
}
