//! The carriers at both ends of a connection. They report to the ledger.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use chatcamp_protocol::{Envelope, event::SessionClose, handshake};
use chatcamp_runtime::{Runtime, Task};
use chatcamp_transport::{Buffered, Carrier, Close, Closed, Message, Sent};
use parking_lot::Mutex;

use super::wire::{ReadResult, Side, Wire};
use crate::planted::Planted;

/// One end of a connection.
pub(super) struct End {
    wire: Arc<Wire>,
    side: Side,
    /// The close that this side has sent, until the other side completes it.
    closing: Option<Close>,
    closed: Option<Closed>,
    arrivals: u32,
    /// Planted: the bytes of all messages that the connection has taken.
    never_freed: usize,
    /// Wakes the reader when a message arrives. `Carrier` requires `Sync`, which tasks are not; the mutex is never contended.
    alarm: Mutex<Option<(Instant, Task)>>,
}

pub(super) fn pair(wire: Arc<Wire>) -> (End, End) {
    let end = |side, wire| End {
        wire,
        side,
        closing: None,
        closed: None,
        arrivals: 0,
        never_freed: 0,
        alarm: Mutex::new(None),
    };
    (end(Side::Client, wire.clone()), end(Side::Server, wire))
}

impl End {
    fn take_in(&mut self, message: &Message) {
        self.arrivals = self.arrivals.wrapping_add(1);
        let (wire, network) = (self.wire.id, &self.wire.network);
        let Ok(envelope) = Envelope::parse(message.as_str()) else { return };
        self.note("gets", &envelope);
        match self.side {
            Side::Server => {
                network.ledger.server_received(wire, &envelope);
                if self.closing.is_none() {
                    network.ledger.server_read(wire, &envelope);
                }
            }
            Side::Client => {
                network.ledger.client_received(wire, &envelope);
                if is_final_message(&envelope) {
                    network.ledger.client_saw_end(wire, None);
                }
            }
        }
    }

    fn note(&self, verb: &str, envelope: &Envelope<'_>) {
        let number = envelope.r.or(envelope.to).unwrap_or_default();
        self.wire.network.process.machine().note(format_args!(
            "{:?} of wire {} {verb} {} {number} s {}",
            self.side,
            self.wire.id,
            envelope.t,
            envelope.s.unwrap_or_default()
        ));
    }

    fn over(&mut self, how: Closed) -> Closed {
        let how = self.closing.take().map_or(how, Closed::ByUs);
        let machine = self.wire.network.process.machine();
        machine.note(format_args!("{:?} of wire {} is over: {}", self.side, self.wire.id, how.code()));
        // Receiving a close completes it.
        self.wire.end(self.side, Closed::Lost("closed".into()));
        self.wire.from(self.side.other()).abandon();
        if self.side == Side::Server {
            self.wire.network.ledger.server_saw_end(self.wire.id, &how);
        } else {
            self.wire.network.ledger.client_saw_end(self.wire.id, Some(&how));
            self.wire.network.ledger.left(self.wire.id, false);
        }
        self.closed = Some(how.clone());
        how
    }

    /// Sends a message, or what a planted fault makes of it.
    fn send(&self, message: &Message) -> bool {
        if !self.wire.from(self.side).has_room() {
            return false;
        }
        let (id, network) = (self.wire.id, &self.wire.network);
        if let Ok(envelope) = Envelope::parse(message.as_str()) {
            self.note("says", &envelope);
            if self.side == Side::Server {
                network.ledger.server_sent(id, &envelope);
                network.forget_requests(id, &envelope);
            } else {
                self.repeat(&envelope, message);
            }
        }
        let tampered = network.tampering.lock().message(network, id, self.side, message);
        match tampered {
            None => self.wire.send(self.side, message),
            Some(messages) => {
                messages.iter().for_each(|message| _ = self.wire.send(self.side, message));
                true
            }
        }
    }
}

impl End {
    /// Repeats a request of the session, this one or an earlier one. The server recognises a repeat by its number.
    fn repeat(&self, envelope: &Envelope<'_>, message: &Message) {
        let Some(number) = envelope.r.filter(|_| envelope.t != handshake::TYPE) else { return };
        if let Some(again) = self.wire.network.repeated_request(self.wire.id, number, message) {
            self.wire.network.process.machine().note(format_args!("wire {} repeats a request", self.wire.id));
            self.wire.send(Side::Client, &again);
        }
    }
}

/// Returns whether no message follows this one.
pub(super) fn is_final_message(envelope: &Envelope<'_>) -> bool {
    match envelope.t.as_ref() {
        SessionClose::TYPE => true,
        handshake::ACK_TYPE => envelope.body().is_ok_and(|ack: handshake::AuthAck<'_>| !ack.ok),
        _ => false,
    }
}

impl Carrier for End {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        loop {
            if let Some(closed) = &self.closed {
                return Poll::Ready(Err(closed.clone()));
            }
            let now = self.wire.network.process.now();
            let found = {
                let mut pipe = self.wire.from(self.side.other());
                let found = pipe.find(now);
                if let ReadResult::Later(_) = found {
                    pipe.reader = Some(cx.waker().clone());
                }
                found
            };
            match found {
                ReadResult::Message(message) => {
                    self.take_in(&message);
                    if self.closing.is_none() {
                        return Poll::Ready(Ok(message));
                    }
                }
                ReadResult::End(how) => {
                    self.over(how);
                }
                ReadResult::Later(None) => return Poll::Pending,
                ReadResult::Later(Some(at)) => {
                    let alarm = self.alarm.get_mut();
                    if alarm.as_ref().is_none_or(|(moment, _)| *moment != at) {
                        *alarm = Some((at, self.wire.network.process.sleep_until(at)));
                    }
                    let rings = |(_, task): &mut (Instant, Task)| task.as_mut().poll(cx).is_ready();
                    if !alarm.as_mut().is_some_and(rings) {
                        return Poll::Pending;
                    }
                    *alarm = None;
                }
            }
        }
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        if self.closed.is_some() || self.closing.is_some() {
            return Sent { taken: 0, flushed: true };
        }
        let taken = batch.iter().take_while(|message| self.send(message)).count();
        if self.wire.network.planted == Some(Planted::OutputNeverFreed) {
            self.never_freed += batch[..taken].iter().map(|message| message.len()).sum::<usize>();
        }
        Sent { taken, flushed: taken == batch.len() }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if let Some(closed) = &self.closed {
            return Poll::Ready(Err(closed.clone()));
        }
        let mut pipe = self.wire.from(self.side);
        if pipe.has_room() || self.closing.is_some() {
            return Poll::Ready(Ok(()));
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn close(&mut self, why: Close) {
        if self.closed.is_some() || self.closing.is_some() {
            return;
        }
        let network = &self.wire.network;
        network
            .process
            .machine()
            .note(format_args!("{:?} of wire {} closes: {}", self.side, self.wire.id, why.code));
        if self.side == Side::Client {
            network.ledger.left(self.wire.id, why.code == 1000);
        }
        let told = match self.side {
            Side::Server => {
                network.ledger.server_closes(self.wire.id, why.code);
                network.tampering.lock().close(why.clone())
            }
            Side::Client => why.clone(),
        };
        self.wire.end(self.side, Closed::ByPeer(told));
        self.closing = Some(why);
    }

    fn arrivals(&self) -> u32 {
        self.arrivals
    }

    fn buffered(&self) -> Buffered {
        Buffered { incoming: 0, outgoing: self.never_freed }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.closed.is_none() {
            if self.side == Side::Client {
                self.wire.network.ledger.left(self.wire.id, false);
            }
            self.wire.end(self.side, Closed::Lost("the peer is gone".into()));
            self.wire.from(self.side.other()).abandon();
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("wire", &self.wire.id).field("side", &self.side).finish_non_exhaustive()
    }
}
