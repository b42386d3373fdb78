//! How things stand.

use chatcamp_auth::client::Refusal;

use crate::ConnectError;

/// The state of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum State {
    /// No user is connected and none is about to be.
    Disconnected(EndReason),
    /// A user is connecting for the first time.
    Connecting,
    /// A user is connected.
    Connected,
    /// The connection broke, and the client is bringing it back.
    Reconnecting {
        /// Which attempt runs or comes next, from 1.
        attempt: u32,
    },
}

/// Why no user is connected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EndReason {
    /// None has been yet.
    NeverConnected,
    /// The application wanted it so: it disconnected, or dropped the last call that waited for a first connect.
    ByUs,
    /// The server refuses the user or the credential, and there is no other credential to try.
    Refused(Refusal),
    /// The attempt failed and is not to be repeated.
    Failed(ConnectError),
    /// Another user was connected.
    Superseded,
}
