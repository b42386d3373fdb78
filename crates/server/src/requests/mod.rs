//! What a client may ask for on its session: every request is acknowledged, once.
//!
//! One file per family: `profile`, `directory`, `blocks`, `refresh`; lists of users go by `page`.

mod blocks;
mod directory;
mod page;
mod profile;
mod refresh;

use std::sync::Arc;

use chatcamp_auth::{Directory, server::Dialect};
use chatcamp_protocol::{Code, Envelope, ErrorCode, envelope, error, sequence::Arrival};
use chatcamp_store::{Store, StoreError, User};
use chatcamp_transport::Message;
use serde::{Deserialize, Serialize};

use crate::{
    admission::Revalidation,
    operations::{Operations, Unavailable},
    session::{Budget, Handler, Session, Work},
    sessions::Sessions,
};

/// Handles the requests of clients.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) operations: Arc<Operations>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) authenticator: Arc<dyn Directory>,
    pub(crate) revalidation: Arc<Revalidation>,
}

impl Handler for Requests {
    fn handle(self: Arc<Self>, session: &Arc<Session>, epoch: u32, text: &str) -> Option<Work> {
        handle(self, session, epoch, text)
    }

    fn lost(&self, session: &Session, epoch: u32) {
        self.sessions.lost(session, epoch);
    }

    fn now(&self) -> u32 {
        self.sessions.wheel.now()
    }

    fn queued(&self) -> &Budget {
        &self.sessions.queued
    }
}

/// Handles one message of the client; what cannot be done at once is returned as work.
fn handle(requests: Arc<Requests>, session: &Arc<Session>, epoch: u32, text: &str) -> Option<Work> {
    if !session.is_open() {
        return None;
    }
    let Ok(request) = Envelope::parse(text) else {
        requests.sessions.end(session, Code::Malformed, None);
        return None;
    };
    match session.arrive(epoch, request.r) {
        Arrival::Next => {}
        // It came by an earlier connection too, and its answer is on its way.
        Arrival::Repeated => return None,
        Arrival::Gap => {
            requests.sessions.end(session, Code::OutOfSequence, None);
            return None;
        }
    }
    let call = Call { requests, session: session.clone(), t: request.t.as_ref().into(), r: request.r };
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
    requests: Arc<Requests>,
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
            Ok(Ping { seen }) if self.session.acknowledge(seen, &self.requests.sessions.queued) => {
                self.succeed(&serde_json::json!({ "ok": true }));
            }
            Ok(_) => _ = self.requests.sessions.end(&self.session, Code::Malformed, None),
            Err(_) => self.fail_body(),
        }
    }

    fn fail_body(&self) {
        self.fail(ErrorCode::InvalidBody, "the body lacks a field or has one of the wrong type");
    }

    fn succeed(&self, body: &impl Serialize) {
        let message = Message::from(envelope::ack(&self.t, self.r, body));
        self.requests.sessions.push(&self.session, &message);
    }

    fn fail(&self, code: ErrorCode, message: &str) {
        self.succeed(&error::Failure::new(code, message));
    }

    /// Answers with another user, as everybody sees it.
    async fn succeed_with(&self, user: &User) {
        match self.requests.operations.is_online(&user.app, &user.id).await {
            Ok(is_online) => self.succeed(&UserBody::new(page::public(user, is_online))),
            Err(error) => self.fail_unavailable(&error.into()),
        }
    }

    fn store(&self) -> &dyn Store {
        &*self.requests.operations.store
    }

    fn fail_unknown_user(&self) {
        self.fail(ErrorCode::UserNotFound, "the app has no user with this id");
    }

    fn fail_store(&self, cause: StoreError) {
        self.fail_unavailable(&cause.into());
    }

    fn fail_unavailable(&self, cause: &Unavailable) {
        tracing::warn!(error = %cause, request = %self.t, "a request failed for a reason of this server");
        self.fail(ErrorCode::StoreUnavailable, "the server cannot reach its store now; try again later");
    }
}
