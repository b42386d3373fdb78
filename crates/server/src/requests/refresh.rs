//! `users.refresh`: another credential for a live session of a native client.

use chatcamp_auth::{
    Verdict,
    directory::{Proof, Question},
};
use chatcamp_protocol::{AccessToken, ErrorCode};
use serde::{Deserialize, Serialize};

use super::Call;
use crate::session::Vouched;

/// The body of the request.
#[derive(Deserialize)]
pub(super) struct Refresh {
    access_token: AccessToken,
    /// Whose it is said to be; it must be the session's user.
    user_id: Option<String>,
}

#[derive(Serialize)]
struct Refreshed {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_expires_in: Option<u64>,
}

/// Checks the token as at a connect. A refused one changes nothing: the session goes on with what it has.
pub(super) async fn refresh(call: Call, body: Refresh) {
    let (requests, session) = (&call.requests, &call.session);
    if body.user_id.is_some_and(|id| id != session.user.as_str()) {
        return call
            .fail(ErrorCode::NotOwnUser, "a refresh is for the user who is connected; connect another one");
    }
    let (now, epoch) = (requests.sessions.clock.now(), session.epoch());
    let question =
        Question { app_id: &session.app, user_id: &session.user, proof: Proof::Token(&body.access_token) };
    match requests.authenticator.admit(question, now).await {
        Verdict::Admit(admission) => {
            session.vouch(epoch, Vouched::by(&admission));
            // What changed between the verdict and now was judged by the older credential.
            if let Err(error) = requests.revalidation.check(session).await {
                return call.fail_store(error);
            }
            requests.sessions.watch(session, requests.sessions.wheel.now());
            let token_expires_in = session.vouched().valid_until.map(|end| end.saturating_sub(now));
            call.succeed(&Refreshed { ok: true, token_expires_in });
        }
        Verdict::Refuse(code) => call.fail(ErrorCode::TokenRefused, code.reason()),
        Verdict::Defer(..) => {
            call.fail(ErrorCode::StoreUnavailable, "the server cannot check the token now; try again later");
        }
    }
}
