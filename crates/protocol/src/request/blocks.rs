//! Requests about the users that the session's own user blocks.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::{Request, UserPage, UserResponse};
use crate::{UserId, user::PublicUser};

/// Blocks another user until the block is ended or either user is deleted. Blocking a user twice is not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BlockUser {
    /// The user to block.
    pub block_id: UserId,
}

impl Request for BlockUser {
    const TYPE: &'static str = "users.block";
    type Response = UserResponse<PublicUser>;
}

/// Ends a block. Unblocking a user who is not blocked is not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnblockUser {
    /// The user to unblock.
    pub unblock_id: UserId,
}

impl Request for UnblockUser {
    const TYPE: &'static str = "users.unblock";
    type Response = UserResponse<PublicUser>;
}

/// Lists the users that the session's own user blocks, in pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListBlockedUsers {
    /// The length of the page: 20 if absent, 100 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroU64>,
    /// The id after which the page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<UserId>,
}

impl Request for ListBlockedUsers {
    const TYPE: &'static str = "users.block_list";
    type Response = UserPage;
}
