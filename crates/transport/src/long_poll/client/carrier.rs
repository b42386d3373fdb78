//! One connection: its requests in flight.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::exchange::{Exchange, ExchangeAnswer, ExchangeError, ExchangeRequest};
use crate::{
    Close, Closed, MESSAGE_LIMIT, Message, Sent,
    long_poll::{
        Method,
        body::{self, BadBody},
    },
    status,
};

/// No further message is taken while this many wait for a POST.
const OUTBOX_MESSAGES: usize = 1024;
/// No further message is taken while the waiting ones have this many bytes.
const OUTBOX_BYTES: usize = 128 * 1024;
/// Time limit for the answer of a GET, or of the opening POST.
const GET_DEADLINE: Duration = Duration::from_secs(60);
/// Time limit for the answer of any other POST.
const POST_DEADLINE: Duration = Duration::from_secs(50);
/// Time limit for sending the taken messages before a close, and again for the close.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(5);
/// A GET with an empty answer in less than this time was not held; the next GET waits this long.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);
/// Number of answers in which a server that refused a POST may deliver its earlier messages.
const LAST_ANSWERS: u8 = 4;

/// The exchange and the identity of the connection.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) exchange: Arc<dyn Exchange>,
    pub(super) target: Arc<str>,
    pub(super) id: Arc<str>,
    pub(super) runtime: Handle,
}

type Outcome = Result<ExchangeAnswer, ExchangeError>;

impl Wire {
    /// Sends in a task of its own, so that it progresses while the carrier is not polled.
    fn post(&self, body: Bytes, deadline: Duration) -> Flight {
        let wire = self.clone();
        Flight(self.runtime.spawn(async move { wire.exchange(Method::Post, body, deadline).await }))
    }

    fn get(&self, pause: Duration) -> Flight {
        let wire = self.clone();
        Flight(self.runtime.spawn(async move {
            sleep(pause).await;
            wire.exchange(Method::Get, Bytes::new(), GET_DEADLINE).await
        }))
    }

    async fn exchange(&self, method: Method, body: Bytes, deadline: Duration) -> Outcome {
        let (target, id) = (Arc::clone(&self.target), Arc::clone(&self.id));
        let request = ExchangeRequest { method, target, id, body };
        timeout(deadline, self.exchange.exchange(request)).await.unwrap_or(Err(ExchangeError::TimedOut))
    }
}

/// A request in flight, abandoned when dropped.
struct Flight(JoinHandle<Outcome>);

impl Future for Flight {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let failed = |_| Err(ExchangeError::Failed("the request was abandoned".to_owned()));
        Pin::new(&mut self.0).poll(cx).map(|joined| joined.unwrap_or_else(failed))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The client's end of a connection.
pub(super) struct Carrier {
    wire: Wire,
    stage: Stage,
    /// The request whose answer has messages: the opening POST, then one GET after another.
    get: Option<Flight>,
    post: Option<Flight>,
    /// When the last GET was sent.
    asked_at: Instant,
    /// How long the next GET waits.
    pause: Duration,
    inbox: VecDeque<Message>,
    outbox: VecDeque<Message>,
    outbox_bytes: usize,
    /// Wakes the task that polls after another task closed the carrier.
    driver: Option<Waker>,
    arrivals: u32,
}

enum Stage {
    /// Nothing was sent.
    Fresh,
    /// The opening POST is in flight; no other request may overtake it.
    Opening,
    Open,
    /// The server refused a POST: it has ended the connection. A GET will tell how.
    Refused {
        answers_left: u8,
    },
    /// The taken messages and the close are being sent.
    Closing {
        how: Closed,
        send_close: JoinHandle<()>,
    },
    Over(Closed),
}

impl Carrier {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            stage: Stage::Fresh,
            get: None,
            post: None,
            asked_at: Instant::now(),
            pause: Duration::ZERO,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            driver: None,
            arrivals: 0,
        }
    }

    /// Handles the received answers and sends the requests that are due.
    fn drive(&mut self, cx: &mut Context<'_>) {
        loop {
            if let Some(Poll::Ready(outcome)) = self.get.as_mut().map(|get| Pin::new(get).poll(cx)) {
                self.get = None;
                self.on_get(outcome);
            }
            if let Some(Poll::Ready(outcome)) = self.post.as_mut().map(|post| Pin::new(post).poll(cx)) {
                self.post = None;
                self.on_post(outcome);
            }
            if let Stage::Closing { how, send_close } = &mut self.stage {
                if Pin::new(send_close).poll(cx).is_ready() {
                    self.stage = Stage::Over(how.clone());
                }
            }
            if !self.launch_due() {
                break;
            }
        }
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Sends the requests that are due; returns `false` if none was due.
    fn launch_due(&mut self) -> bool {
        let (may_get, may_post) = match self.stage {
            Stage::Fresh if !self.outbox.is_empty() => {
                let body = self.next_batch();
                self.get = Some(self.wire.post(body, GET_DEADLINE));
                self.stage = Stage::Opening;
                return true;
            }
            Stage::Open => (self.inbox.is_empty(), !self.outbox.is_empty()),
            Stage::Refused { .. } => (true, false),
            _ => (false, false),
        };
        let (may_get, may_post) = (may_get && self.get.is_none(), may_post && self.post.is_none());
        if may_get {
            self.get = Some(self.wire.get(self.pause));
            self.asked_at = Instant::now() + self.pause;
        }
        if may_post {
            let body = self.next_batch();
            self.post = Some(self.wire.post(body, POST_DEADLINE));
        }
        may_get || may_post
    }

    fn next_batch(&mut self) -> Bytes {
        let batch = body::take(&mut self.outbox);
        self.outbox_bytes -= batch.bytes();
        batch.into_body()
    }

    fn on_get(&mut self, outcome: Outcome) {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) if matches!(self.stage, Stage::Opening) => return self.over(unopened(error)),
            Err(error) => return self.over(lost(error)),
        };
        if !is_success(answer.status) {
            let how = self.ended_by(&answer);
            return self.over(how);
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        match body::messages(&answer.body, MESSAGE_LIMIT) {
            Ok(messages) => {
                let was_held = !messages.is_empty()
                    || matches!(self.stage, Stage::Opening)
                    || self.asked_at.elapsed() >= EMPTY_PAUSE;
                self.pause = if was_held { Duration::ZERO } else { EMPTY_PAUSE };
                self.inbox.extend(messages);
            }
            Err(BadBody::TooLarge) => return self.violated(Close::new(1009, "message too large")),
            Err(BadBody::Malformed) if matches!(self.stage, Stage::Opening) => {
                return self.over(Closed::Refused("the answer is not from a ChatCamp server".into()));
            }
            Err(BadBody::Malformed) => return self.violated(Close::new(1002, "not an array of strings")),
        }
        match &mut self.stage {
            Stage::Opening => self.stage = Stage::Open,
            Stage::Refused { answers_left: 0 } => {
                self.over(Closed::Lost("the server rejects the messages".into()));
            }
            Stage::Refused { answers_left } => *answers_left -= 1,
            _ => {}
        }
    }

    fn on_post(&mut self, outcome: Outcome) {
        match outcome {
            Ok(answer) if is_success(answer.status) => self.arrivals = self.arrivals.wrapping_add(1),
            Ok(ExchangeAnswer { status: 403 | 410, .. }) => {
                self.outbox = VecDeque::new();
                self.outbox_bytes = 0;
                self.stage = Stage::Refused { answers_left: LAST_ANSWERS };
            }
            Ok(answer) => {
                let how = self.ended_by(&answer);
                self.over(how);
            }
            Err(error) => self.over(lost(error)),
        }
    }

    fn ended_by(&self, answer: &ExchangeAnswer) -> Closed {
        if let Some(close) = body::closed(&answer.body) {
            return Closed::ByPeer(close);
        }
        #[cfg(feature = "tls")]
        if !self.wire.exchange.is_encrypted() {
            if let Some(cause) = chatcamp_tls::TlsError::of_plain_response(answer.status, &answer.body) {
                return Closed::Tls(Box::new(cause));
            }
        }
        if matches!(self.stage, Stage::Opening) {
            return Closed::Refused(status::explained(answer.status).into());
        }
        Closed::Lost(format!("the server answered with status {}", answer.status).into())
    }

    /// Stops sending and waiting for answers; received messages can still be read.
    fn over(&mut self, how: Closed) {
        self.get = None;
        self.post = None;
        self.outbox = VecDeque::new();
        self.outbox_bytes = 0;
        self.stage = Stage::Over(how);
    }

    fn violated(&mut self, why: Close) {
        self.outbox = VecDeque::new();
        drop(self.close_in_background(why.clone()));
        self.over(Closed::Violated(why));
    }

    /// Sends the taken messages and then the close in a task that outlives the carrier.
    fn close_in_background(&mut self, why: Close) -> JoinHandle<()> {
        let earlier = match self.stage {
            Stage::Opening => [self.get.take(), None],
            _ => [None, self.post.take()],
        };
        self.get = None;
        self.outbox_bytes = 0;
        let outbox = mem::take(&mut self.outbox);
        self.wire.runtime.spawn(send_close(self.wire.clone(), earlier, outbox, why))
    }
}

async fn send_close(wire: Wire, earlier: [Option<Flight>; 2], mut outbox: VecDeque<Message>, why: Close) {
    let rest = async {
        for flight in earlier.into_iter().flatten() {
            let _ = flight.await;
        }
        while !outbox.is_empty() {
            let batch = body::take(&mut outbox).into_body();
            match wire.exchange(Method::Post, batch, POST_DEADLINE).await {
                Ok(answer) if is_success(answer.status) => {}
                _ => break,
            }
        }
    };
    // Send the close even if the messages failed.
    let _ = timeout(FAREWELL_DEADLINE, rest).await;
    let _ = wire.exchange(Method::Post, body::close(&why), FAREWELL_DEADLINE).await;
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Returns how the connection ended if its first request failed.
fn unopened(error: ExchangeError) -> Closed {
    match error {
        #[cfg(feature = "tls")]
        ExchangeError::Tls(cause) => Closed::Tls(Box::new(cause)),
        ExchangeError::TooLarge => Closed::Refused(error.to_string().into()),
        error => Closed::Unreachable(error.to_string().into()),
    }
}

fn lost(error: ExchangeError) -> Closed {
    match error {
        #[cfg(feature = "tls")]
        ExchangeError::Tls(cause) => Closed::Tls(Box::new(cause)),
        error => Closed::Lost(error.to_string().into()),
    }
}

impl crate::Carrier for Carrier {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        self.drive(cx);
        match (self.inbox.pop_front(), &self.stage) {
            (Some(message), _) => Poll::Ready(Ok(message)),
            (None, Stage::Over(how)) => Poll::Ready(Err(how.clone())),
            (None, _) => Poll::Pending,
        }
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        let mut taken = 0;
        if matches!(self.stage, Stage::Fresh | Stage::Opening | Stage::Open) {
            let has_room =
                |this: &Self| this.outbox.len() < OUTBOX_MESSAGES && this.outbox_bytes < OUTBOX_BYTES;
            while let Some(message) = batch.get(taken).filter(|_| has_room(self)) {
                self.outbox_bytes += message.len();
                self.outbox.push_back(message.clone());
                taken += 1;
            }
        }
        // The next flush sends everything in one request.
        Sent { taken, flushed: taken == batch.len() && self.outbox.is_empty() }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.drive(cx);
        match &self.stage {
            Stage::Over(how) => Poll::Ready(Err(how.clone())),
            Stage::Fresh | Stage::Opening | Stage::Open if self.outbox.is_empty() => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    fn close(&mut self, why: Close) {
        let how = Closed::ByUs(why.clone().fitted());
        match self.stage {
            Stage::Closing { .. } | Stage::Over(_) => return,
            Stage::Fresh if self.outbox.is_empty() => self.over(how),
            Stage::Refused { .. } => self.over(how),
            Stage::Fresh | Stage::Opening | Stage::Open => {
                let send_close = self.close_in_background(why.fitted());
                self.stage = Stage::Closing { how, send_close };
            }
        }
        self.inbox = VecDeque::new();
        self.driver.take().into_iter().for_each(Waker::wake);
    }

    fn arrivals(&self) -> u32 {
        self.arrivals
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        crate::Carrier::close(self, Close::new(1001, ""));
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Fresh => "fresh",
            Stage::Opening => "opening",
            Stage::Open => "open",
            Stage::Refused { .. } => "refused",
            Stage::Closing { .. } => "closing",
            Stage::Over(_) => "over",
        };
        f.debug_struct("Carrier")
            .field("stage", &stage)
            .field("exchange", &self.wire.exchange)
            .finish_non_exhaustive()
    }
}
