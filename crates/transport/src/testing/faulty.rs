//! Injects faults into any connection at given messages.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Sleep, sleep};

use crate::{Buffered, Carrier, Close, Closed, ConnectError, Connection, Message, Sent, Transport};

/// A message of a connection, counted from 1 at the faulty end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The n-th message sent.
    Sent(u64),
    /// The n-th message received.
    Received(u64),
}

/// A fault, and the message at which it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The network breaks instead of carrying this message.
    CutBefore(At),
    /// The network breaks once it has carried this message.
    CutAfter(At),
    /// From this message on, nothing is received or sent, and no end is reported: the connection is half-open.
    Stall(At),
    /// Delays the n-th received message and all later ones by this time, by tokio's clock.
    Delay(u64, Duration),
}

/// Returns a plan of faults for a seed. The same seed gives the same plan on every machine.
///
/// Each of `connections` connections is cut, stalled or delayed at one of its first `messages` messages.
#[must_use]
pub fn plan(seed: u64, connections: usize, messages: u64) -> Vec<Vec<Fault>> {
    // SplitMix64, written out: the plans must not change with the version of a crate.
    let mut state = seed;
    let mut draw = |below: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    };
    let mut fault = || {
        let number = 1 + draw(messages);
        let at = if draw(2) == 0 { At::Sent(number) } else { At::Received(number) };
        match draw(4) {
            0 => Fault::CutBefore(at),
            1 => Fault::CutAfter(at),
            2 => Fault::Stall(at),
            _ => Fault::Delay(number, Duration::from_millis(1 + draw(5000))),
        }
    };
    (0..connections).map(|_| vec![fault()]).collect()
}

/// A transport whose connections have planned faults.
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    plan: Mutex<VecDeque<Vec<Fault>>>,
}

impl<T> Faulty<T> {
    /// Gives the k-th connection of `inner` the k-th faults of `plan`; later connections have none.
    pub fn new(inner: T, plan: impl IntoIterator<Item = Vec<Fault>>) -> Self {
        Self { inner, plan: Mutex::new(plan.into_iter().collect()) }
    }
}

impl Faulty<()> {
    /// Injects `faults` into one end of a connection; the peer sees their effects.
    #[must_use]
    pub fn wrap(connection: Connection, faults: Vec<Fault>) -> Connection {
        let (inner, info) = connection.into_parts();
        let state = State::Whole;
        let carrier = FaultyCarrier {
            inner: Some(inner),
            faults,
            sent: 0,
            received: 0,
            state,
            late: None,
            arrivals: 0,
        };
        Connection::new(carrier, info)
    }
}

#[async_trait]
impl<T: Transport> Transport for Faulty<T> {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let faults = self.plan.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let connection = self.inner.connect().await?;
        Ok(Faulty::wrap(connection, faults.unwrap_or_default()))
    }

    fn is_exposed(&self) -> bool {
        self.inner.is_exposed()
    }
}

#[derive(Debug)]
struct FaultyCarrier {
    /// Dropped when the network breaks.
    inner: Option<Box<dyn Carrier>>,
    faults: Vec<Fault>,
    sent: u64,
    received: u64,
    state: State,
    /// A delayed message.
    late: Option<(Message, Pin<Box<Sleep>>)>,
    arrivals: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Stalled,
    /// Breaks after the sent messages are flushed.
    Breaking,
}

impl FaultyCarrier {
    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Breaks if a break is due and the sent messages are flushed.
    fn poll_break(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let (State::Breaking, Some(inner)) = (self.state, &mut self.inner) {
            let _ = ready!(inner.poll_flush(cx));
            self.inner = None;
        }
        Poll::Ready(())
    }

    /// Applies the faults to a message that was just received.
    fn arrived(&mut self, message: Message) -> Option<Message> {
        self.received += 1;
        let at = At::Received(self.received);
        if self.has(Fault::Stall(at)) {
            self.state = State::Stalled;
            return None;
        }
        if self.has(Fault::CutBefore(at)) {
            self.inner = None;
            return None;
        }
        if self.has(Fault::CutAfter(at)) {
            self.inner = None;
        }
        let delay = self.faults.iter().find_map(|fault| match *fault {
            Fault::Delay(from, by) if self.received >= from => Some(by),
            _ => None,
        });
        match delay {
            Some(by) => {
                self.late = Some((message, Box::pin(sleep(by))));
                None
            }
            None => Some(message),
        }
    }
}

fn cut() -> Closed {
    Closed::Lost("cut by a fault".into())
}

impl Carrier for FaultyCarrier {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        loop {
            if self.state == State::Stalled {
                return Poll::Pending;
            }
            if let Some((_, sleep)) = &mut self.late {
                ready!(sleep.as_mut().poll(cx));
            }
            if let Some((message, _)) = self.late.take() {
                return Poll::Ready(Ok(message));
            }
            ready!(self.poll_break(cx));
            let Some(inner) = &mut self.inner else { return Poll::Ready(Err(cut())) };
            let message = ready!(inner.poll_recv(cx))?;
            self.arrivals = inner.arrivals();
            if let Some(message) = self.arrived(message) {
                return Poll::Ready(Ok(message));
            }
        }
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        let mut taken = 0;
        let mut flushed = true;
        for message in batch {
            let at = At::Sent(self.sent + 1);
            if self.has(Fault::Stall(at)) {
                self.state = State::Stalled;
            }
            if self.state == State::Stalled {
                // Like a socket whose peer is gone: the message is taken and lost.
                return Sent { taken: batch.len(), flushed: true };
            }
            if self.has(Fault::CutBefore(at)) {
                self.state = State::Breaking;
            }
            if self.state == State::Breaking {
                return Sent { taken, flushed: false };
            }
            let Some(inner) = &mut self.inner else { break };
            let sent = inner.try_send(std::slice::from_ref(message));
            flushed = sent.flushed;
            if sent.taken == 0 {
                break;
            }
            taken += 1;
            self.sent += 1;
            if self.has(Fault::CutAfter(at)) {
                self.state = State::Breaking;
            }
        }
        Sent { taken, flushed: flushed && self.state == State::Whole }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.state == State::Stalled {
            return Poll::Ready(Ok(()));
        }
        let was_whole = self.inner.is_some();
        ready!(self.poll_break(cx));
        match &mut self.inner {
            Some(inner) => inner.poll_flush(cx),
            None if was_whole => Poll::Ready(Ok(())),
            None => Poll::Ready(Err(cut())),
        }
    }

    fn close(&mut self, why: Close) {
        if let (State::Whole, Some(inner)) = (self.state, &mut self.inner) {
            inner.close(why);
        }
    }

    fn keep_alive(&mut self) {
        if let (State::Whole, Some(inner)) = (self.state, &mut self.inner) {
            inner.keep_alive();
        }
    }

    fn take_back(&mut self) -> Vec<Message> {
        match (self.state, &mut self.inner) {
            (State::Whole, Some(inner)) => inner.take_back(),
            _ => Vec::new(),
        }
    }

    fn arrivals(&self) -> u32 {
        match (self.state, &self.inner) {
            (State::Whole, Some(inner)) => inner.arrivals(),
            _ => self.arrivals,
        }
    }

    fn buffered(&self) -> Buffered {
        self.inner.as_ref().map_or_else(Buffered::default, |inner| inner.buffered())
    }

    fn limit_messages(&mut self, bytes: usize) {
        if let Some(inner) = &mut self.inner {
            inner.limit_messages(bytes);
        }
    }
}
