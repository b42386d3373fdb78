//! The requests of clients: parsed here, dispatched by a table, handled in one file per family.
//!
//! ```text
//!  message -> envelope -> number -> table -> body -> handler(call, request) -> acknowledgement
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `table` | every request that is dispatched, with its handler |
//! | `call` | a request with its session; acknowledges it positively or negatively |
//! | `users`, `directory`, `blocks`, `credential`, `heartbeat` | the handlers |
//! | `page` | pages of users |

mod blocks;
mod call;
mod credential;
mod directory;
mod heartbeat;
mod page;
mod table;
mod users;

use std::sync::Arc;

use chatcamp_auth::Authenticator;
use chatcamp_protocol::{
    Code, Envelope, ErrorCode, envelope,
    request::{NegativeAck, Ping, Request as _},
    sequence::Arrival,
};
use chatcamp_transport::Message;

use self::table::RequestType;
use crate::{
    admission::Revalidation,
    operations::Operations,
    session::{Budget, Handler, Session, SessionId, Work},
    sessions::Sessions,
};

/// The maximum number of characters of an unknown type that are repeated to its client.
const SHOWN: usize = 100;

/// Handles the requests of clients.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) operations: Arc<Operations>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
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

    fn schedule(&self, session: SessionId, at: u32) {
        self.sessions.wheel.schedule(session, at);
    }

    fn queued(&self) -> &Budget {
        &self.sessions.queued
    }

    fn reclaim_if_nearly_full(&self) {
        self.sessions.reclaim_if_nearly_full();
    }
}

/// Handles one message of a client. Returns the work that remains; `None` if the message is handled.
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
        // The request also arrived over an earlier connection, and its acknowledgement is queued.
        Arrival::Repeated => return None,
        Arrival::Gap => {
            requests.sessions.end(session, Code::OutOfSequence, None);
            return None;
        }
    }
    if let Some(request_type) = RequestType::of(&request.t, session.dialect) {
        return request_type.handle(requests, session, &request);
    }
    // The published SDK does not expect an answer to its heartbeat.
    if request.t != Ping::TYPE {
        let shown: String = request.t.chars().take(SHOWN).collect();
        let message = format!("this server does not know requests of type {shown}");
        let body = NegativeAck::new(ErrorCode::UnknownType, &message);
        requests.sessions.push(session, &Message::from(envelope::ack(&request.t, request.r, &body)));
    }
    None
}
