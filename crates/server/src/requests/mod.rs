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

use std::{sync::Arc, time::Duration};

use chatcamp_auth::Authenticator;
use chatcamp_protocol::{
    Code, Envelope, ErrorCode, envelope,
    request::{NegativeAck, Ping, Request as _},
    sequence::Arrival,
};
use chatcamp_transport::Message;

use self::table::RequestType;
use crate::{
    admission::{Rates, Revalidation},
    operations::Operations,
    session::{Budget, Handler, RequestPace, Session, SessionId, Work},
    sessions::Sessions,
};

/// The maximum number of characters of an unknown type that are repeated to its client.
const SHOWN: usize = 100;

/// The message for people of a request above the session's rate.
const TOO_FAST: &str = "the session sends too many requests; send this one again after retry_after_ms";

/// Handles the requests of clients.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) operations: Arc<Operations>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) revalidation: Arc<Revalidation>,
    pub(crate) rates: Arc<Rates>,
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
    let request_type = RequestType::of(&request.t, session.dialect);
    // The handler of a native client's ping counts it. The published SDK does not expect an answer to its ping.
    let is_ping = request.t == Ping::TYPE;
    let is_counted_later = is_ping && request_type.is_some();
    let pace = if is_counted_later { RequestPace::Allowed } else { requests.count(session) };
    if let RequestPace::TooFast(wait) | RequestPace::Flood { wait, .. } = pace {
        if !is_ping {
            requests.refuse(session, &request, ErrorCode::RateLimited, TOO_FAST, Some(wait));
        }
        requests.end_flood(session, pace);
        return None;
    }
    if let Some(request_type) = request_type {
        return request_type.handle(requests, session, &request);
    }
    if !is_ping {
        let shown: String = request.t.chars().take(SHOWN).collect();
        let message = format!("this server does not know requests of type {shown}");
        requests.refuse(session, &request, ErrorCode::UnknownType, &message, None);
    }
    None
}

impl Requests {
    /// Counts a request of the session, if its rate is limited.
    fn count(&self, session: &Session) -> RequestPace {
        let Some(rate) = self.sessions.request_rate else { return RequestPace::Allowed };
        session.count_request(rate, self.sessions.millis())
    }

    /// Ends the connection of a session whose client floods it. The session remains, so that the client cannot begin another one with
    /// a whole burst, and loses no message.
    fn end_flood(&self, session: &Session, pace: RequestPace) {
        if let RequestPace::Flood { resume_after, .. } = pace {
            self.sessions.end_connection(session, Code::RateLimited, Some(resume_after));
        }
    }

    /// Acknowledges a request negatively. `wait` is the shortest time until the client may send it again, if the server names one.
    fn refuse(
        &self,
        session: &Session,
        request: &Envelope<'_>,
        code: ErrorCode,
        message: &str,
        wait: Option<Duration>,
    ) {
        let mut body = NegativeAck::new(code, message);
        if let Some(wait) = wait {
            body = body.retry_after_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        }
        self.sessions.push(session, &Message::from(envelope::ack(&request.t, request.r, &body)));
    }
}
