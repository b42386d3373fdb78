//! `users.refresh`: replaces the credential of a native client's live session.

use chatcamp_auth::{
    Verdict,
    authenticator::{OriginHeader, Proof, Question},
};
use chatcamp_protocol::{
    ErrorCode,
    request::{RefreshCredential, RefreshResponse},
};

use super::call::{Call, Failure, Outcome};
use crate::{admission::is_guess, session::AuthState};

/// Checks the token as a handshake does, and makes it the session's credential. If it is refused, the session keeps its credential.
pub(super) async fn refresh(call: &Call<RefreshCredential>, request: RefreshCredential) -> Outcome {
    let (requests, session) = (&call.requests, &call.session);
    if request.user_id.is_some_and(|id| id != session.user.as_str()) {
        let message = "a refresh is for the user who is connected; connect another one";
        return Err(Failure::refused(ErrorCode::NotOwnUser, message));
    }
    let now = requests.sessions.clock.now();
    let epoch = session.epoch();
    let proof = Proof::Token(&request.access_token);
    let origin = OriginHeader::Checked;
    let question = Question { app_id: &session.app, user_id: &session.user, proof, origin };
    match requests.authenticator.admit(question, now).await {
        Verdict::Admit(admission) => {
            session.set_auth(epoch, AuthState::by(&admission));
            // A change of the user between the verdict and now was checked against the old credential.
            requests.revalidation.check(session).await?;
            requests.sessions.schedule_check(session, requests.sessions.wheel.now());
            let token_expires_in = session.auth().valid_until.map(|end| end.saturating_sub(now));
            Ok(call.succeed(&RefreshResponse { token_expires_in }))
        }
        Verdict::Refuse(code) => {
            if is_guess(code) {
                // A session sends one request at a time, so that its delayed answers need no bound of their own.
                let user = (&session.app, &session.user);
                _ = requests.rates.delay_failure(session.address(), Some(user)).await;
            }
            Err(Failure::refused(ErrorCode::TokenRefused, code.reason()))
        }
        Verdict::Defer(..) => {
            let message = "the server cannot check the token now; try again later";
            Err(Failure::refused(ErrorCode::StoreUnavailable, message))
        }
    }
}
