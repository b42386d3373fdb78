//! A request with its session, on its way to its acknowledgement.

use std::{borrow::Cow, marker::PhantomData, sync::Arc};

use chatcamp_protocol::{
    Code, Envelope, ErrorCode, envelope,
    request::{NegativeAck, PositiveAck, Request},
    user::PublicUser,
};
use chatcamp_store::{Store, StoreError, User};
use chatcamp_transport::Message;
use serde::Serialize;

use super::Requests;
use crate::{
    bus::BusError,
    operations::{AccountError, Unavailable},
    session::Session,
};

/// A request of type `R` on a session; it is acknowledged once.
pub(super) struct Call<R> {
    pub(super) requests: Arc<Requests>,
    pub(super) session: Arc<Session>,
    r: Option<u64>,
    request: PhantomData<fn() -> R>,
}

/// The result of a handler: proof that the request is acknowledged, or the reason it was not carried out.
pub(super) type Outcome = Result<Acknowledged, Failure>;

/// Proof that a request was acknowledged positively.
#[derive(Debug)]
pub(super) struct Acknowledged(());

/// The reason a request was not carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request is refused.
    Refused(ErrorCode, Cow<'static, str>),
    /// The store or the bus failed.
    Unavailable(Unavailable),
    /// The client broke the protocol; its session ends.
    Violation(Code),
}

impl<R: Request> Call<R> {
    pub(super) fn new(requests: Arc<Requests>, session: &Arc<Session>, r: Option<u64>) -> Self {
        Self { requests, session: session.clone(), r, request: PhantomData }
    }

    /// Reads the body. Returns `None` if it is invalid; then the request is refused.
    pub(super) fn read(&self, envelope: &Envelope<'_>) -> Option<R> {
        let request = envelope.body();
        if request.is_err() {
            let message = "the body lacks a field or has one of the wrong type";
            self.acknowledge(&NegativeAck::new(ErrorCode::InvalidBody, message));
        }
        request.ok()
    }

    /// Acknowledges the request with its response.
    pub(super) fn succeed(&self, response: &R::Response) -> Acknowledged {
        self.acknowledge(&PositiveAck::new(response));
        Acknowledged(())
    }

    /// Acknowledges the request negatively if it failed.
    pub(super) fn finish(&self, outcome: Outcome) {
        match outcome {
            Ok(Acknowledged(())) => {}
            Err(Failure::Refused(code, message)) => self.acknowledge(&NegativeAck::new(code, &message)),
            Err(Failure::Unavailable(error)) => {
                tracing::warn!(%error, request = R::TYPE, "a request failed because of the server");
                let message = "the server cannot reach its store now; try again later";
                self.acknowledge(&NegativeAck::new(ErrorCode::StoreUnavailable, message));
            }
            Err(Failure::Violation(code)) => _ = self.requests.sessions.end(&self.session, code, None),
        }
    }

    fn acknowledge(&self, body: &impl Serialize) {
        let message = Message::from(envelope::ack(R::TYPE, self.r, body));
        self.requests.sessions.push(&self.session, &message);
    }
}

impl<R> Call<R> {
    pub(super) fn store(&self) -> &dyn Store {
        &*self.requests.operations.store
    }

    /// Returns a user as other users see it.
    pub(super) async fn public(&self, user: &User) -> Result<PublicUser, BusError> {
        let is_online = self.requests.operations.is_online(&user.app, &user.id).await?;
        Ok(public(user, is_online))
    }

    /// Returns users of the session's app as other users see them.
    pub(super) async fn public_users(&self, users: &[Arc<User>]) -> Result<Vec<PublicUser>, BusError> {
        let ids: Vec<_> = users.iter().map(|user| &user.id).collect();
        let online = self.requests.operations.are_online(&self.session.app, &ids).await?;
        Ok(users.iter().zip(online).map(|(user, is_online)| public(user, is_online)).collect())
    }
}

impl Failure {
    /// Refuses a request with a code for programs and a message for people.
    pub(super) fn refused(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(code, message.into())
    }

    /// Refuses a request that names an unknown user.
    pub(super) fn unknown_user() -> Self {
        Self::refused(ErrorCode::UserNotFound, "the app has no user with this id")
    }

    /// Converts the error of an operation on an account.
    pub(super) fn of_account(error: AccountError) -> Self {
        match error {
            AccountError::NoApp(_) | AccountError::NoUser(_) => Self::unknown_user(),
            AccountError::OverLimit(over) => Self::refused(ErrorCode::ValueTooLong, over.to_string()),
            AccountError::Store(error @ StoreError::Nul { .. }) => {
                Self::refused(ErrorCode::InvalidBody, error.to_string())
            }
            AccountError::Store(error) => error.into(),
            // Clients may change no field that causes another error.
            other => Self::refused(ErrorCode::InvalidBody, other.to_string()),
        }
    }
}

impl<E: Into<Unavailable>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Returns a user as other users see it.
fn public(user: &User, is_online: bool) -> PublicUser {
    PublicUser {
        id: user.id.clone(),
        display_name: user.profile.display_name.clone(),
        avatar_url: user.profile.avatar_url.clone(),
        profile_url: user.profile.profile_url.clone(),
        is_online,
        last_seen: user.last_seen,
    }
}
