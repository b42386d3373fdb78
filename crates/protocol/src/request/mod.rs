//! Every request of a client and its response: one type each, shared by client, server and tests.
//!
//! [`Request`] ties the type on the wire to the body of the request and of its acknowledgement. The handshake's request,
//! `users.auth`, is in [`handshake`](crate::handshake), because its acknowledgement has another form in each dialect.
//!
//! The table of requests in `docs/PROTOCOL.md` and the types in `chatcamp.d.ts` are generated from the types here and from
//! their documentation; a test fails when they differ.
//!
//! | module | holds |
//! |---|---|
//! | [`users`] | reading, changing, listing and counting users |
//! | [`blocks`] | blocking other users |
//! | [`session`] | the heartbeat and the credential of a session |
//! | [`ack`] | the fields that every acknowledgement has |
//!
//! ```
//! use chatcamp_protocol::{UserId, envelope, request::{BlockUser, Request}};
//!
//! let request = BlockUser { block_id: UserId::new("bob")? };
//! let text = envelope::request(BlockUser::TYPE, 1, &request);
//! assert_eq!(text, r#"{"t":"users.block","d":{"block_id":"bob"},"r":1}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub mod ack;
pub mod blocks;
pub mod session;
pub mod users;

pub use ack::{AckStatus, ErrorDetail, NegativeAck, PositiveAck};
pub use blocks::{BlockUser, ListBlockedUsers, UnblockUser};
pub use session::{Ping, RefreshCredential, RefreshResponse};
pub use users::{
    ActiveFilter, CountResponse, CountUsers, GetUser, ListUsers, PresenceFilter, TokenFilter, UpdateUser,
    UserCount, UserFilters, UserPage, UserResponse, VisibleUser,
};

/// The body of a request that a client sends on its session.
///
/// An implementation with a type that this crate does not have is possible; servers that do not know the type answer with
/// [`ErrorCode::UnknownType`](crate::ErrorCode::UnknownType).
pub trait Request: Serialize + DeserializeOwned {
    /// The type on the wire, such as `users.get`.
    const TYPE: &'static str;

    /// The body of a positive acknowledgement, without `ok`.
    type Response: Serialize + DeserializeOwned;
}

/// A response without fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Empty {}

/// Passes the name of every request to the macro `$then`, in the order of the documentation.
macro_rules! for_every_request {
    ($then:ident) => {
        $then! {
            GetUser UpdateUser ListUsers CountUsers
            BlockUser UnblockUser ListBlockedUsers
            RefreshCredential Ping
        }
    };
}

macro_rules! types {
    ($($request:ident)+) => {
        /// The type of every request on a session, in the order of the documentation.
        pub const TYPES: &[&str] = &[$($request::TYPE),+];
    };
}

for_every_request!(types);

#[cfg(test)]
pub(crate) use for_every_request;
