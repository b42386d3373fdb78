//! How bad the network is.

use std::time::Duration;

use crate::random::Random;

/// Codes with which a proxy, a browser or a load balancer closes.
const CLOSES: [u16; 5] = [1001, 1005, 1011, 1012, 1013];

/// How often what goes wrong, in a thousand connections.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    slowest: usize,
    refused: usize,
    hanging: usize,
    cut: usize,
    silent: usize,
    stalled: usize,
    narrow: usize,
    lossy: usize,
    /// Connections that something between client and server closes, with a code of its own.
    closed: usize,
    /// Requests that arrive again.
    repeated: usize,
    /// What happens to the first connection that is opened, and to nothing else.
    first: Option<(Way, Fate)>,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What becomes of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dial {
    Opens,
    Refused,
    /// Nothing is heard of it.
    Hangs,
}

/// What becomes of a request of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trip {
    Fair,
    /// The request never reaches the server.
    RequestLost,
    /// The server answers, and the answer is lost.
    AnswerLost,
    /// Nothing is heard of it.
    Hangs,
    /// It is broken off after this time and made again, where it may be: a GET.
    Repeated(Duration),
}

/// What is to happen to one direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// Nothing.
    Fair,
    /// The connection breaks instead of carrying the n-th message.
    CutBefore(u64),
    /// The connection breaks with the n-th message on its way.
    CutAfter(u64),
    /// From the n-th message on nothing arrives, and no end is seen.
    Silent(u64),
    /// The connection is closed with this code after the n-th message, as a proxy closes it.
    Closed(u64, u16),
    /// The n-th message takes this long, and what follows waits behind it.
    Stalled(u64, Duration),
}

impl Weather {
    /// Nothing goes wrong.
    pub(crate) const CALM: Self = Self {
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

    /// Some of everything, more or less.
    pub(crate) fn storm(random: &mut Random) -> Self {
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

    /// Calm, but for what happens to the first connection.
    pub(crate) fn calm_but(way: Way, fate: Fate) -> Self {
        Self { first: Some((way, fate)), ..Self::CALM }
    }

    /// What is to happen to the first connection.
    pub(super) fn take_first(&mut self) -> Option<(Way, Fate)> {
        self.first.take()
    }

    pub(super) fn delay(&self, random: &mut Random) -> Duration {
        // Mostly quick, sometimes slow.
        let slowest = if random.chance(900) { self.slowest.min(30) } else { self.slowest };
        random.millis(1..=slowest)
    }

    pub(super) fn dial(&self, random: &mut Random) -> Dial {
        match random.below(1000) {
            n if n < self.refused => Dial::Refused,
            n if n < self.refused + self.hanging => Dial::Hangs,
            _ => Dial::Opens,
        }
    }

    pub(super) fn fate(&self, random: &mut Random) -> Fate {
        // The first messages are the handshake; later ones are rarer than early ones.
        let n = match random.below(3) {
            0 => random.within(1..=3),
            1 => random.within(1..=12),
            _ => random.within(1..=80),
        } as u64;
        match random.below(1000) {
            draw if draw < self.cut / 2 => match random.chance(500) {
                true => Fate::CutBefore(n),
                false => Fate::CutAfter(n),
            },
            draw if draw < (self.cut + self.silent) / 2 => Fate::Silent(n),
            draw if draw < (self.cut + self.silent + self.stalled) / 2 => {
                Fate::Stalled(n, random.millis(500..=50_000))
            }
            draw if draw < (self.cut + self.silent + self.stalled + self.closed) / 2 => {
                Fate::Closed(n, CLOSES[random.below(CLOSES.len())])
            }
            _ => Fate::Fair,
        }
    }

    /// Returns whether a request arrives again.
    pub(super) fn repeats(&self, random: &mut Random) -> bool {
        self.repeated > 0 && random.chance(self.repeated)
    }

    pub(super) fn trip(&self, random: &mut Random) -> Trip {
        if !random.chance(self.lossy) {
            return Trip::Fair;
        }
        match random.below(8) {
            0 | 1 => Trip::RequestLost,
            2 | 3 => Trip::AnswerLost,
            4 => Trip::Hangs,
            _ => Trip::Repeated(random.millis(1..=12_000)),
        }
    }

    /// Messages that fit into one direction.
    pub(super) fn window(&self, random: &mut Random) -> usize {
        match random.chance(self.narrow) {
            true => random.within(1..=4),
            false => 64,
        }
    }
}
