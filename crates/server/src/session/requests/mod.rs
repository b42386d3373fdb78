//! What a client may ask for on its session: every request is acknowledged, once.
//!
//! One file per family: `profile`, `directory`, `blocks`, `refresh`; lists of users go by `page`.

mod blocks;
mod directory;
mod page;
mod profile;
mod refresh;

use std::sync::Arc;

use chatcamp_auth::server::Dialect;
use chatcamp_protocol::{Code, Envelope, ErrorCode, envelope, error, sequence::Arrival, user::PublicView};
use chatcamp_store::{StoreError, User};
use serde::{Deserialize, Serialize};

use super::{Session, driver::Work};
use crate::server::Shared;

/// Handles one message of the client; what cannot be done at once is returned as work.
pub(super) fn handle(shared: &Arc<Shared>, session: &Arc<Session>, epoch: u32, text: &str) -> Option<Work> {
    if !session.is_open() {
        return None;
    }
    let Ok(request) = Envelope::parse(text) else {
        shared.end(session, Code::Malformed, None);
        return None;
    };
    match session.arrive(epoch, request.r) {
        Arrival::Next => {}
        // It came by an earlier connection too, and its answer is on its way.
        Arrival::Repeated => return None,
        Arrival::Gap => {
            shared.end(session, Code::OutOfSequence, None);
            return None;
        }
    }
    let call =
        Call { shared: shared.clone(), session: session.clone(), t: request.t.as_ref().into(), r: request.r };
    match request.t.as_ref() {
        "ping" => {
            // The published SDK's heartbeat wants no answer (wire document, section 2.4).
            if session.dialect == Dialect::Native {
                call.ping(&request);
            }
            None
        }
        "users.refresh" if session.dialect == Dialect::Native => call.with_body(&request, refresh::refresh),
        "users.get" => call.with_body(&request, profile::get),
        "users.update" => call.with_body(&request, profile::update),
        "users.list" => call.with_body(&request, directory::list),
        "users.list_count" => call.with_body(&request, directory::count),
        "users.block" => call.with_body(&request, blocks::block),
        "users.unblock" => call.with_body(&request, blocks::unblock),
        "users.block_list" => call.with_body(&request, blocks::list),
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
            Ok(body) => Some(Work::new(work(self, body))),
            Err(_) => {
                self.fail_body();
                None
            }
        }
    }

    /// Answers the heartbeat; what its client has seen need not be kept.
    fn ping(&self, request: &Envelope<'_>) {
        #[derive(Deserialize)]
        struct Ping {
            #[serde(default)]
            seen: u64,
        }
        match request.body() {
            Ok(Ping { seen }) if self.session.acknowledge(seen, &self.shared.waiting) => {
                self.succeed(&serde_json::json!({ "ok": true }));
            }
            Ok(_) => _ = self.shared.end(&self.session, Code::Malformed, None),
            Err(_) => self.fail_body(),
        }
    }

    fn fail_body(&self) {
        self.fail(ErrorCode::InvalidBody, "the body lacks a field or has one of the wrong type");
    }

    fn succeed(&self, body: &impl Serialize) {
        self.shared.push(&self.session, &envelope::ack(&self.t, self.r, body));
    }

    fn fail(&self, code: ErrorCode, message: &str) {
        self.succeed(&error::Failure::new(code, message));
    }

    /// What everybody sees of a user.
    fn public<'a>(&self, user: &'a User) -> PublicView<'a> {
        page::public(user, self.is_online(user))
    }

    fn is_online(&self, user: &User) -> bool {
        self.shared.registry.is_online(&user.app, &user.id)
    }

    fn fail_unknown_user(&self) {
        self.fail(ErrorCode::UserNotFound, "the app has no user with this id");
    }

    fn fail_store(&self, cause: &StoreError) {
        tracing::warn!(error = %cause, request = %self.t, "the store failed a request");
        self.fail(ErrorCode::StoreUnavailable, "the server cannot reach its store now; try again later");
    }
}
