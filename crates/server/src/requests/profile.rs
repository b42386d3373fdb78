//! One's own profile, and the profiles of others.

use std::sync::Arc;

use chatcamp_protocol::{ErrorCode, UserId, user::ProfileUpdate};
use chatcamp_store::Edited;
use serde::Deserialize;

use super::{Call, UserBody};

#[derive(Deserialize)]
pub(super) struct Get {
    id: Option<UserId>,
}

#[derive(Deserialize)]
pub(super) struct Update {
    id: Option<UserId>,
    #[serde(flatten)]
    update: ProfileUpdate,
}

/// `users.get`: one's own user in full, or what everybody sees of another.
pub(super) async fn get(call: Call, body: Get) {
    let session = &call.session;
    let id = body.id.as_ref().unwrap_or(&session.user);
    match call.store().user(&session.app, id).await {
        Err(error) => call.fail_store(error),
        Ok(None) => call.fail_unknown_user(),
        Ok(Some(user)) if user.id == session.user => {
            call.succeed(&UserBody::new(call.requests.operations.own_user(session, &user)));
        }
        Ok(Some(user)) => call.succeed_with(&user).await,
    }
}

/// `users.update`: the five fields a client may change of its own user. The user's other sessions are told.
pub(super) async fn update(call: Call, body: Update) {
    let (operations, session) = (&call.requests.operations, &call.session);
    if body.id.is_some_and(|id| id != session.user) {
        return call.fail(ErrorCode::NotOwnUser, "a client may change its own user only");
    }
    let _lock = operations.lock_user(&session.app, &session.user).await;
    // The answer of the edit, which runs on the store's thread.
    let verdict = Arc::new(parking_lot::Mutex::new(Ok(Edited::Keep)));
    let heard = verdict.clone();
    let edit = move |user: &mut chatcamp_store::User| {
        let mut profile = user.profile.clone();
        profile.apply(body.update);
        let edited =
            profile.check().map(|()| if profile == user.profile { Edited::Keep } else { Edited::Save });
        *heard.lock() = edited;
        if edited == Ok(Edited::Save) {
            user.profile = profile;
        }
        edited.unwrap_or(Edited::Keep)
    };
    let updated = operations.store.edit_user(&session.app, &session.user, Box::new(edit)).await;
    let checked = *verdict.lock();
    match (updated, checked) {
        (Err(error), _) => call.fail_store(error),
        (Ok(None), _) => call.fail(ErrorCode::UserNotFound, "this user was deleted"),
        (Ok(_), Err(over_limit)) => call.fail(ErrorCode::ValueTooLong, &over_limit.to_string()),
        (Ok(Some(user)), Ok(edited)) => {
            call.succeed(&UserBody::new(operations.own_user(session, &user)));
            if edited == Edited::Keep {
                return;
            }
            operations.tell_user(&user, |other| other.id != session.id);
        }
    }
}
