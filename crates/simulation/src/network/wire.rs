//! One connection: two directions, each a queue of messages with arrival times.

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use chatcamp_transport::{Close, Closed, Message};
use parking_lot::{Mutex, MutexGuard};

use super::{
    Network,
    faults::{ConnectionFault, FaultProfile},
};
use crate::machine::Machine;

/// A delay longer than any simulation.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// One end, and the direction in which it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A connection, shared by both ends.
pub(super) struct Wire {
    pub(super) id: u64,
    pub(super) network: Arc<Network>,
    pipes: Mutex<[Pipe; 2]>,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Pipe {
    queue: VecDeque<(Instant, Message)>,
    /// When and how the direction ends, after the queued messages.
    end: Option<(Instant, Closed)>,
    /// Messages that were accepted and never arrive.
    lost: usize,
    is_cut: bool,
    faults: FaultProfile,
    only_fault: ConnectionFault,
    sent: u64,
    window: usize,
    /// Earliest arrival time of the next message.
    not_before: Instant,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// The result of a read.
#[derive(Debug)]
pub(super) enum ReadResult {
    Message(Message),
    End(Closed),
    /// Nothing yet; the time of the next arrival, if known.
    Later(Option<Instant>),
}

impl Wire {
    pub(super) fn new(id: u64, network: Arc<Network>, faults: &FaultProfile) -> Arc<Self> {
        let machine = network.process.machine().clone();
        let now = machine.now();
        let pipe = || {
            let (only_fault, window) =
                machine.draw(|random| (faults.only_fault(random), faults.window(random)));
            Pipe {
                queue: VecDeque::new(),
                end: None,
                lost: 0,
                is_cut: false,
                faults: faults.clone(),
                only_fault,
                sent: 0,
                window,
                not_before: now,
                reader: None,
                writer: None,
            }
        };
        let pipes = [pipe(), pipe()];
        Arc::new(Self { id, network, pipes: Mutex::new(pipes) })
    }

    /// Sets the fault of the direction in which `side` sends.
    pub(super) fn set_fault(&self, side: Side, only_fault: ConnectionFault) {
        self.from(side).only_fault = only_fault;
    }

    /// Sets how many messages to the client the connection carries that the client has not read.
    pub(super) fn set_window(&self, window: usize) {
        self.from(Side::Server).window = window;
    }

    fn machine(&self) -> &Machine {
        self.network.process.machine()
    }

    /// Returns the direction in which `side` sends.
    pub(super) fn from(&self, side: Side) -> parking_lot::MappedMutexGuard<'_, Pipe> {
        MutexGuard::map(self.pipes.lock(), |pipes| &mut pipes[side as usize])
    }

    /// Sends a message; returns `false` if the window is full.
    pub(super) fn send(&self, side: Side, message: &Message) -> bool {
        let mut pipe = self.from(side);
        if !pipe.has_room() {
            return false;
        }
        pipe.sent += 1;
        let (now, sent) = (self.machine().now(), pipe.sent);
        match pipe.only_fault {
            ConnectionFault::Stalled(n, time) if n == sent => pipe.not_before = now + time,
            _ => {}
        }
        match pipe.only_fault {
            ConnectionFault::CutBefore(n) if n == sent => {
                pipe.lost += 1;
                drop(pipe);
                self.cut();
            }
            ConnectionFault::CutAfter(n) if n == sent => {
                self.push(&mut pipe, message);
                drop(pipe);
                self.cut();
            }
            ConnectionFault::Closed(n, code) if n == sent => {
                self.push(&mut pipe, message);
                drop(pipe);
                self.close_between(code);
            }
            ConnectionFault::Silent(n) if n == sent => {
                pipe.silence(now);
                self.push(&mut pipe, message);
            }
            _ => self.push(&mut pipe, message),
        }
        true
    }

    fn push(&self, pipe: &mut Pipe, message: &Message) {
        if pipe.is_cut {
            pipe.lost += 1;
            return;
        }
        let at = self.arrival(pipe);
        pipe.queue.push_back((at, message.clone()));
        pipe.wake_reader();
    }

    /// Returns the arrival time of a message sent now. Messages do not overtake each other.
    fn arrival(&self, pipe: &mut Pipe) -> Instant {
        let machine = self.machine();
        let at = machine.now() + machine.draw(|random| pipe.faults.delay(random));
        pipe.not_before = pipe.not_before.max(at);
        pipe.not_before
    }

    /// Ends a direction after the messages sent so far.
    pub(super) fn end(&self, side: Side, how: Closed) {
        let mut pipe = self.from(side);
        if pipe.end.is_none() && !pipe.is_cut {
            let at = self.arrival(&mut pipe);
            pipe.end = Some((at, how));
            pipe.wake_reader();
        }
    }

    /// Breaks both directions: some messages in flight still arrive, and one end may never notice.
    pub(super) fn cut(&self) {
        let deaf = self.machine().draw(|random| random.below(8));
        for (n, side) in [Side::Client, Side::Server].into_iter().enumerate() {
            let mut pipe = self.from(side);
            if std::mem::replace(&mut pipe.is_cut, true) {
                continue;
            }
            let left = self.machine().draw(|random| random.within(0..=pipe.queue.len()));
            pipe.lost += pipe.queue.len() - left;
            pipe.queue.truncate(left);
            let at = if deaf == n { self.machine().now() + NEVER } else { self.arrival(&mut pipe) };
            pipe.end = Some((at, Closed::Lost("the network broke".into())));
            pipe.wake_reader();
        }
    }

    /// Closes both directions with a code that neither end chose, after the messages in flight.
    pub(super) fn close_between(&self, code: u16) {
        self.machine().note(format_args!("wire {} is closed in between: {code}", self.id));
        self.network.ledger.closed_by_network(self.id);
        for side in [Side::Client, Side::Server] {
            let told = self.network.tampering.lock().close_between(side, code);
            self.end(side, Closed::ByPeer(Close::new(told, "")));
            self.from(side).is_cut = true;
        }
    }

    /// Drops everything that `side` sends from now on, without an end.
    pub(super) fn silence(&self, side: Side) {
        let now = self.machine().now();
        let mut pipe = self.from(side);
        pipe.silence(now);
        for (at, _) in &mut pipe.queue {
            *at = now + NEVER;
        }
        if let Some((at, _)) = &mut pipe.end {
            *at = now + NEVER;
        }
    }

    /// Replaces the faults to come; faults that have happened stay.
    pub(super) fn set_faults(&self, faults: &FaultProfile) {
        for side in [Side::Client, Side::Server] {
            let mut pipe = self.from(side);
            pipe.faults = faults.clone();
            pipe.only_fault = ConnectionFault::None;
        }
    }
}

impl Pipe {
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() + self.lost < self.window
    }

    fn silence(&mut self, now: Instant) {
        self.not_before = now + NEVER;
    }

    pub(super) fn find(&mut self, now: Instant) -> ReadResult {
        match self.queue.front() {
            Some((at, _)) if *at <= now => {
                let (_, message) = self.queue.pop_front().expect("there is one");
                self.writer.take().into_iter().for_each(Waker::wake);
                ReadResult::Message(message)
            }
            Some((at, _)) => ReadResult::Later(Some(*at)),
            None => match &self.end {
                Some((at, how)) if *at <= now => ReadResult::End(how.clone()),
                Some((at, _)) => ReadResult::Later(Some(*at)),
                None => ReadResult::Later(None),
            },
        }
    }

    /// Discards the queue: the reader is gone.
    pub(super) fn abandon(&mut self) {
        self.lost += self.queue.len();
        self.queue.clear();
        self.is_cut = true;
        (self.reader, self.writer) = (None, None);
    }

    fn wake_reader(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("id", &self.id).finish_non_exhaustive()
    }
}
