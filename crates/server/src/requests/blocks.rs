//! `users.block`, `users.unblock`, `users.block_list`: the users that the session's own user blocks.

use chatcamp_protocol::{
    ErrorCode, UserId,
    request::{BlockUser, ListBlockedUsers, Request, UnblockUser, UserResponse},
    user::PublicUser,
};
use chatcamp_store::StoreError;

use super::{
    call::{Call, Failure, Outcome},
    page::Page,
};

/// Blocks another user. Blocking a user twice is not an error.
pub(super) async fn block(call: &Call<BlockUser>, request: BlockUser) -> Outcome {
    let session = &call.session;
    if request.block_id == session.user {
        return Err(Failure::refused(ErrorCode::OwnUser, "a client may not block its own user"));
    }
    match call.store().block(&session.app, &session.user, &request.block_id).await {
        Ok(true) => respond(call, &request.block_id).await,
        Ok(false) => Err(Failure::unknown_user()),
        Err(StoreError::BlockLimit) => {
            let message = "this user blocks as many others as it may; unblock one first";
            Err(Failure::refused(ErrorCode::TooManyBlocks, message))
        }
        Err(error) => Err(error.into()),
    }
}

/// Ends a block. Unblocking a user who is not blocked is not an error.
pub(super) async fn unblock(call: &Call<UnblockUser>, request: UnblockUser) -> Outcome {
    let session = &call.session;
    call.store().unblock(&session.app, &session.user, &request.unblock_id).await?;
    respond(call, &request.unblock_id).await
}

/// Lists the blocked users.
pub(super) async fn list(call: &Call<ListBlockedUsers>, request: ListBlockedUsers) -> Outcome {
    let session = &call.session;
    let mut page = Page::new(request.limit);
    let after = request.reference.as_ref();
    let blocked = call.store().blocked(&session.app, &session.user, after, page.length()).await?;
    for user in call.public_users(&blocked).await? {
        if page.push(user).is_err() {
            break;
        }
    }
    Ok(call.succeed(&page.into()))
}

/// Responds with the other user.
async fn respond<R: Request<Response = UserResponse<PublicUser>>>(call: &Call<R>, id: &UserId) -> Outcome {
    let user = call.store().user(&call.session.app, id).await?.ok_or_else(Failure::unknown_user)?;
    Ok(call.succeed(&UserResponse { user: call.public(&user).await? }))
}
