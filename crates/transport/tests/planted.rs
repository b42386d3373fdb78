//! The conformance suite finds a carrier that breaks any one of its duties, and names the duty.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod pairs;

use std::{
    any::Any,
    cell::Cell,
    collections::VecDeque,
    mem, slice,
    task::{Context, Poll, ready},
};

use chatcamp_transport::{Buffered, Carrier, Close, Closed, MESSAGE_LIMIT, Message, Sent, memory, testing};
use tokio::task;

use self::pairs::adapted;

/// Begins the first part of a message that is sent in two.
const PART: &str = "\u{1}";

/// How a carrier breaks one duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breach {
    Swaps,
    Repeats,
    Splits,
    AcceptsAnySize,
    TruncatesBeyondALowerLimit,
    TakesWithoutBound,
    TakesNothing,
    ReportsFullAsFlushed,
    ReportsHeldAsFlushed,
    LosesMessagesBeforeAClose,
    ForgetsTheReason,
    LastCloseCounts,
    TakesAfterTheEnd,
    ForgetsItsEnd,
    ReportsALossAsNormalClose,
    CountsNoArrivals,
    CountsWithoutArrivals,
    SendsKeepAliveAsMessage,
    TakesBackWhatLeft,
    TakesBackReversed,
    KeepsItsMemory,
}

const BREACHES: [(Breach, &str); 21] = [
    (Breach::Swaps, "message 0 of many arrives in order"),
    (Breach::Repeats, "messages arrive whole and in order"),
    (Breach::Splits, "a message of 65535 bytes arrives unchanged"),
    (Breach::AcceptsAnySize, "the receiver of a message beyond the limit reports a violation"),
    (
        Breach::TruncatesBeyondALowerLimit,
        "a message beyond a lower limit arrives unchanged or is a violation",
    ),
    (Breach::TakesWithoutBound, "try_send is bounded while the peer does not read"),
    (Breach::TakesNothing, "can be sent on an open connection"),
    (Breach::ReportsFullAsFlushed, "a carrier that did not take the whole batch is not flushed"),
    (Breach::ReportsHeldAsFlushed, "a message reported as flushed arrives without further calls"),
    (Breach::LosesMessagesBeforeAClose, "messages before a close are received before it"),
    (Breach::ForgetsTheReason, "a close reaches the peer with its code and reason"),
    (Breach::LastCloseCounts, "only the first close counts"),
    (Breach::TakesAfterTheEnd, "nothing is taken after a close"),
    (Breach::ForgetsItsEnd, "an ended connection reports the same end"),
    (Breach::ReportsALossAsNormalClose, "the end of a dropped connection is not reported as a normal close"),
    (Breach::CountsNoArrivals, "arrivals changes when a message arrives"),
    (Breach::CountsWithoutArrivals, "arrivals does not change while nothing arrives"),
    (Breach::SendsKeepAliveAsMessage, "keep_alive is not received as a message"),
    (Breach::TakesBackWhatLeft, "what take_back returned does not arrive"),
    (Breach::TakesBackReversed, "take_back returns the last messages that were taken, in their order"),
    (Breach::KeepsItsMemory, "buffered().outgoing falls when messages have left"),
];

#[tokio::test(start_paused = true)]
async fn every_broken_duty_is_found_and_named() {
    let mut missed = Vec::new();
    for (breach, duty) in BREACHES {
        let suite = task::spawn(testing::conformance(async move || {
            adapted(move || {
                let (near, far) = memory::pair();
                (Broken::new(near.into_parts().0, breach), Broken::new(far.into_parts().0, breach))
            })
        }));
        let found = suite.await.err().map(|error| panic_message(error.into_panic()));
        if !found.as_ref().is_some_and(|found| found.contains(duty)) {
            missed.push((breach, duty, found));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

/// A carrier that breaks one duty and keeps the others.
#[derive(Debug)]
struct Broken {
    inner: Box<dyn Carrier>,
    breach: Breach,
    /// Messages that were taken and not passed on.
    held: VecDeque<Message>,
    last_passed_on: Option<Message>,
    /// Messages to hand out before others.
    received: VecDeque<Message>,
    close: Option<Close>,
    is_closing: bool,
    is_ended: bool,
    limit: usize,
    calls: Cell<u32>,
    peak: usize,
}

impl Broken {
    fn new(inner: Box<dyn Carrier>, breach: Breach) -> Self {
        Self {
            inner,
            breach,
            held: VecDeque::new(),
            last_passed_on: None,
            received: VecDeque::new(),
            close: None,
            is_closing: false,
            is_ended: false,
            limit: usize::MAX,
            calls: Cell::new(0),
            peak: 0,
        }
    }

    fn pass_on(&mut self, batch: &[Message]) -> Sent {
        let sent = self.inner.try_send(batch);
        self.peak = self.peak.max(self.inner.buffered().outgoing);
        self.last_passed_on = batch[..sent.taken].last().cloned().or_else(|| self.last_passed_on.take());
        sent
    }

    /// Takes the first `count` messages of the batch without passing them on.
    fn hold(&mut self, batch: &[Message], count: usize) -> Sent {
        self.held.extend(batch[..count].iter().cloned());
        Sent { taken: count, flushed: false }
    }

    /// Returns the message as the breach changes it.
    fn change(&mut self, message: Message) -> Message {
        let text = message.as_str();
        let cut = match self.breach {
            Breach::Repeats => {
                self.received.push_back(message.clone());
                return message;
            }
            Breach::Splits if text.len() == MESSAGE_LIMIT - 1 => text.len() / 2,
            Breach::TruncatesBeyondALowerLimit if text.len() > self.limit => self.limit,
            _ => return message,
        };
        let (first, rest) = text.split_at(cut);
        if self.breach == Breach::Splits {
            self.received.push_back(Message::from(rest.to_owned()));
        }
        Message::from(first.to_owned())
    }

    /// Returns the end as the breach changes it.
    fn end(&mut self, end: Closed) -> Closed {
        let was_ended = mem::replace(&mut self.is_ended, true);
        match (self.breach, end) {
            (Breach::ForgetsTheReason, Closed::ByPeer(why)) => Closed::ByPeer(Close::new(why.code, "")),
            (Breach::ReportsALossAsNormalClose, Closed::Lost(_)) => Closed::ByPeer(Close::NORMAL),
            (Breach::ForgetsItsEnd, _) if was_ended => Closed::Lost("again".into()),
            (_, end) => end,
        }
    }
}

impl Carrier for Broken {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        if let Some(message) = self.received.pop_front() {
            return Poll::Ready(Ok(message));
        }
        match ready!(self.inner.poll_recv(cx)) {
            Ok(head) if head.as_str().starts_with(PART) => {
                let Poll::Ready(Ok(tail)) = self.inner.poll_recv(cx) else { panic!("both parts were sent") };
                Poll::Ready(Ok(Message::from(format!("{}{}", &head.as_str()[PART.len()..], tail.as_str()))))
            }
            Ok(message) => Poll::Ready(Ok(self.change(message))),
            Err(end) => Poll::Ready(Err(self.end(end))),
        }
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        if self.is_closing {
            let taken = if self.breach == Breach::TakesAfterTheEnd { batch.len() } else { 0 };
            return Sent { taken, flushed: false };
        }
        match (self.breach, batch) {
            (Breach::Swaps, [first, second, ..]) => {
                Sent { flushed: false, ..self.pass_on(&[second.clone(), first.clone()]) }
            }
            (Breach::AcceptsAnySize, [message]) if message.len() > MESSAGE_LIMIT => {
                let (head, tail) = message.as_str().split_at(MESSAGE_LIMIT / 2);
                self.pass_on(&[Message::from(format!("{PART}{head}")), Message::from(tail.to_owned())]);
                Sent { taken: 1, flushed: true }
            }
            (Breach::TakesWithoutBound, _) => self.hold(batch, batch.len()),
            (Breach::TakesNothing, _) => Sent { taken: 0, flushed: false },
            (Breach::ReportsFullAsFlushed, _) => Sent { flushed: true, ..self.pass_on(batch) },
            (Breach::ReportsHeldAsFlushed, [_]) => Sent { flushed: true, ..self.hold(batch, 1) },
            (Breach::LosesMessagesBeforeAClose, [_, _, _]) => self.hold(batch, 3),
            (Breach::TakesBackReversed, [_, ..]) => match self.pass_on(batch) {
                Sent { taken: 0, .. } if self.held.len() < 2 => self.hold(batch, 1),
                sent => sent,
            },
            _ => self.pass_on(batch),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        while let Some(message) = self.held.pop_front() {
            if self.pass_on(slice::from_ref(&message)).taken == 0 {
                self.held.push_front(message);
                ready!(self.inner.poll_flush(cx))?;
            }
        }
        if let Some(why) = self.close.take() {
            self.inner.close(why);
        }
        self.inner.poll_flush(cx)
    }

    fn close(&mut self, why: Close) {
        self.is_closing = true;
        match self.breach {
            Breach::LastCloseCounts => self.close = Some(why),
            Breach::LosesMessagesBeforeAClose => {
                self.held.clear();
                self.inner.close(why);
            }
            _ => self.inner.close(why),
        }
    }

    fn keep_alive(&mut self) {
        match self.breach {
            Breach::SendsKeepAliveAsMessage => drop(self.pass_on(&[Message::from_static("keep-alive")])),
            _ => self.inner.keep_alive(),
        }
    }

    fn take_back(&mut self) -> Vec<Message> {
        match self.breach {
            Breach::TakesBackWhatLeft => self.last_passed_on.clone().into_iter().collect(),
            Breach::TakesBackReversed => self.held.drain(..).rev().collect(),
            _ => self.inner.take_back(),
        }
    }

    fn arrivals(&self) -> u32 {
        self.calls.set(self.calls.get() + 1);
        match self.breach {
            Breach::CountsNoArrivals => 0,
            Breach::CountsWithoutArrivals => self.calls.get(),
            _ => self.inner.arrivals(),
        }
    }

    fn buffered(&self) -> Buffered {
        let buffered = self.inner.buffered();
        match self.breach {
            Breach::KeepsItsMemory => Buffered { outgoing: self.peak, ..buffered },
            _ => buffered,
        }
    }

    fn limit_messages(&mut self, bytes: usize) {
        self.limit = bytes;
        if self.breach != Breach::TruncatesBeyondALowerLimit {
            self.inner.limit_messages(bytes);
        }
    }
}
