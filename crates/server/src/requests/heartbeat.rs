//! `ping`: the heartbeat of native clients.

use chatcamp_protocol::{
    Code,
    request::{Empty, Ping},
};

use super::call::{Call, Failure, Outcome};

/// Drops the messages that the client has received. A number that was not sent yet ends the session.
pub(super) fn ping(call: &Call<Ping>, request: Ping) -> Outcome {
    if !call.session.acknowledge(request.seen, &call.requests.sessions.queued) {
        return Err(Failure::Violation(Code::Malformed));
    }
    Ok(call.succeed(&Empty {}))
}
