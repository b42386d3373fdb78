//! Operations on live sessions of any node: publish, list, end, presence.

use chatcamp_protocol::{
    AppId, UserId, envelope,
    event::{APP_EVENT, AppEvent},
    limits,
    request::PositiveAck,
};
use chatcamp_transport::Message;
use serde_json::Value;
use smallvec::SmallVec;

use super::Operations;
use crate::{
    activity,
    bus::{BusError, EndMode, PublishOutcome, Recipients, SessionList, SessionRef},
};

/// An event was not published. It was sent to no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The event type is invalid.
    #[error("an event type has 1 to {} characters of a-z 0-9 . _ -", limits::EVENT_TYPE)]
    InvalidType,
    /// The event is too large.
    #[error("an event has at most {} bytes", limits::EVENT)]
    TooLarge,
    /// The nodes that have the sessions cannot be reached.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Returns the message of an event.
fn message(event: &AppEvent<'_, &Value>) -> Result<Message, PublishError> {
    let kind = &*event.kind;
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if kind.is_empty() || kind.len() > limits::EVENT_TYPE || !kind.bytes().all(is_allowed) {
        return Err(PublishError::InvalidType);
    }
    let text = envelope::push(APP_EVENT, &PositiveAck::new(event));
    if text.len() > limits::EVENT {
        return Err(PublishError::TooLarge);
    }
    Ok(text.into())
}

impl Operations {
    /// Publishes events to the recipients' sessions. Each session gets them in this order, in one write if possible.
    ///
    /// # Errors
    /// [`PublishError`], for the first event that has one; no event was sent.
    pub(crate) async fn publish(
        &self,
        app: &AppId,
        to: &Recipients,
        events: &[AppEvent<'_, &Value>],
    ) -> Result<PublishOutcome, PublishError> {
        let messages: SmallVec<[Message; 1]> = events.iter().map(message).collect::<Result<_, _>>()?;
        let published = self.bus.publish(app, to, &messages).await?;
        let users = match to {
            Recipients::All => None,
            Recipients::Users(users) => Some(&users[..]),
        };
        for event in events {
            activity::published(app, users, &event.kind, published.delivered, published.queued);
        }
        Ok(published)
    }

    /// Lists the live sessions of an app, or of one of its users, at most `most` of them.
    pub(crate) async fn sessions(
        &self,
        app: &AppId,
        user: Option<&UserId>,
        most: usize,
    ) -> Result<SessionList, BusError> {
        self.bus.sessions(app, user, most).await
    }

    /// Ends one session by its public id; returns `false` if the app has no such live session.
    pub(crate) async fn end_session(&self, app: &AppId, id: &str, mode: EndMode) -> Result<bool, BusError> {
        match SessionRef::parse(id) {
            Some(id) => self.bus.end_session(app, id, mode).await,
            None => Ok(false),
        }
    }

    /// Ends all sessions of a user; returns how many there were.
    pub(crate) async fn end_sessions(
        &self,
        app: &AppId,
        user: &UserId,
        mode: EndMode,
    ) -> Result<usize, BusError> {
        self.bus.end_sessions(app, user, mode).await
    }

    /// Returns whether a user has a live session.
    pub(crate) async fn is_online(&self, app: &AppId, user: &UserId) -> Result<bool, BusError> {
        Ok(self.bus.are_online(app, &[user]).await?.contains(&true))
    }

    /// Returns for each user, in order, whether it has a live session.
    pub(crate) async fn are_online(&self, app: &AppId, users: &[&UserId]) -> Result<Vec<bool>, BusError> {
        self.bus.are_online(app, users).await
    }

    /// Returns the app's users that have a live session and whose ids are greater than `after`, in byte order.
    pub(crate) async fn online_users(
        &self,
        app: &AppId,
        after: Option<&UserId>,
    ) -> Result<Vec<UserId>, BusError> {
        self.bus.online_users(app, after).await
    }
}
