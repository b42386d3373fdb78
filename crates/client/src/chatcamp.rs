//! The handle.

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
    Body, Builder, ConnectError, Events, Login, RequestError, State,
    driver::Command,
    session::{self, Request},
    shared::Shared,
};

/// A client for one user at a time. Cheap to clone: all clones are the same client.
///
/// One task owns the session. Dropping the last handle closes the connection at best effort and ends the task.
#[derive(Clone)]
pub struct ChatCamp {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    request_timeout: Duration,
    runtime: Arc<dyn Runtime>,
}

impl ChatCamp {
    /// Starts a client for the app with this id.
    pub fn builder(app_id: impl AsRef<str>) -> Builder {
        Builder::new(app_id.as_ref())
    }

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
    /// Connecting the connected user again is answered at once; while it is connecting or being brought back, the
    /// call joins the attempt, which begins at once if the client was waiting before it, even where the server had asked
    /// for that. With another token the attempt, or the connection, is replaced, and whoever waited gets the answer of the
    /// new one; a provider joins where a provider came before, and is the one asked from then on. Connecting another user ends the first with [`ConnectError::Superseded`] and its
    /// requests with [`RequestError::Unanswered`]. A refused attempt is repeated once if a provider offers another
    /// credential, so an answer comes within twice the connect time-out.
    ///
    /// # Errors
    /// [`ConnectError`]; [`is_retryable`](ConnectError::is_retryable) tells whether the same call may succeed later.
    /// With [`Reconnect::keep_trying`](crate::Reconnect::keep_trying) only what is not retryable is reported.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the attempt to the others that wait for it. When it was the last to wait for a first
    /// connect, the attempt is abandoned and the client disconnected.
    pub async fn connect(&self, login: impl Into<Login>) -> Result<User, ConnectError> {
        let login = login.into();
        let user_id = login.user_id.clone()?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Connect { user_id, source: login.source, reply };
        self.commands.send(command).await.map_err(|_| ConnectError::Ended)?;
        answer.await.unwrap_or(Err(ConnectError::Ended))
    }

    /// The user that is connected or being brought back, as its owner sees it.
    #[must_use]
    pub fn current_user(&self) -> Option<User> {
        self.shared.user()
    }

    /// How things stand.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// The events from now on, in a queue of their own.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.shared.subscribe())
    }

    /// Sends a request and returns its response. The types of requests are in [`chatcamp_protocol::request`].
    ///
    /// While the client connects or reconnects, up to 256 requests wait to be sent. A request is never sent twice.
    ///
    /// # Errors
    /// [`RequestError`]; [`is_retryable`](RequestError::is_retryable) tells whether the request can be repeated without
    /// running twice.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws a request that was not sent yet. A request that was sent runs, and its response is
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

    /// Sends a request of any type and returns the body of its acknowledgement, for types that
    /// [`send`](Self::send) does not know.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and [`RequestError::InvalidBody`].
    ///
    /// # Cancel safety
    /// That of [`send`](Self::send).
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

    /// Changes the profile of the connected user. Fields that are `None` stay as they are.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    ///
    /// # Cancel safety
    /// That of [`send`](Self::send).
    pub async fn update_user(&self, update: ProfileUpdate) -> Result<User, RequestError> {
        let user = self.current_user().ok_or(RequestError::NotConnected)?;
        Ok(self.send(UpdateUser { id: Some(user.id), update }).await?.user)
    }

    /// Ends whatever there is: a connection, an attempt, a wait. Always legal; does nothing when there is nothing.
    ///
    /// Requests that were sent end with [`RequestError::Unanswered`], calls of `connect` with
    /// [`ConnectError::Disconnected`]. The last event is [`Event::Disconnected`](crate::Event::Disconnected). Returns when
    /// the server has agreed to the end, or after 5 s.
    ///
    /// # Cancel safety
    /// Dropping the future while it waits for the server leaves the end to take place.
    pub async fn disconnect(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Disconnect { reply }).await.is_ok() {
            // An error means that the task has ended, and everything with it.
            let _ = done.await;
        }
    }

    /// Says that the network may have changed, such as when a device wakes up or joins another one.
    ///
    /// A client that waits before its next attempt makes it now; one that is connected makes sure within 5 s that it still is.
    /// Does nothing where there is nothing to do.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the hint unsaid.
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
