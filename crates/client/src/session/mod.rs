//! A session as plain data: its numbers, and its requests. Time is passed in, connections come and go.
//!
//! Two countings must not be confused. `users.auth` is request 1 of its *connection* and is answered within the
//! handshake. The requests of the *session*, `ping` among them, are 1, 2, 3 … over however many connections it has, and
//! so are the server's envelopes after the acknowledgement.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Instant,
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

/// Requests waiting to be sent, at most.
const WAITING: usize = 256;
/// Requests sent and not answered, at most; further ones wait.
const UNANSWERED: usize = 1024;
/// Bytes of requests sent and not answered with which no further one is sent.
const UNANSWERED_BYTES: usize = 1024 * 1024;

/// What a request ends with, exactly once.
pub(crate) type Answer = Result<Body, RequestError>;

/// A request without its number.
pub(crate) struct Request {
    t: String,
    body: Box<RawValue>,
}

/// A request that was not sent. Its caller has gone when `reply` is closed.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) request: Request,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// A request that was sent. It stays until the server has processed it, even when nobody waits any more.
#[derive(Debug)]
struct Sent {
    message: Message,
    waiter: Option<(Instant, oneshot::Sender<Answer>)>,
}

/// A message to send next, not numbered for good before a carrier has taken it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) message: Message,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Again,
    Ping,
    Request,
}

/// The numbers and requests of one session; it begins with the first acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Session {
    key: Option<SessionKey>,
    arrived: Tracker,
    numbered: Counter,
    waiting: VecDeque<Waiting>,
    sent: BTreeMap<u64, Sent>,
    sent_bytes: usize,
    /// Numbers the server has not seen, to be sent again.
    again: VecDeque<u64>,
    ping: bool,
    /// What arrived since the server was last told: envelopes, and their bytes.
    untold: (u64, usize),
    /// No deadline lies before this.
    alarm: Option<Instant>,
}

/// Shows its type only: the body may hold a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("t", &self.t).finish_non_exhaustive()
    }
}

impl Request {
    /// Creates a request of this type.
    ///
    /// # Errors
    /// The serializer's, if the body cannot be written as JSON.
    pub(crate) fn new(t: &str, body: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self { t: t.to_owned(), body: to_raw_value(body)? })
    }

    /// Its size as a message, in bytes, at most.
    pub(crate) fn size(&self) -> usize {
        self.text(u64::MAX).len()
    }

    fn text(&self, r: u64) -> String {
        envelope::request(&self.t, r, &self.body)
    }
}

impl Session {
    /// The hint with which the session is asked for again.
    pub(crate) fn resume(&self) -> Option<Resume> {
        let key = self.key.clone()?;
        Some(Resume { key, seen: self.arrived.seen(), sent: self.numbered.last() })
    }

    /// The server has accepted the user: the session goes on, or begins anew.
    pub(crate) fn begin(&mut self, offer: &Offer) {
        self.key = Some(offer.key.clone());
        (self.ping, self.untold) = (false, (0, 0));
        match offer.continuity {
            Continuity::Resumed { received, .. } => {
                self.again = self.sent.range(received.saturating_add(1)..).map(|(&r, _)| r).collect();
            }
            Continuity::Fresh(_) => {
                self.fail_sent();
                (self.arrived, self.numbered) = (Tracker::default(), Counter::default());
            }
        }
    }

    /// It is over: every request ends.
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
        self.again.clear();
    }

    /// Takes a request to be sent when it can be.
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

    /// Wants a `ping` sent.
    pub(crate) fn ping(&mut self) {
        self.ping = true;
    }

    /// Whether a `ping` waits to be sent.
    pub(crate) fn has_ping(&self) -> bool {
        self.ping
    }

    /// What is to be sent next, if anything.
    pub(crate) fn outgoing(&mut self) -> Option<Outgoing> {
        let outgoing = |kind, message| Some(Outgoing { message, kind });
        if let Some(sent) = self.again.front().and_then(|r| self.sent.get(r)) {
            return outgoing(Kind::Again, sent.message.clone());
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

    /// A carrier has taken what [`outgoing`](Self::outgoing) gave last.
    pub(crate) fn taken(&mut self, outgoing: Outgoing) {
        let Outgoing { message, kind } = outgoing;
        let waiter = match kind {
            Kind::Again => {
                self.again.pop_front();
                return;
            }
            Kind::Ping => {
                (self.ping, self.untold) = (false, (0, 0));
                None
            }
            Kind::Request => self.waiting.pop_front().map(|waiting| (waiting.deadline, waiting.reply)),
        };
        self.sent_bytes += message.len();
        self.sent.insert(self.numbered.next(), Sent { message, waiter });
    }

    /// What was to be refreshed is out of date: its number goes to a `ping`, should it be sent again.
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

    /// Judges the number of an arriving envelope. One without a number stands outside the sequence.
    ///
    /// The server is told from time to time what has arrived, so that it need not keep it.
    pub(crate) fn arrive(&mut self, s: Option<u64>, bytes: usize) -> Arrival {
        let Some(s) = s else { return Arrival::Next };
        let arrival = self.arrived.arrive(s);
        if arrival == Arrival::Next {
            let (count, size) = &mut self.untold;
            (*count, *size) = (*count + 1, *size + bytes);
            self.ping |= *count >= limits::ACKNOWLEDGE_MESSAGES || *size >= limits::ACKNOWLEDGE_BYTES;
        }
        arrival
    }

    /// The answer to request `to` has come. Answers nobody waits for are dropped.
    pub(crate) fn answered(&mut self, to: u64, ack: &Envelope<'_>) {
        let Some(sent) = self.sent.remove(&to) else { return };
        self.again.retain(|&r| r != to);
        self.sent_bytes -= sent.message.len();
        if let Some((_, reply)) = sent.waiter {
            let _ = reply.send(read(ack));
        }
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    /// Ends the requests whose time is over.
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
            match is_over(waiting.deadline) {
                true => drop(waiting.reply.send(Err(RequestError::TimedOut { may_have_run: false }))),
                false => self.waiting.push_back(waiting),
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

/// Reads an acknowledgement; the only place where error codes are read from the wire.
fn read(ack: &Envelope<'_>) -> Answer {
    match ack.body() {
        Ok(AckStatus { ok: true, .. }) => Ok(Body::of(ack)),
        Ok(AckStatus { error: Some(error), .. }) => Err(RequestError::Rejected {
            known: ErrorCode::from_wire(&error.code),
            code: error.code.into_owned(),
            message: error.message.into_owned(),
        }),
        _ => Err(RequestError::InvalidAnswer),
    }
}

#[cfg(test)]
mod tests;
