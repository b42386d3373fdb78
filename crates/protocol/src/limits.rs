//! Every limit of the protocol, each with its unit.

use std::time::Duration;

/// Longest app id, in characters.
pub const APP_ID: usize = 64;
/// Longest user id, in bytes of UTF-8.
pub const USER_ID: usize = 255;
/// Longest display name, in bytes of UTF-8.
pub const DISPLAY_NAME: usize = 255;
/// Longest URL kept in a profile, in bytes of UTF-8.
pub const PROFILE_URL: usize = 2048;
/// Longest first name, last name, e-mail address and phone number, each, in bytes of UTF-8.
pub const PROFILE_FIELD: usize = 255;
/// Largest `metadata` (as JSON) and largest `data`, each, in bytes.
pub const METADATA: usize = 4 * 1024;
/// Deepest nesting of `metadata`, in levels. Some clients cannot read deeper nesting.
pub const METADATA_DEPTH: usize = 32;
/// Shortest and longest access token that a backend may choose, in bytes.
pub const CUSTOM_TOKEN: std::ops::RangeInclusive<usize> = 16..=512;
/// Largest published event, measured as a message, in bytes.
pub const EVENT: usize = 32 * 1024;
/// Longest type of an event, in characters.
pub const EVENT_TYPE: usize = 64;
/// Largest message in either direction, in bytes of UTF-8.
pub const MESSAGE: usize = 64 * 1024;
/// Largest message before the verdict on a client's credentials, in bytes of UTF-8. `users.auth` with the longest ids, token
/// and session key has less than 3 KiB.
pub const HANDSHAKE_MESSAGE: usize = 4 * 1024;
/// Largest HTTP request head, in bytes.
pub const REQUEST_HEAD: usize = 16 * 1024;
/// Longest name and version of a native client, in bytes.
pub const CLIENT_NAME: usize = 128;
/// Maximum number of messages kept for one session: those waiting to be sent and those not yet acknowledged.
pub const OUTBOX_MESSAGES: usize = 1000;
/// Maximum size of the messages kept for one session, in bytes.
pub const OUTBOX_BYTES: usize = 1024 * 1024;
/// Messages received after which a native client sends `ping`, so that the server can drop them.
pub const ACKNOWLEDGE_MESSAGES: u64 = 250;
/// Bytes received after which a native client sends `ping`.
pub const ACKNOWLEDGE_BYTES: usize = 256 * 1024;

/// Longest time from the first byte of a connection to the verdict on its credentials.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Silence after which a native client sends `ping`; interval of WebSocket Pings to the published SDK.
pub const HEARTBEAT: Duration = Duration::from_secs(25);
/// Silence after which a connection is considered lost.
pub const SILENCE: Duration = Duration::from_secs(35);
/// How long a client may read none of the messages that wait for it before its connection is ended.
pub const STALLED: Duration = Duration::from_secs(15);
/// How long a native session without a connection is kept.
pub const KEPT_NATIVE: Duration = Duration::from_secs(2 * 60);
/// How long a session of the published SDK without a connection is kept. The SDK retries after 1, 3, 7, 15, 31, 63 and 127 s.
pub const KEPT_PUBLISHED: Duration = Duration::from_secs(5 * 60);
/// Longest time from the start of a close to its completion by the peer.
pub const CLOSING: Duration = Duration::from_secs(5);
/// Lifetime of a session key, unless its token expires earlier.
pub const SESSION_KEY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
