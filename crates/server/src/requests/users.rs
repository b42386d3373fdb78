//! `users.get`, `users.update`: reads any user, and changes the session's own user.

use chatcamp_protocol::{
    ErrorCode,
    request::{GetUser, UpdateUser, UserResponse, VisibleUser},
};

use super::call::{Call, Failure, Outcome};
use crate::operations::{AccountError, UserFields, Written};

/// Responds with the session's own user in full, or with another user as others see it.
pub(super) async fn get(call: &Call<GetUser>, request: GetUser) -> Outcome {
    let (operations, session) = (&call.requests.operations, &call.session);
    let id = request.id.as_ref().unwrap_or(&session.user);
    let user = operations.accounts.user(&session.app, id).await.map_err(Failure::of_account)?;
    let user = if user.id == session.user {
        VisibleUser::Own(Box::new(operations.own_user(session, &user)))
    } else {
        VisibleUser::Other(call.public(&user).await?)
    };
    Ok(call.succeed(&UserResponse { user }))
}

/// Changes the session's own user and sends the change to the user's other sessions.
pub(super) async fn update(call: &Call<UpdateUser>, request: UpdateUser) -> Outcome {
    let (operations, session) = (&call.requests.operations, &call.session);
    if request.id.is_some_and(|id| id != session.user) {
        return Err(Failure::refused(ErrorCode::NotOwnUser, "a client may change its own user only"));
    }
    // Locked until all sessions have the change, so that they get changes in the same order.
    let _lock = operations.lock_user(&session.app, &session.user).await;
    let fields = UserFields { profile: request.update, ..UserFields::default() };
    let written = match operations.accounts.update_user(&session.app, &session.user, fields).await {
        Err(AccountError::NoUser(_)) => {
            return Err(Failure::refused(ErrorCode::UserNotFound, "this user was deleted"));
        }
        written => written.map_err(Failure::of_account)?,
    };
    let acknowledged = call.succeed(&UserResponse { user: operations.own_user(session, &written.user) });
    if written.written == Written::Changed {
        operations.send_user_change(&written.user, |other| other.id != session.id);
    }
    Ok(acknowledged)
}
