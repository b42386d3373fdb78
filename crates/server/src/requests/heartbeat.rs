//! `ping`: the heartbeat of native clients.

use chatcamp_protocol::{
    Code,
    request::{Empty, Ping},
};

use super::call::{Call, Failure, Outcome};
use crate::session::RequestPace;

/// Drops the messages that the client has received. A number that was not sent yet ends the session.
///
/// Each request of the client causes one message, its acknowledgement. A ping that acknowledges more shows that others cause messages,
/// which must not slow this client down; therefore only a ping that acknowledges less counts as a request. It is answered even if it
/// is one too many, but a flood ends the connection.
pub(super) fn ping(call: &Call<Ping>, request: Ping) -> Outcome {
    let (requests, session) = (&call.requests, &call.session);
    let Some(received) = session.acknowledge(request.seen, &requests.sessions.queued) else {
        return Err(Failure::Violation(Code::Malformed));
    };
    let pace = if received > 1 { RequestPace::Allowed } else { requests.count(session) };
    let acknowledged = call.succeed(&Empty {});
    requests.end_flood(session, pace);
    Ok(acknowledged)
}
