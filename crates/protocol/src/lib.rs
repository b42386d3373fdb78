//! The words of the ChatCamp wire protocol.
//!
//! This crate names what travels between a client and a server and nothing else: the envelope, ids and
//! secrets, the user object, the codes with which things are refused or end, the limits, and the sequence
//! arithmetic both sides share. It does no I/O, starts no task and reads no clock.
//!
//! Start from [`Envelope`], which every message is, and [`Code`], which every end carries.
//!
//! | module | holds |
//! |---|---|
//! | [`envelope`] | the outer object of every message; its body passes through unparsed |
//! | [`handshake`] | the bodies of `users.auth` and its acknowledgement |
//! | [`user`] | the user object: the owner's view and everybody else's |
//! | [`id`] | app ids and user ids, valid by construction |
//! | [`secret`] | access tokens and session keys, which never print |
//! | [`code`] | the table of ends: code, WebSocket number, reason, advice |
//! | [`error`] | the codes with which a single request fails |
//! | [`limits`] | every size and time limit of the protocol |
//! | [`sequence`] | numbering of envelopes and requests |
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

pub mod code;
pub mod envelope;
pub mod error;
pub mod handshake;
pub mod id;
pub mod limits;
pub mod secret;
pub mod sequence;
pub mod user;

pub use code::{Advice, Code};
pub use envelope::Envelope;
pub use error::ErrorCode;
pub use id::{AppId, UserId};
pub use secret::{AccessToken, SessionKey};
pub use user::{Profile, User};
