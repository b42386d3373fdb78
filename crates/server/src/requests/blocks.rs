//! Whom one blocks.

use std::num::NonZeroU64;

use chatcamp_protocol::{ErrorCode, UserId};
use chatcamp_store::StoreError;
use serde::Deserialize;

use super::{Call, page::Page};

#[derive(Deserialize)]
pub(super) struct Block {
    block_id: UserId,
}

#[derive(Deserialize)]
pub(super) struct Unblock {
    unblock_id: UserId,
}

#[derive(Deserialize)]
pub(super) struct List {
    limit: Option<NonZeroU64>,
    reference: Option<UserId>,
}

/// `users.block`: blocks another user, who is shown as everybody sees it. To block twice is to block once.
pub(super) async fn block(call: Call, body: Block) {
    let session = &call.session;
    if body.block_id == session.user {
        return call.fail(ErrorCode::OwnUser, "a client may not block its own user");
    }
    match call.store().block(&session.app, &session.user, &body.block_id).await {
        Ok(true) => show(&call, &body.block_id).await,
        Ok(false) => call.fail_unknown_user(),
        Err(StoreError::BlockLimit) => {
            call.fail(
                ErrorCode::TooManyBlocks,
                "this user blocks as many others as it may; unblock one first",
            );
        }
        Err(error) => call.fail_store(error),
    }
}

/// `users.unblock`: ends a block, if there is one; shows the other user as everybody sees it.
pub(super) async fn unblock(call: Call, body: Unblock) {
    let session = &call.session;
    match call.store().unblock(&session.app, &session.user, &body.unblock_id).await {
        Ok(_) => show(&call, &body.unblock_id).await,
        Err(error) => call.fail_store(error),
    }
}

/// `users.block_list`: those whom one blocks, as everybody sees them.
pub(super) async fn list(call: Call, body: List) {
    let session = &call.session;
    let mut page = Page::new(body.limit);
    let blocked =
        call.store().blocked(&session.app, &session.user, body.reference.as_ref(), page.length()).await;
    let blocked = match blocked {
        Ok(blocked) => blocked,
        Err(error) => return call.fail_store(error),
    };
    match call.listed(blocked).await {
        Err(error) => call.fail_unavailable(&error.into()),
        Ok(listed) => {
            for listed in listed {
                if page.push(listed).is_err() {
                    break;
                }
            }
            call.succeed(&page);
        }
    }
}

/// Acknowledges with the other user.
async fn show(call: &Call, id: &UserId) {
    match call.store().user(&call.session.app, id).await {
        Ok(Some(user)) => call.succeed_with(&user).await,
        Ok(None) => call.fail_unknown_user(),
        Err(error) => call.fail_store(error),
    }
}
