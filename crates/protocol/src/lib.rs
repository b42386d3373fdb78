//! The messages of the ChatCamp wire protocol.
//!
//! This crate defines what clients and servers exchange: the envelope, requests and events, ids and secrets, the user
//! object, error codes and limits, and the sequence numbers that both sides count. It does no I/O, starts no task and
//! reads no clock.
//!
//! | start from | for |
//! |---|---|
//! | [`Envelope`] | the form of every message |
//! | [`Request`](request::Request) | what a client asks, with the type of its response |
//! | [`User`], [`AppId`], [`UserId`], [`AccessToken`] | the user object, ids and tokens |
//! | [`Code`], [`ErrorCode`] | why a connection ends, and why a request fails |
//! | [`limits`] | every limit of sizes and times |
//!
//! | module | holds |
//! |---|---|
//! | [`envelope`] | the outer object of every message, with its body unparsed |
//! | [`handshake`] | the bodies of `users.auth` and its acknowledgement |
//! | [`request`] | every other request and its response |
//! | [`event`] | what a server sends without being asked |
//! | [`user`] | the user object, as its owner and as other users see it |
//! | [`id`] | app ids and user ids, validated on construction |
//! | [`secret`] | access tokens and session keys, which are never printed |
//! | [`code`] | why a connection ends: code, WebSocket number, reason, advice |
//! | [`error`] | why a single request fails |
//! | [`api_code`] | why the Platform API refuses a request of a backend |
//! | [`origin`] | the origins of web pages, and which of them an app accepts |
//! | [`limits`] | every limit of sizes and times |
//! | [`sequence`] | the numbers of messages and requests |
//! | [`url`] | the address of a server |
//! | [`text`] | text that another party chose, escaped to one line |
//!
//! ```
//! use chatcamp_protocol::{Envelope, envelope};
//!
//! let text = r#"{"t":"users.update","d":{"id":"alice","display_name":"Alice"},"r":7}"#;
//! let request = Envelope::parse(text)?;
//! assert_eq!((request.t.as_ref(), request.r), ("users.update", Some(7)));
//!
//! let ack = envelope::ack(&request.t, request.r, &serde_json::json!({"ok": true}));
//! assert_eq!(ack, r#"{"t":"users.update.ack","to":7,"d":{"ok":true}}"#);
//! # Ok::<(), envelope::Malformed>(())
//! ```

pub mod api_code;
pub mod code;
#[cfg(test)]
mod documents;
pub mod envelope;
pub mod error;
pub mod event;
pub mod handshake;
pub mod id;
pub mod limits;
pub mod origin;
pub mod request;
pub mod secret;
pub mod sequence;
pub mod text;
pub mod url;
pub mod user;

pub use api_code::ApiCode;
pub use code::{Advice, Code};
pub use envelope::Envelope;
pub use error::ErrorCode;
pub use id::{AppId, UserId};
pub use origin::{Origin, OriginPattern, OriginPolicy};
pub use secret::{AccessToken, SessionKey};
pub use url::ServerUrl;
pub use user::{Profile, User};
