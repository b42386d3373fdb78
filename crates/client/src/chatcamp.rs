//! The handle of a client.

use std::{fmt, sync::Arc, time::Duration};

use chatcamp_protocol::{
    User, limits,
    request::{self, UpdateUser},
    user::ProfileUpdate,
};
use chatcamp_runtime::{Runtime, after};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Body, ConnectError, Events, Login, RequestError, State,
    driver::Command,
    session::{self, Request},
    shared::Shared,
};

/// A client for one user at a time. Cheap to clone: all clones are handles of the same client.
///
/// One task owns the session. Dropping the last handle closes the connection, best effort, and ends the task.
/// [`ChatCamp::builder`] is the way to make one.
#[derive(Clone)]
pub struct ChatCamp {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    request_timeout: Duration,
    runtime: Arc<dyn Runtime>,
}

impl ChatCamp {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        shared: Arc<Shared>,
        request_timeout: Duration,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        Self { commands, shared, request_timeout, runtime }
    }

    /// Connects a user: `"alice"`, `("alice", "access-token")`, or a [`Login`] with a provider.
    ///
    /// - The user is connected: returns at once.
    /// - The same user is connecting or reconnecting: the call joins the attempt. If the client waits before the next attempt,
    ///   the attempt begins at once, even if the server asked for the delay.
    /// - The same user with another token: replaces the attempt or the connection. Earlier calls get the result of the new
    ///   one. A provider does not replace a provider: the connection goes on, and the newer one is asked from then on.
    /// - Another user: ends the first with [`ConnectError::Superseded`] and its requests with
    ///   [`RequestError::Unanswered`].
    ///
    /// If a provider offers another credential after a refusal, the attempt is repeated once. The call therefore returns
    /// within twice the connect timeout.
    ///
    /// # Errors
    /// [`ConnectError`]; [`is_retryable`](ConnectError::is_retryable) tells whether the same call may succeed later.
    /// With [`Reconnect::keep_trying`](crate::Reconnect::keep_trying), returns only errors that are not retryable.
    ///
    /// # Cancel safety
    /// Dropping the future does not affect other calls that wait for the same attempt. If no call waits for a first connect
    /// any more, the client abandons the attempt and is disconnected.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_client::{ChatCamp, ConnectError};
    ///
    /// # async fn example(chat: ChatCamp) {
    /// match chat.connect(("alice", "access-token")).await {
    ///     Ok(user) => println!("connected as {}", user.id),
    ///     Err(error) if error.is_retryable() => println!("try again later: {error}"),
    ///     Err(error) => println!("cannot connect: {error}"),
    /// }
    /// # }
    /// ```
    pub async fn connect(&self, login: impl Into<Login>) -> Result<User, ConnectError> {
        let login = login.into();
        let user_id = login.user_id.clone()?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Connect { user_id, source: login.source, reply };
        self.commands.send(command).await.map_err(|_| ConnectError::Ended)?;
        answer.await.unwrap_or(Err(ConnectError::Ended))
    }

    /// Returns the user that is connected or reconnecting, with its private fields, or `None`.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(chat: chatcamp_client::ChatCamp) {
    /// if let Some(user) = chat.current_user() {
    ///     println!("{}", user.profile.display_name);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn current_user(&self) -> Option<User> {
        self.shared.user()
    }

    /// Returns the current connection state.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_client::State;
    ///
    /// # fn example(chat: chatcamp_client::ChatCamp) {
    /// let is_online = matches!(chat.state(), State::Connected);
    /// # }
    /// ```
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Subscribes to the events from now on. Each subscription has its own queue.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) {
    /// let mut events = chat.events();
    /// while let Some(event) = events.next().await {
    ///     println!("{event:?}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.shared.subscribe())
    }

    /// Sends a request and returns its response. [`crate::request`] holds the types of requests.
    ///
    /// While the client connects or reconnects, up to 256 requests wait to be sent. A request is never sent twice.
    ///
    /// # Errors
    /// [`RequestError`]; [`is_retryable`](RequestError::is_retryable) tells whether the request can be repeated without
    /// running twice, and [`retry_after`](RequestError::retry_after) how long to wait if too many were sent.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws a request that was not sent yet. A request that was sent still runs; its response is
    /// dropped.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_client::{ChatCamp, request::ListUsers};
    ///
    /// # async fn example(chat: ChatCamp) -> Result<(), chatcamp_client::RequestError> {
    /// let search = Some("al".to_owned());
    /// let page = chat.send(ListUsers { display_name_search: search, ..ListUsers::default() }).await?;
    /// for user in page.users {
    ///     println!("{} {}", user.id, user.display_name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send<R: request::Request>(&self, request: R) -> Result<R::Response, RequestError> {
        let response = self.request(R::TYPE, request).await?;
        response.parse().map_err(|_| RequestError::InvalidAnswer)
    }

    /// Sends a request of any type and returns the body of its acknowledgement. Use it for types without a struct in
    /// [`crate::request`].
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`RequestError::InvalidBody`].
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) -> Result<(), Box<dyn std::error::Error>> {
    /// let body = chat.request("users.list", serde_json::json!({"limit": 10})).await?;
    /// let answer: serde_json::Value = body.parse()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn request(&self, t: &str, body: impl Serialize) -> Result<Body, RequestError> {
        let request = Request::new(t, &body).map_err(RequestError::InvalidBody)?;
        if request.size() > limits::MESSAGE {
            return Err(RequestError::TooLarge);
        }
        let deadline = after(self.runtime.now(), self.request_timeout);
        let (reply, answer) = oneshot::channel();
        let command = Command::Request(session::Waiting { request, deadline, reply });
        self.commands.send(command).await.map_err(|_| RequestError::NotConnected)?;
        answer.await.unwrap_or(Err(RequestError::NotConnected))
    }

    /// Waits, in the client's own time.
    pub(crate) async fn sleep(&self, time: Duration) {
        self.runtime.sleep_until(after(self.runtime.now(), time)).await;
    }

    /// Changes the profile of the connected user. Fields that are `None` stay as they are.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As for [`send`](Self::send).
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_client::{ChatCamp, ProfileUpdate};
    ///
    /// # async fn example(chat: ChatCamp) -> Result<(), chatcamp_client::RequestError> {
    /// let name = Some("Alice".to_owned());
    /// let user = chat.update_user(ProfileUpdate { display_name: name, ..ProfileUpdate::default() }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update_user(&self, update: ProfileUpdate) -> Result<User, RequestError> {
        let user = self.current_user().ok_or(RequestError::NotConnected)?;
        Ok(self.send(UpdateUser { id: Some(user.id), update }).await?.user)
    }

    /// Disconnects: ends the session, a running attempt or the delay before the next one. Does nothing if the client is
    /// disconnected.
    ///
    /// Sent requests end with [`RequestError::Unanswered`], calls of `connect` with [`ConnectError::Disconnected`]. The last
    /// event is [`Event::Disconnected`](crate::Event::Disconnected). Returns when the server has confirmed the close, or
    /// after 5 s.
    ///
    /// # Cancel safety
    /// Dropping the future while it waits for the server does not stop the disconnect.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) {
    /// chat.disconnect().await;
    /// assert!(chat.current_user().is_none());
    /// # }
    /// ```
    pub async fn disconnect(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Disconnect { reply }).await.is_ok() {
            // An error means that the task has ended, and the connection with it.
            let _ = done.await;
        }
    }

    /// Tells the client that the network may have changed, for example because the device woke up or joined another network.
    ///
    /// A client that waits before its next attempt makes the attempt now. A connected client checks within 5 s that its
    /// connection still works. Otherwise does nothing.
    ///
    /// # Cancel safety
    /// If the future is dropped, the hint may be lost.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_client::ChatCamp) {
    /// // Called by the platform's network monitor:
    /// chat.network_changed().await;
    /// # }
    /// ```
    pub async fn network_changed(&self) {
        // An error means that the task has ended.
        let _ = self.commands.send(Command::NetworkChanged).await;
    }
}

impl fmt::Debug for ChatCamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatCamp").field("state", &self.state()).finish_non_exhaustive()
    }
}
