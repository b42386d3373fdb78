//! The connection state.

use chatcamp_auth::client::Refusal;

use crate::ConnectError;

/// The state of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum State {
    /// No user is connected or connecting.
    Disconnected(EndReason),
    /// A user is connecting for the first time.
    Connecting,
    /// A user is connected.
    Connected,
    /// The connection broke, and the client reconnects.
    Reconnecting {
        /// The number of the current or next attempt, from 1.
        attempt: u32,
    },
}

/// Why no user is connected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EndReason {
    /// No user was connected yet.
    NeverConnected,
    /// The application disconnected, or dropped the last call that waited for a first connect.
    ByUs,
    /// The server refused the user or the credential, and no other credential is available.
    Refused(Refusal),
    /// The attempt failed and is not repeated.
    Failed(ConnectError),
    /// Another user was connected.
    Superseded,
}
