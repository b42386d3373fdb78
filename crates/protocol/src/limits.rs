//! Every limit of the protocol in one place, with its unit in its documentation.

use std::time::Duration;

/// Longest app id, in characters.
pub const APP_ID: usize = 64;
/// Longest user id, in bytes of UTF-8.
pub const USER_ID: usize = 255;
/// Longest display name, in bytes of UTF-8.
pub const DISPLAY_NAME: usize = 255;
/// Longest URL kept in a profile, in bytes of UTF-8.
pub const PROFILE_URL: usize = 2048;
/// Longest of the short profile fields (first and last name, e-mail, phone number), in bytes of UTF-8.
pub const PROFILE_FIELD: usize = 255;
/// Largest `metadata` (as JSON) and largest `data`, each, in bytes.
pub const METADATA: usize = 4 * 1024;
/// Deepest nesting of `metadata`, in levels: what is nested deeper cannot be read everywhere.
pub const METADATA_DEPTH: usize = 32;
/// Shortest and longest access token of a caller's choice, in bytes.
pub const CUSTOM_TOKEN: std::ops::RangeInclusive<usize> = 16..=512;
/// Largest event that a backend publishes, as a message, in bytes.
pub const EVENT: usize = 32 * 1024;
/// Longest type of an event, in characters.
pub const EVENT_TYPE: usize = 64;
/// Largest message in either direction, in bytes of UTF-8.
pub const MESSAGE: usize = 64 * 1024;
/// Largest HTTP request head, in bytes.
pub const REQUEST_HEAD: usize = 16 * 1024;
/// Longest name and version a native client may give itself, in bytes.
pub const CLIENT_NAME: usize = 128;
/// Most messages kept for one session: those that wait, and those its client has not acknowledged.
pub const OUTBOX_MESSAGES: usize = 1000;
/// Most bytes of them.
pub const OUTBOX_BYTES: usize = 1024 * 1024;
/// Server messages after which a native client sends `ping`, so that what it has need not be kept.
pub const ACKNOWLEDGE_MESSAGES: u64 = 250;
/// Bytes of them after which it does.
pub const ACKNOWLEDGE_BYTES: usize = 256 * 1024;

/// From the first byte of a connection to the verdict on its credentials.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Silence after which a native client sends `ping`, and between two WebSocket pings to a published SDK.
pub const HEARTBEAT: Duration = Duration::from_secs(25);
/// Silence after which a connection is taken for dead.
pub const SILENCE: Duration = Duration::from_secs(35);
/// How long a native session without a connection is kept.
pub const KEPT_NATIVE: Duration = Duration::from_secs(2 * 60);
/// The same of a published SDK, whose attempts come after 1, 3, 7, 15, 31, 63 and 127 s.
pub const KEPT_PUBLISHED: Duration = Duration::from_secs(5 * 60);
/// From the start of a close to its completion by the peer.
pub const CLOSING: Duration = Duration::from_secs(5);
/// Life of a session key, unless its token ends sooner.
pub const SESSION_KEY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
