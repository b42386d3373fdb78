//! Fault probabilities of the network.

use std::time::Duration;

use crate::random::Random;

/// Codes with which proxies, browsers and load balancers close connections.
const CLOSES: [u16; 5] = [1001, 1005, 1011, 1012, 1013];

/// Fault probabilities, per thousand.
#[derive(Debug, Clone)]
pub(crate) struct FaultProfile {
    slowest: usize,
    refused: usize,
    hanging: usize,
    cut: usize,
    silent: usize,
    stalled: usize,
    narrow: usize,
    lossy: usize,
    /// Connections closed by a proxy.
    closed: usize,
    /// Repeated requests.
    repeated: usize,
    /// The fault of the first connection, if only that one has a fault.
    first: Option<(Direction, ConnectionFault)>,
}

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// The result of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialOutcome {
    Opens,
    Refused,
    /// The attempt never completes.
    Hangs,
}

/// The fault of an HTTP exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeFault {
    None,
    /// The request does not reach the server.
    RequestLost,
    /// The response is lost.
    AnswerLost,
    /// The exchange never completes.
    Hangs,
    /// The exchange is cancelled after this time and repeated if it is a GET.
    Repeated(Duration),
}

/// The fault of one direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionFault {
    /// No fault.
    None,
    /// The connection breaks before the n-th message is carried.
    CutBefore(u64),
    /// The connection breaks while the n-th message is in flight.
    CutAfter(u64),
    /// From the n-th message on nothing arrives, not even an end.
    Silent(u64),
    /// The connection is closed with this code after the n-th message, as by a proxy.
    Closed(u64, u16),
    /// The n-th message is delayed by this time, and later ones wait behind it.
    Stalled(u64, Duration),
}

impl FaultProfile {
    /// No faults.
    pub(crate) const NONE: Self = Self {
        slowest: 30,
        refused: 0,
        hanging: 0,
        cut: 0,
        silent: 0,
        stalled: 0,
        narrow: 0,
        lossy: 0,
        closed: 0,
        repeated: 0,
        first: None,
    };

    /// Draws a profile with some faults of every kind.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut most = |most: usize| if random.chance(700) { random.below(most) } else { 0 };
        Self {
            slowest: 30 + most(1500),
            refused: most(300),
            hanging: most(60),
            cut: most(700),
            silent: most(200),
            stalled: most(200),
            narrow: most(400),
            lossy: most(200),
            closed: most(300),
            repeated: most(200),
            first: None,
        }
    }

    /// No faults except this one, on the first connection.
    pub(crate) fn only_first(way: Direction, only_fault: ConnectionFault) -> Self {
        Self { first: Some((way, only_fault)), ..Self::NONE }
    }

    /// Takes the fault of the first connection.
    pub(super) fn take_first(&mut self) -> Option<(Direction, ConnectionFault)> {
        self.first.take()
    }

    pub(super) fn delay(&self, random: &mut Random) -> Duration {
        // Most messages are fast.
        let slowest = if random.chance(900) { self.slowest.min(30) } else { self.slowest };
        random.millis(1..=slowest)
    }

    pub(super) fn dial(&self, random: &mut Random) -> DialOutcome {
        match random.below(1000) {
            n if n < self.refused => DialOutcome::Refused,
            n if n < self.refused + self.hanging => DialOutcome::Hangs,
            _ => DialOutcome::Opens,
        }
    }

    pub(super) fn only_fault(&self, random: &mut Random) -> ConnectionFault {
        // Early messages, the handshake first, have faults more often than late ones.
        let n = match random.below(3) {
            0 => random.within(1..=3),
            1 => random.within(1..=12),
            _ => random.within(1..=80),
        } as u64;
        match random.below(1000) {
            draw if draw < self.cut / 2 => {
                if random.chance(500) {
                    ConnectionFault::CutBefore(n)
                } else {
                    ConnectionFault::CutAfter(n)
                }
            }
            draw if draw < (self.cut + self.silent) / 2 => ConnectionFault::Silent(n),
            draw if draw < (self.cut + self.silent + self.stalled) / 2 => {
                ConnectionFault::Stalled(n, random.millis(500..=50_000))
            }
            draw if draw < (self.cut + self.silent + self.stalled + self.closed) / 2 => {
                ConnectionFault::Closed(n, CLOSES[random.below(CLOSES.len())])
            }
            _ => ConnectionFault::None,
        }
    }

    /// Draws whether a request is repeated.
    pub(super) fn repeats(&self, random: &mut Random) -> bool {
        self.repeated > 0 && random.chance(self.repeated)
    }

    pub(super) fn fault(&self, random: &mut Random) -> ExchangeFault {
        if !random.chance(self.lossy) {
            return ExchangeFault::None;
        }
        match random.below(8) {
            0 | 1 => ExchangeFault::RequestLost,
            2 | 3 => ExchangeFault::AnswerLost,
            4 => ExchangeFault::Hangs,
            _ => ExchangeFault::Repeated(random.millis(1..=12_000)),
        }
    }

    /// Draws how many messages fit into one direction.
    pub(super) fn window(&self, random: &mut Random) -> usize {
        if random.chance(self.narrow) { random.within(1..=4) } else { 64 }
    }
}
