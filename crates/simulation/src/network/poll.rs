//! The client end of a long-poll connection: at most one POST and one GET in flight, over exchanges that may be lost.
//!
//! The server end is the real one, behind its HTTP service. The real client end cannot be used: it spawns its
//! requests on tokio.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use chatcamp_protocol::{Envelope, limits};
use chatcamp_runtime::timeout;
use chatcamp_transport::{Carrier, Close, Closed, Message, Sent, long_poll::Method};
use parking_lot::Mutex;
use serde_json::json;

use super::{
    Network,
    exchange::{self, Answer, Lost},
};

pub(super) const NAME: &str = "long-poll";
/// Time limit for any answer.
const DEADLINE: Duration = Duration::from_secs(50);
/// The maximum number of messages waiting for a POST.
const OUTBOX: usize = 64;

type Flight = Pin<Box<dyn Future<Output = Result<Answer, Lost>> + Send>>;

/// The client end.
pub(super) struct End {
    network: Arc<Network>,
    wire: u64,
    client: usize,
    /// Published form: the query of the URL.
    query: Option<String>,
    is_open: bool,
    /// `Carrier` requires `Sync`, which futures are not. The mutex is never contended.
    flights: Mutex<Flights>,
    inbox: VecDeque<Message>,
    outbox: VecDeque<Message>,
    closing: Option<Close>,
    closed: Option<Closed>,
    arrivals: u32,
    driver: Option<Waker>,
}

#[derive(Default)]
struct Flights {
    /// The opening request, then one GET after the other.
    get: Option<Flight>,
    post: Option<Flight>,
    close_request: Option<Flight>,
}

impl End {
    pub(super) fn new(network: Arc<Network>, wire: u64, client: usize, query: Option<String>) -> Self {
        Self {
            network,
            wire,
            client,
            query,
            is_open: false,
            flights: Mutex::default(),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            closing: None,
            closed: None,
            arrivals: 0,
            driver: None,
        }
    }

    fn request(&self, method: Method, body: Bytes) -> Flight {
        let (network, of, query) = (self.network.clone(), (self.wire, self.client), self.query.clone());
        let brings = method == Method::Get || !self.is_open;
        Box::pin(async move {
            let answer =
                timeout(&network.process, DEADLINE, network.exchange(of, query, method, body, brings)).await;
            answer.unwrap_or(Err(Lost))
        })
    }

    fn batch(&mut self) -> Bytes {
        if self.query.is_some() {
            let first = self.outbox.pop_front();
            return first.map_or_else(Bytes::new, |message| message.as_str().to_owned().into());
        }
        let texts: Vec<_> = self.outbox.drain(..).map(|message| message.as_str().to_owned()).collect();
        json!(texts).to_string().into()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.driver = Some(cx.waker().clone());
        while self.closed.is_none() {
            let mut moved = false;
            if let Some(answer) = poll(&mut self.flights.get_mut().get, cx) {
                moved = true;
                self.on_answer(answer, true);
            }
            if let Some(answer) = poll(&mut self.flights.get_mut().post, cx) {
                moved = true;
                self.on_answer(answer, false);
            }
            if poll(&mut self.flights.get_mut().close_request, cx).is_some() {
                let why = self.closing.clone().unwrap_or(Close::NORMAL);
                return self.over(Closed::ByUs(why));
            }
            if self.closed.is_none() && self.closing.is_none() {
                moved |= self.launch();
            }
            if !moved {
                return;
            }
        }
    }

    /// Starts the requests that are due; returns whether there were any.
    fn launch(&mut self) -> bool {
        let (has_get, has_post) = {
            let flights = self.flights.get_mut();
            (flights.get.is_some(), flights.post.is_some())
        };
        if !self.is_open && self.query.is_some() {
            if !has_get {
                self.flights.get_mut().get = Some(self.request(Method::Get, Bytes::new()));
            }
            return !has_get;
        }
        if !self.is_open {
            if has_get || self.outbox.is_empty() {
                return false;
            }
            let body = self.batch();
            self.flights.get_mut().get = Some(self.request(Method::Post, body));
            return true;
        }
        let get = !has_get && self.inbox.is_empty();
        if get {
            self.flights.get_mut().get = Some(self.request(Method::Get, Bytes::new()));
        }
        let post = !has_post && !self.outbox.is_empty();
        if post {
            let body = self.batch();
            self.flights.get_mut().post = Some(self.request(Method::Post, body));
        }
        get || post
    }

    fn on_answer(&mut self, answer: Result<Answer, Lost>, brings: bool) {
        if self.closing.is_some() {
            return;
        }
        match answer {
            Ok(Answer { status: 200, body }) => {
                self.arrivals = self.arrivals.wrapping_add(1);
                self.is_open = true;
                if brings {
                    self.inbox.extend(exchange::messages(&body).into_iter().map(Message::from));
                }
            }
            // The reason arrives with the next GET.
            Ok(Answer { status: 403 | 410, .. }) if !brings => self.outbox.clear(),
            Ok(Answer { body, .. }) => match exchange::close(&body) {
                Some((code, reason)) => {
                    self.network.ledger.server_closes(self.wire, code);
                    self.over(Closed::ByPeer(Close::new(code, reason)));
                }
                None => self.over(Closed::Lost("refused".into())),
            },
            Err(Lost) => self.over(Closed::Lost("no answer".into())),
        }
    }

    fn over(&mut self, how: Closed) {
        let ledger = &self.network.ledger;
        self.network.process.machine().note(format_args!("wire {} is over: {}", self.wire, how.code()));
        *self.flights.get_mut() = Flights::default();
        // Messages that have arrived are received first.
        if self.inbox.is_empty() {
            ledger.client_saw_end(self.wire, Some(&how));
            ledger.left(self.wire, false);
        }
        self.closed = Some(how);
    }
}

fn poll(flight: &mut Option<Flight>, cx: &mut Context<'_>) -> Option<Result<Answer, Lost>> {
    let Poll::Ready(answer) = flight.as_mut()?.as_mut().poll(cx) else { return None };
    *flight = None;
    Some(answer)
}

impl Carrier for End {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        self.drive(cx);
        let ledger = &self.network.ledger;
        if let Some(message) = self.inbox.pop_front() {
            if let Ok(envelope) = Envelope::parse(message.as_str()) {
                ledger.client_received(self.wire, &envelope);
                let s = envelope.s.unwrap_or_default();
                let machine = self.network.process.machine();
                machine.note(format_args!("client gets {} s {s} on wire {}", envelope.t, self.wire));
                if super::end::is_final_message(&envelope) {
                    ledger.client_saw_end(self.wire, None);
                }
            }
            return Poll::Ready(Ok(message));
        }
        match &self.closed {
            Some(closed) => {
                ledger.client_saw_end(self.wire, Some(closed));
                ledger.left(self.wire, false);
                Poll::Ready(Err(closed.clone()))
            }
            None => Poll::Pending,
        }
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        if self.closed.is_some() || self.closing.is_some() {
            return Sent { taken: 0, flushed: true };
        }
        let taken = batch.len().min(OUTBOX - self.outbox.len().min(OUTBOX));
        self.outbox.extend(batch[..taken].iter().cloned());
        Sent { taken, flushed: taken == batch.len() && self.outbox.is_empty() }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.drive(cx);
        match &self.closed {
            Some(closed) => Poll::Ready(Err(closed.clone())),
            None if self.outbox.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    fn close(&mut self, why: Close) {
        if self.closed.is_some() || self.closing.is_some() {
            return;
        }
        self.network.ledger.left(self.wire, why.code == 1000);
        self.network.process.machine().note(format_args!("client closes wire {}: {}", self.wire, why.code));
        self.inbox.clear();
        if self.query.is_some() {
            // The published SDK stops polling without a close request.
            return self.over(Closed::ByUs(why));
        }
        let rest = (!self.outbox.is_empty() && self.is_open).then(|| self.batch());
        let close = json!({ "close": { "code": why.code, "reason": why.reason } }).to_string();
        let (rest, close) =
            (rest.map(|rest| self.request(Method::Post, rest)), self.request(Method::Post, close.into()));
        let flights = self.flights.get_mut();
        let earlier = flights.post.take();
        flights.get = None;
        let process = self.network.process.clone();
        flights.close_request = Some(Box::pin(async move {
            for flight in [earlier, rest].into_iter().flatten() {
                // After a lost POST, later messages would arrive out of order.
                match timeout(&process, limits::CLOSING, flight).await {
                    Some(Ok(Answer { status: 200, .. })) => {}
                    _ => break,
                }
            }
            close.await
        }));
        self.closing = Some(why);
        self.driver.take().into_iter().for_each(Waker::wake);
    }

    fn arrivals(&self) -> u32 {
        self.arrivals
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.is_open && self.query.is_none() {
            self.close(Close::new(1001, ""));
        }
        self.network.ledger.left(self.wire, false);
        if let Some(close_request) = self.flights.get_mut().close_request.take() {
            let process = self.network.process.clone();
            let leaves = process.clone();
            process.run(async move { _ = timeout(&leaves, limits::CLOSING, close_request).await });
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("wire", &self.wire).finish_non_exhaustive()
    }
}
