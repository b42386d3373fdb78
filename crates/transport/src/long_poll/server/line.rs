//! The state of one connection: plain data under a short lock, used by its requests and its driver.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{Answer, Held, Reply};
use crate::{
    Buffered, Closed, MESSAGE_LIMIT, Message, Sent,
    long_poll::body::{self, Encoded},
};

/// No further POST is accepted while the driver has this many posted messages to read.
const INBOX_MESSAGES: usize = 256;
/// No further POST is accepted while the driver has this many bytes of posted messages to read.
const INBOX_BYTES: usize = 128 * 1024;
/// No further message is taken from the driver while this many wait for a GET.
const OUTBOX_MESSAGES: usize = 1024;
/// No further message is taken from the driver while this many bytes of messages wait for a GET.
const OUTBOX_BYTES: usize = 64 * 1024;
/// How long a GET must have been held for [`Carrier::keep_alive`](crate::Carrier::keep_alive) to answer it, in milliseconds.
const KEEP_ALIVE_AFTER: u64 = 5_000;

/// Milliseconds since the hub's first reading of the time. Only the hub advances it.
#[derive(Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn advance(&self, now: u64) {
        self.0.fetch_max(now, Ordering::Relaxed);
    }
}

/// The state that the requests and the driver of a connection share.
pub(super) struct Line {
    clock: Arc<Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    inbox: Queue,
    outbox: Queue,
    /// The messages that waited for a GET when the peer was lost.
    undelivered: Queue,
    /// The GET, or the opening POST, that is answered next.
    get: Option<HeldGet>,
    /// The POST that is answered once the inbox has room.
    post: Option<HeldPost>,
    driver: Option<Waker>,
    /// Whether the driver waits for room in the outbox.
    is_full: bool,
    ended: Option<Box<Closed>>,
    /// When the last GET ended, by the clock.
    idle_since: u64,
    tickets: u32,
    arrivals: u32,
    /// Largest message that is accepted, in bytes.
    message_limit: usize,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
}

struct HeldGet {
    ticket: u32,
    since: u64,
    waker: Option<Waker>,
    /// Whether this is the opening POST; the peer sends nothing more before it is answered.
    is_opening: bool,
    is_released: bool,
}

struct HeldPost {
    ticket: u32,
    waker: Option<Waker>,
}

/// The times of [`Limits`](super::Limits), in milliseconds.
pub(super) struct Times {
    pub(super) hold: u64,
    pub(super) opening: u64,
    pub(super) gap: u64,
}

/// The result of checking the deadlines of a connection.
pub(super) enum Look {
    /// Nothing is due before `at`.
    Again {
        at: u64,
        waker: Option<Waker>,
    },
    /// The peer has not polled for too long.
    Lost,
    Ended,
}

/// The side that ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Driver,
    Peer,
}

/// The wakers to call after an end: of the driver and of both requests.
pub(super) type Wakers = [Option<Waker>; 3];

impl Line {
    /// Creates a connection whose first request is held. Returns the ticket of that request too.
    pub(super) fn opened(
        clock: Arc<Clock>,
        messages: Vec<Message>,
        opened_by_post: bool,
        message_limit: usize,
    ) -> (Arc<Self>, u32) {
        let mut state = State { arrivals: 1, message_limit, ..State::default() };
        messages.into_iter().for_each(|message| state.inbox.push(message));
        let (ticket, _) = state.hold(clock.now(), opened_by_post);
        (Arc::new(Self { clock, state: Mutex::new(state) }), ticket)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Requests.

    /// Counts a request; refuses it if the connection has ended.
    pub(super) fn arrived(&self) -> Option<Answer> {
        let mut state = self.state();
        state.arrivals = state.arrivals.wrapping_add(1);
        state.refusal()
    }

    /// Returns the answer to every request after the end; `None` before.
    pub(super) fn refusal(&self) -> Option<Answer> {
        self.state().refusal()
    }

    pub(super) fn get(self: Arc<Self>) -> Reply {
        let mut state = self.state();
        let now = self.clock.now();
        state.arrivals = state.arrivals.wrapping_add(1);
        // The older GET is answered with no messages: a client that sends two reads the answer to the second.
        let (ticket, replaced) = state.hold(now, false);
        let ready = state.answer(now);
        drop(state);
        replaced.into_iter().for_each(Waker::wake);
        match ready {
            Some(ready) => Reply::Now(ready.into_answer()),
            None => Reply::Held(Held::get(self, ticket)),
        }
    }

    pub(super) fn post(self: &Arc<Self>, messages: Vec<Message>) -> Reply {
        let mut state = self.state();
        if let Some(refusal) = state.refusal() {
            return Reply::Now(refusal);
        }
        if !state.inbox.has_room(INBOX_MESSAGES, INBOX_BYTES) {
            return Reply::Now(Answer::BUSY);
        }
        let driver = if messages.is_empty() { None } else { state.driver.take() };
        messages.into_iter().for_each(|message| state.inbox.push(message));
        let mut replaced = None;
        let reply = if state.inbox.has_room(INBOX_MESSAGES, INBOX_BYTES) {
            Reply::Now(Answer::NOTHING)
        } else {
            let ticket = state.next_ticket();
            replaced = state.post.replace(HeldPost { ticket, waker: None }).and_then(|post| post.waker);
            Reply::Held(Held::post(Arc::clone(self), ticket))
        };
        drop(state);
        driver.into_iter().chain(replaced).for_each(Waker::wake);
        reply
    }

    pub(super) fn poll_get(&self, ticket: u32, cx: &Context<'_>) -> Poll<Answer> {
        let mut state = self.state();
        let is_current = state.get.as_ref().is_some_and(|get| get.ticket == ticket);
        if !is_current {
            return Poll::Ready(Answer::NOTHING);
        }
        if let Some(ready) = state.answer(self.clock.now()) {
            drop(state);
            return Poll::Ready(ready.into_answer());
        }
        if let Some(get) = &mut state.get {
            keep(&mut get.waker, cx);
        }
        Poll::Pending
    }

    pub(super) fn poll_post(&self, ticket: u32, cx: &Context<'_>) -> Poll<Answer> {
        let mut state = self.state();
        let has_room = state.inbox.has_room(INBOX_MESSAGES, INBOX_BYTES);
        let refusal = state.refusal();
        match &mut state.post {
            Some(post) if post.ticket == ticket && !has_room && refusal.is_none() => {
                keep(&mut post.waker, cx);
                return Poll::Pending;
            }
            Some(post) if post.ticket == ticket => state.post = None,
            _ => {}
        }
        Poll::Ready(refusal.unwrap_or(Answer::NOTHING))
    }

    /// Forgets a held request whose future was dropped.
    pub(super) fn give_up(&self, ticket: u32) {
        let mut state = self.state();
        if state.get.as_ref().is_some_and(|get| get.ticket == ticket) {
            state.get = None;
            state.idle_since = self.clock.now();
        }
        if state.post.as_ref().is_some_and(|post| post.ticket == ticket) {
            state.post = None;
        }
    }

    /// Returns whether the connection has ended. Its last messages may still be fetched.
    pub(super) fn is_ended(&self) -> bool {
        self.state().ended.is_some()
    }

    // The driver.

    pub(super) fn poll_recv(&self, cx: &Context<'_>) -> Poll<Result<Message, Closed>> {
        let mut state = self.state();
        if let Some(message) = state.inbox.pop() {
            let has_room = state.inbox.has_room(INBOX_MESSAGES, INBOX_BYTES);
            let post = state.post.as_mut().filter(|_| has_room).and_then(|post| post.waker.take());
            drop(state);
            post.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(message));
        }
        if let Some(ended) = &state.ended {
            return Poll::Ready(Err(Closed::clone(ended)));
        }
        keep(&mut state.driver, cx);
        // The driver needs more messages than the opening POST contained, and the peer sends none before that is answered.
        let opening = state.get.as_mut().filter(|get| get.is_opening).and_then(HeldGet::release);
        drop(state);
        opening.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    pub(super) fn try_send(&self, batch: &[Message]) -> Sent {
        let mut state = self.state();
        let mut taken = 0;
        if state.ended.is_none() {
            while let Some(message) =
                batch.get(taken).filter(|_| state.outbox.has_room(OUTBOX_MESSAGES, OUTBOX_BYTES))
            {
                state.outbox.push(message.clone());
                taken += 1;
            }
        }
        let get = state.get.as_mut().filter(|_| taken > 0).and_then(|get| get.waker.take());
        drop(state);
        get.into_iter().for_each(Waker::wake);
        Sent { taken, flushed: taken == batch.len() }
    }

    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), Closed>> {
        let mut state = self.state();
        if let Some(ended) = &state.ended {
            return Poll::Ready(Err(Closed::clone(ended)));
        }
        if state.outbox.has_room(OUTBOX_MESSAGES, OUTBOX_BYTES) {
            return Poll::Ready(Ok(()));
        }
        state.is_full = true;
        keep(&mut state.driver, cx);
        Poll::Pending
    }

    pub(super) fn keep_alive(&self) {
        let now = self.clock.now();
        let mut state = self.state();
        let is_old = |get: &&mut HeldGet| now.saturating_sub(get.since) >= KEEP_ALIVE_AFTER;
        let get = state.get.as_mut().filter(is_old).and_then(HeldGet::release);
        drop(state);
        get.into_iter().for_each(Waker::wake);
    }

    pub(super) fn take_back(&self) -> Vec<Message> {
        let mut state = self.state();
        let queue = if state.ended.is_some() { &mut state.undelivered } else { &mut state.outbox };
        mem::take(queue).messages.into()
    }

    pub(super) fn forget_undelivered(&self) {
        self.state().undelivered = Queue::default();
    }

    pub(super) fn arrivals(&self) -> u32 {
        self.state().arrivals
    }

    pub(super) fn buffered(&self) -> Buffered {
        let state = self.state();
        Buffered { incoming: state.inbox.memory(), outgoing: state.outbox.memory() }
    }

    pub(super) fn limit_messages(&self, bytes: usize) {
        self.state().message_limit = bytes.min(MESSAGE_LIMIT);
    }

    /// Returns the largest message that is accepted, in bytes.
    pub(super) fn message_limit(&self) -> usize {
        self.state().message_limit
    }

    // The end and the time.

    /// Ends the connection. Returns the bytes that wait for a last GET, and the wakers to call; `None` if it had already ended.
    ///
    /// If the driver ends it, sent messages are still delivered. If the peer ends it, received messages can still be read.
    pub(super) fn end(&self, how: Closed, by: Side) -> Option<(usize, Wakers)> {
        let mut state = self.state();
        if state.ended.is_some() {
            return None;
        }
        match by {
            Side::Driver => state.inbox = Queue::default(),
            Side::Peer => state.undelivered = mem::take(&mut state.outbox),
        }
        state.ended = Some(Box::new(how));
        let get = state.get.as_mut().and_then(|get| get.waker.take());
        let post = state.post.as_mut().and_then(|post| post.waker.take());
        Some((state.outbox.bytes, [state.driver.take(), get, post]))
    }

    pub(super) fn look(&self, now: u64, times: &Times) -> Look {
        let mut state = self.state();
        if state.ended.is_some() {
            return Look::Ended;
        }
        let lost_at = state.idle_since + times.gap;
        let Some(get) = &mut state.get else {
            return if lost_at <= now { Look::Lost } else { Look::Again { at: lost_at, waker: None } };
        };
        let due = get.since + if get.is_opening { times.opening } else { times.hold };
        if due <= now {
            Look::Again { at: now + times.gap, waker: get.release() }
        } else {
            Look::Again { at: due, waker: None }
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Line")
            .field("ended", &state.ended)
            .field("is_polled", &state.get.is_some())
            .field("inbox", &state.inbox.messages.len())
            .field("outbox", &state.outbox.messages.len())
            .finish_non_exhaustive()
    }
}

impl State {
    fn next_ticket(&mut self) -> u32 {
        self.tickets = self.tickets.wrapping_add(1);
        self.tickets
    }

    /// Holds a new GET in place of the previous one. Returns its ticket, and the waker of the replaced GET.
    fn hold(&mut self, now: u64, is_opening: bool) -> (u32, Option<Waker>) {
        let ticket = self.next_ticket();
        let get = HeldGet { ticket, since: now, waker: None, is_opening, is_released: false };
        (ticket, self.get.replace(get).and_then(|replaced| replaced.waker))
    }

    /// Answers the held GET, if there is anything to answer.
    fn answer(&mut self, now: u64) -> Option<Ready> {
        let is_released = self.get.as_ref().is_some_and(|get| get.is_released);
        let what = if !self.outbox.messages.is_empty() {
            let messages = body::take(&mut self.outbox.messages);
            self.outbox.bytes -= messages.bytes();
            What::Messages(messages)
        } else if let Some(refusal) = self.refusal() {
            What::Answer(refusal)
        } else if is_released {
            What::Answer(Answer::NOTHING)
        } else {
            return None;
        };
        self.get = None;
        self.idle_since = now;
        let driver = if mem::take(&mut self.is_full) { self.driver.take() } else { None };
        Some(Ready { what, driver })
    }

    fn refusal(&self) -> Option<Answer> {
        self.ended.as_ref().map(|how| match &**how {
            Closed::ByUs(close) | Closed::ByPeer(close) | Closed::Violated(close) => {
                Answer { status: 403, body: body::close(close) }
            }
            _ => Answer::FORBIDDEN,
        })
    }
}

impl HeldGet {
    /// Allows an answer without messages.
    fn release(&mut self) -> Option<Waker> {
        self.is_released = true;
        self.waker.take()
    }
}

impl Queue {
    fn has_room(&self, messages: usize, bytes: usize) -> bool {
        self.messages.len() < messages && self.bytes < bytes
    }

    /// Returns the bytes of memory of the messages and of their places in the queue.
    fn memory(&self) -> usize {
        self.bytes + self.messages.capacity() * size_of::<Message>()
    }

    fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    /// Takes the first message. Frees the memory of the queue after the last.
    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        Some(message)
    }
}

/// An answer that was chosen under the lock and is serialized without it.
struct Ready {
    what: What,
    /// The driver, if it waits for room in the outbox.
    driver: Option<Waker>,
}

enum What {
    Messages(Encoded),
    Answer(Answer),
}

impl Ready {
    fn into_answer(self) -> Answer {
        self.driver.into_iter().for_each(Waker::wake);
        match self.what {
            What::Messages(messages) => Answer { status: 200, body: messages.into_body() },
            What::Answer(answer) => answer,
        }
    }
}

fn keep(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        none => *none = Some(cx.waker().clone()),
    }
}
