//! What a client may ask for on its session: every request is acknowledged, once.

use std::sync::Arc;

use chatcamp_auth::server::Dialect;
use chatcamp_protocol::{
    Code, Envelope, ErrorCode, User, UserId, envelope, error,
    user::{ProfileUpdate, PublicView, TooLong},
};
use chatcamp_store::{Edited, StoreError};
use serde::{Deserialize, Serialize};

use super::{Session, driver::Work};
use crate::server::Shared;

/// Handles one message of the client; what cannot be done at once is returned as work.
pub(super) fn handle(shared: &Arc<Shared>, session: &Arc<Session>, text: &str) -> Option<Work> {
    if !session.is_open() {
        return None;
    }
    let Ok(request) = Envelope::parse(text) else {
        shared.end(session, Code::Malformed, None);
        return None;
    };
    if session.dialect == Dialect::Native && !request.r.is_some_and(|r| session.is_in_sequence(r)) {
        shared.end(session, Code::OutOfSequence, None);
        return None;
    }
    let call =
        Call { shared: shared.clone(), session: session.clone(), t: request.t.as_ref().into(), r: request.r };
    match request.t.as_ref() {
        "ping" => {
            // The published SDK's heartbeat wants no answer (wire document, section 2.4).
            if session.dialect == Dialect::Native {
                call.succeed(&serde_json::json!({ "ok": true }));
            }
            None
        }
        "users.get" => call.with_body(&request, get_user),
        "users.update" => call.with_body(&request, update_user),
        other => {
            let shown: String = other.chars().take(100).collect();
            call.fail(ErrorCode::UnknownType, &format!("this server does not know requests of type {shown}"));
            None
        }
    }
}

/// A request on its way to its acknowledgement.
struct Call {
    shared: Arc<Shared>,
    session: Arc<Session>,
    t: Box<str>,
    r: Option<u64>,
}

#[derive(Deserialize)]
struct GetUser {
    id: Option<UserId>,
}

#[derive(Deserialize)]
struct UpdateUser {
    id: Option<UserId>,
    #[serde(flatten)]
    update: ProfileUpdate,
}

#[derive(Serialize)]
struct UserBody<U> {
    ok: bool,
    user: U,
}

impl<U> UserBody<U> {
    fn new(user: U) -> Self {
        Self { ok: true, user }
    }
}

impl Call {
    fn with_body<'a, B, W>(self, request: &Envelope<'a>, work: fn(Self, B) -> W) -> Option<Work>
    where
        B: Deserialize<'a>,
        W: Future<Output = ()> + Send + 'static,
    {
        match request.body() {
            Ok(body) => Some(Work(Box::pin(work(self, body)))),
            Err(_) => {
                self.fail(ErrorCode::InvalidBody, "the body lacks a field or has one of the wrong type");
                None
            }
        }
    }

    fn succeed(&self, body: &impl Serialize) {
        self.shared.push(&self.session, &envelope::ack(&self.t, self.r, body));
    }

    fn fail(&self, code: ErrorCode, message: &str) {
        self.succeed(&error::Failure::new(code, message));
    }

    fn fail_store(&self, cause: &StoreError) {
        tracing::warn!(error = %cause, request = %self.t, "the store failed a request");
        self.fail(ErrorCode::StoreUnavailable, "the server cannot reach its store now; try again later");
    }
}

/// `users.get`: one's own user in full, or what everybody sees of another.
async fn get_user(call: Call, body: GetUser) {
    let session = &call.session;
    let id = body.id.as_ref().unwrap_or(&session.user);
    match call.shared.store.user(&session.app, id).await {
        Err(error) => call.fail_store(&error),
        Ok(None) => call.fail(ErrorCode::UserNotFound, "the app has no user with this id"),
        Ok(Some(user)) if user.id == session.user => {
            call.succeed(&UserBody::new(call.shared.own_user(session, &user)));
        }
        Ok(Some(user)) => call.succeed(&UserBody::new(PublicView {
            id: &user.id,
            display_name: &user.profile.display_name,
            avatar_url: &user.profile.avatar_url,
            profile_url: &user.profile.profile_url,
            is_online: call.shared.registry.is_online(&user.app, &user.id),
            last_seen: user.last_seen,
        })),
    }
}

/// `users.update`: the five fields a client may change of its own user. The user's other sessions are told.
async fn update_user(call: Call, body: UpdateUser) {
    let (shared, session) = (&call.shared, &call.session);
    if body.id.is_some_and(|id| id != session.user) {
        return call.fail(ErrorCode::NotOwnUser, "a client may change its own user only");
    }
    // The answer of the edit, which runs on the store's thread.
    let verdict = Arc::new(parking_lot::Mutex::new(Ok(())));
    let heard = verdict.clone();
    let edit = move |user: &mut chatcamp_store::User| {
        let mut profile = user.profile.clone();
        profile.apply(body.update);
        let checked: Result<(), TooLong> = profile.check();
        let edited = match checked {
            Ok(()) if profile != user.profile => Edited::Save,
            _ => Edited::Keep,
        };
        if edited == Edited::Save {
            user.profile = profile;
        }
        *heard.lock() = checked;
        edited
    };
    let updated = shared.store.edit_user(&session.app, &session.user, Box::new(edit)).await;
    let checked = *verdict.lock();
    match (updated, checked) {
        (Err(error), _) => call.fail_store(&error),
        (Ok(None), _) => call.fail(ErrorCode::UserNotFound, "this user was deleted"),
        (Ok(_), Err(too_long)) => call.fail(ErrorCode::ValueTooLong, &too_long.to_string()),
        (Ok(Some(user)), Ok(())) => {
            call.succeed(&UserBody::new(shared.own_user(session, &user)));
            let own: Vec<_> = shared.registry.of_user(&session.app, &session.user);
            for other in own.iter().filter(|other| other.id != session.id) {
                let body: UserBody<User> = UserBody::new(shared.own_user(other, &user));
                shared.push(other, &envelope::push("users.update.ack", &body));
            }
        }
    }
}
