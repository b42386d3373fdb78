//! Sends the changes of a user to the user's sessions.

use chatcamp_protocol::{
    AppId, User, UserId, envelope,
    event::{USER_CHANGED, UserChanged},
    request::PositiveAck,
};
use chatcamp_transport::Message;
use tokio::sync::MutexGuard;

use super::Operations;
use crate::{session::Session, user_view::own_user};

impl Operations {
    /// Waits until no other task changes this user, so that its sessions get the changes in order.
    pub(crate) async fn lock_user(&self, app: &AppId, user: &UserId) -> MutexGuard<'_, ()> {
        self.locks.lock(app, user).await
    }

    /// Returns the user as the session's client sees its own user.
    pub(crate) fn own_user(&self, session: &Session, user: &chatcamp_store::User) -> User {
        own_user(user, session.auth().token.as_ref(), true)
    }

    /// Sends a user's new state to those of its sessions that `include` accepts. The caller holds the user's lock.
    pub(crate) fn send_user_change(&self, user: &chatcamp_store::User, include: impl Fn(&Session) -> bool) {
        for session in self.sessions.registry.of_user(&user.app, &user.id) {
            if include(&session) {
                let changed = UserChanged { user: self.own_user(&session, user) };
                let message = Message::from(envelope::push(USER_CHANGED, &PositiveAck::new(&changed)));
                self.sessions.push(&session, &message);
            }
        }
    }
}
