//! Reports what users and backends do, as `tracing` events at level debug. `chatcamp dev` prints them.
//!
//! While nobody listens, an event costs the check of a level.

#[cfg(feature = "api")]
use std::fmt;

use chatcamp_protocol::{AppId, Code, UserId};

/// The target of the `tracing` events, at level debug, that report what users and backends do: a user connected, a connection was
/// refused, an event was published.
///
/// Every event has a message. Fields, where they apply: `app`, `user`, `transport`, `code`, `reason`, `kind` of an event.
pub const ACTIVITY: &str = module_path!();

/// Returns whether activity is reported.
pub(crate) fn is_reported() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

pub(crate) fn connected(app: &AppId, user: &UserId, transport: &str) {
    tracing::debug!(%app, %user, transport, "connected");
}

pub(crate) fn resumed(app: &AppId, user: &UserId, transport: &str) {
    tracing::debug!(%app, %user, transport, "resumed");
}

/// A session lost its connection and waits for its client.
pub(crate) fn connection_lost(app: &AppId, user: &UserId) {
    tracing::debug!(%app, %user, "lost the connection; the session can be resumed");
}

/// A session's client did not return in time.
pub(crate) fn expired(app: &AppId, user: &UserId) {
    tracing::debug!(%app, %user, "did not resume in time; the session is over");
}

/// A session is over, and its connection is closed.
pub(crate) fn disconnected(app: &AppId, user: &UserId) {
    tracing::debug!(%app, %user, "disconnected");
}

/// The server ends a session.
pub(crate) fn ending(app: &AppId, user: &UserId, code: Code) {
    tracing::debug!(%app, %user, code = code.as_str(), reason = code.reason(), "session ended by the server");
}

/// A connection did not become a session. The user is `None` if it was refused before it named one.
pub(crate) fn refused(user: Option<&(AppId, UserId)>, transport: &str, code: Code) {
    let code_text = code.as_str();
    let reason = code.reason();
    match user {
        Some((app, user)) => tracing::debug!(%app, %user, transport, code = code_text, reason, "refused"),
        None => tracing::debug!(transport, code = code_text, reason, "refused"),
    }
}

/// A backend's request was refused.
#[cfg(feature = "api")]
pub(crate) fn request_refused(request: &dyn fmt::Display, code: &str, reason: &str) {
    tracing::debug!(%request, code, reason, "request refused");
}

/// An event was delivered to a number of sessions of these users, or of all users, and queued for others.
pub(crate) fn published(app: &AppId, users: Option<&[UserId]>, kind: &str, delivered: usize, queued: usize) {
    match users {
        Some([user]) => tracing::debug!(%app, %user, kind, delivered, queued, "event"),
        Some(users) => tracing::debug!(%app, users = users.len(), kind, delivered, queued, "event"),
        None => tracing::debug!(%app, users = "all", kind, delivered, queued, "event"),
    }
}
