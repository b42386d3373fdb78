//! A session as plain data: its numbers and its requests. Time is passed in. A session outlives its connections.
//!
//! Two sequences must not be confused. `users.auth` is request 1 of its *connection* and is answered within the handshake.
//! The requests of the *session*, including `ping`, are numbered 1, 2, 3 … across all its connections. So are the server's
//! envelopes after the acknowledgement.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use chatcamp_protocol::{
    Envelope, ErrorCode, SessionKey, envelope,
    handshake::{Continuity, Offer, Resume},
    limits,
    request::{AckStatus, Ping, RefreshCredential, Request as _},
    sequence::{Arrival, Counter, Tracker},
};
use chatcamp_transport::Message;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;

use crate::{Body, RequestError};

/// Maximum number of requests that wait to be sent.
const WAITING: usize = 256;
/// Maximum number of sent and unanswered requests; further requests wait.
const UNANSWERED: usize = 1024;
/// No further request is sent while the unanswered ones have this many bytes.
const UNANSWERED_BYTES: usize = 1024 * 1024;

/// The result of a request, delivered exactly once.
pub(crate) type Answer = Result<Body, RequestError>;

/// A request without its number.
pub(crate) struct Request {
    t: String,
    body: Box<RawValue>,
}

/// A request that was not sent yet. Its caller no longer waits if `reply` is closed.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) request: Request,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// A request that was sent. It is kept until the server has processed it, even if the caller no longer waits.
#[derive(Debug)]
struct Sent {
    message: Message,
    waiter: Option<(Instant, oneshot::Sender<Answer>)>,
}

/// The next message to send. Its number is final only after a carrier has taken it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Resent,
    Ping,
    Request,
}

/// The numbers and requests of one session, which begins with the first acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Session {
    key: Option<SessionKey>,
    arrived: Tracker,
    numbered: Counter,
    waiting: VecDeque<Waiting>,
    sent: BTreeMap<u64, Sent>,
    sent_bytes: usize,
    /// Numbers of requests to resend because the server has not received them.
    resend: VecDeque<u64>,
    ping: bool,
    /// Envelopes received since the last `ping`, which acknowledges them: count and bytes.
    unacknowledged: (u64, usize),
    /// The earliest deadline, or an earlier time.
    alarm: Option<Instant>,
}

/// Shows only the type: the body may contain secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("t", &self.t).finish_non_exhaustive()
    }
}

impl Request {
    /// Creates a request of this type.
    ///
    /// # Errors
    /// The serializer's error if the body cannot be serialized as JSON.
    pub(crate) fn new(t: &str, body: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self { t: t.to_owned(), body: to_raw_value(body)? })
    }

    /// Returns the maximum size as a message, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.text(u64::MAX).len()
    }

    fn text(&self, r: u64) -> String {
        envelope::request(&self.t, r, &self.body)
    }
}

impl Session {
    /// Returns the data for resuming the session, or `None` before the first acknowledgement.
    pub(crate) fn resume(&self) -> Option<Resume> {
        let key = self.key.clone()?;
        Some(Resume { key, seen: self.arrived.seen(), sent: self.numbered.last() })
    }

    /// Resumes the session or begins a new one, as the server decided when it accepted the user.
    pub(crate) fn begin(&mut self, offer: &Offer) {
        self.key = Some(offer.key.clone());
        self.ping = false;
        self.unacknowledged = (0, 0);
        match offer.continuity {
            Continuity::Resumed { received, .. } => {
                self.resend = self.sent.range(received.saturating_add(1)..).map(|(&r, _)| r).collect();
            }
            Continuity::Fresh(_) => {
                self.fail_sent();
                self.arrived = Tracker::default();
                self.numbered = Counter::default();
            }
        }
    }

    /// Ends the session and all its requests.
    pub(crate) fn end(mut self) {
        self.fail_sent();
        for waiting in self.waiting {
            let _ = waiting.reply.send(Err(RequestError::Unanswered { may_have_run: false }));
        }
    }

    fn fail_sent(&mut self) {
        for (_, reply) in std::mem::take(&mut self.sent).into_values().filter_map(|sent| sent.waiter) {
            let _ = reply.send(Err(RequestError::Unanswered { may_have_run: true }));
        }
        self.sent_bytes = 0;
        self.resend.clear();
    }

    /// Queues a request, or answers it if too many wait.
    pub(crate) fn accept(&mut self, waiting: Waiting) {
        if self.waiting.len() >= WAITING {
            self.waiting.retain(|waiting| !waiting.reply.is_closed());
        }
        if self.waiting.len() >= WAITING {
            let _ = waiting.reply.send(Err(RequestError::TooManyWaiting));
            return;
        }
        self.alarm = Some(self.alarm.map_or(waiting.deadline, |alarm| alarm.min(waiting.deadline)));
        self.waiting.push_back(waiting);
    }

    /// Queues a `ping`.
    pub(crate) fn ping(&mut self) {
        self.ping = true;
    }

    /// Returns whether a `ping` waits to be sent.
    pub(crate) fn has_ping(&self) -> bool {
        self.ping
    }

    /// Returns the next message to send, or `None`.
    pub(crate) fn outgoing(&mut self) -> Option<Outgoing> {
        let outgoing = |kind, message| Some(Outgoing { message, kind });
        if let Some(sent) = self.resend.front().and_then(|r| self.sent.get(r)) {
            return outgoing(Kind::Resent, sent.message.clone());
        }
        let r = self.numbered.last() + 1;
        if self.ping {
            let ping = Ping { seen: self.arrived.seen() };
            return outgoing(Kind::Ping, envelope::request(Ping::TYPE, r, &ping).into());
        }
        while self.waiting.front().is_some_and(|waiting| waiting.reply.is_closed()) {
            self.waiting.pop_front();
        }
        if self.sent.len() >= UNANSWERED || self.sent_bytes >= UNANSWERED_BYTES {
            return None;
        }
        outgoing(Kind::Request, self.waiting.front()?.request.text(r).into())
    }

    /// Records that a carrier has taken the last message of [`outgoing`](Self::outgoing).
    pub(crate) fn taken(&mut self, outgoing: Outgoing) {
        let Outgoing { message, kind } = outgoing;
        let waiter = match kind {
            Kind::Resent => {
                self.resend.pop_front();
                return;
            }
            Kind::Ping => {
                self.ping = false;
                self.unacknowledged = (0, 0);
                None
            }
            Kind::Request => self.waiting.pop_front().map(|waiting| (waiting.deadline, waiting.reply)),
        };
        self.sent_bytes += message.len();
        self.sent.insert(self.numbered.next(), Sent { message, waiter });
    }

    /// Replaces sent refreshes by `ping`s with the same numbers: their credentials are out of date and must not be resent.
    pub(crate) fn forget_refreshes(&mut self) {
        for (&r, sent) in &mut self.sent {
            if Envelope::parse(sent.message.as_str())
                .is_ok_and(|request| request.t == RefreshCredential::TYPE)
            {
                self.sent_bytes -= sent.message.len();
                sent.message = envelope::request(Ping::TYPE, r, &Ping::default()).into();
                self.sent_bytes += sent.message.len();
            }
        }
    }

    /// Checks the number of a received envelope. An envelope without a number is not part of the sequence.
    ///
    /// Queues a `ping` from time to time, which acknowledges the received envelopes, so that the server can drop them.
    pub(crate) fn arrive(&mut self, s: Option<u64>, bytes: usize) -> Arrival {
        let Some(s) = s else { return Arrival::Next };
        let arrival = self.arrived.arrive(s);
        if arrival == Arrival::Next {
            let (count, size) = &mut self.unacknowledged;
            (*count, *size) = (*count + 1, *size + bytes);
            self.ping |= *count >= limits::ACKNOWLEDGE_MESSAGES || *size >= limits::ACKNOWLEDGE_BYTES;
        }
        arrival
    }

    /// Delivers the answer to request `to`. Drops it if no caller waits.
    pub(crate) fn answered(&mut self, to: u64, ack: &Envelope<'_>) {
        let Some(sent) = self.sent.remove(&to) else { return };
        self.resend.retain(|&r| r != to);
        self.sent_bytes -= sent.message.len();
        if let Some((_, reply)) = sent.waiter {
            let _ = reply.send(parse(ack));
        }
    }

    /// Returns when to call [`expire`](Self::expire).
    pub(crate) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    /// Ends the requests whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        let mut alarm: Option<Instant> = None;
        let mut is_over = |deadline: Instant| {
            let over = deadline <= now;
            if !over {
                alarm = Some(alarm.map_or(deadline, |alarm| alarm.min(deadline)));
            }
            over
        };
        for waiting in std::mem::take(&mut self.waiting) {
            if is_over(waiting.deadline) {
                drop(waiting.reply.send(Err(RequestError::TimedOut { may_have_run: false })));
            } else {
                self.waiting.push_back(waiting);
            }
        }
        for sent in self.sent.values_mut() {
            if let Some((_, reply)) = sent.waiter.take_if(|(deadline, _)| is_over(*deadline)) {
                let _ = reply.send(Err(RequestError::TimedOut { may_have_run: true }));
            }
        }
        self.alarm = alarm;
    }
}

/// Parses an acknowledgement. Error codes are parsed only here.
fn parse(ack: &Envelope<'_>) -> Answer {
    match ack.body() {
        Ok(AckStatus { ok: true, .. }) => Ok(Body::of(ack)),
        Ok(AckStatus { error: Some(error), .. }) => Err(RequestError::Rejected {
            known: ErrorCode::from_wire(&error.code),
            code: error.code.into_owned(),
            message: error.message.into_owned(),
            retry_after: error.retry_after_ms.map(Duration::from_millis),
        }),
        _ => Err(RequestError::InvalidAnswer),
    }
}

#[cfg(test)]
mod tests;
