//! Upper bounds of the memory that sessions hold, and the rule for the sessions that may lose it (`docs/decisions/0008`).
//!
//! The ledger cannot look into the server. For each client it keeps an upper bound of the memory of its sessions: a client whose
//! bound is within its shares is certainly within them. From the messages that arrived late it computes a lower bound of the memory
//! of all sessions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use chatcamp_protocol::{
    AppId, Envelope,
    handshake::{Continuity, FreshReason},
    request::{Ping, Request as _},
};

use super::{ClientKind, Invariant, Ledger, Records, sessions::SessionNumber};

/// The shares of decision 8, as divisors of the total.
const OF_USER: usize = 32;
const OF_ADDRESS: usize = 8;
const OF_APP: usize = 2;
/// The maximum size of an event besides its data, in bytes: the envelope, and the slot in the queue.
const PER_EVENT: usize = 256;
/// The minimum size of an event besides its data, in bytes: the slot in the queue.
const PER_MESSAGE: usize = 64;
/// The maximum size of an answer, in bytes.
const ANSWER: usize = 1024;
/// The maximum size of the answer to a ping, in bytes.
const PING_ANSWER: usize = 256;

/// The app and the address in whose shares a client is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) app: AppId,
    pub(crate) address: IpAddr,
}

/// The memory that the sessions of one client may hold.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) place: Place,
    /// Its sessions in the running server. There may be `unknown` more, whose acknowledgements were lost.
    sessions: BTreeSet<SessionNumber>,
    unknown: usize,
    /// An upper bound of the memory, in bytes.
    bytes: usize,
    /// Whether its user, address or app may have held more than its share, so that its sessions may have lost something.
    has_exceeded: bool,
}

/// A message that the server kept, at least from its publication until the network took it.
#[derive(Debug)]
struct Kept {
    from: Instant,
    until: Instant,
    bytes: usize,
}

/// The messages that sessions kept, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Shares {
    kept: BTreeMap<(SessionNumber, u64), Kept>,
}

impl Holding {
    pub(super) fn new(place: Place) -> Self {
        Self { place, sessions: BTreeSet::new(), unknown: 0, bytes: 0, has_exceeded: false }
    }

    pub(super) fn has_exceeded(&self) -> bool {
        self.has_exceeded
    }

    /// Records that the client opened a connection on which a session may begin without the ledger noticing.
    pub(super) fn may_begin_unseen(&mut self) {
        self.unknown += 1;
    }

    /// Records that a session of the client was acknowledged.
    pub(super) fn begins(&mut self, session: SessionNumber, was_unseen: bool) {
        self.sessions.insert(session);
        if was_unseen {
            self.unknown = self.unknown.saturating_sub(1);
        }
    }

    /// Records that the server process ended, which frees all its memory.
    pub(super) fn server_gone(&mut self) {
        self.sessions.clear();
        (self.bytes, self.has_exceeded) = (0, false);
    }

    /// Records that a message of this size goes to each of the client's sessions.
    fn add(&mut self, bytes: usize, kind: ClientKind) {
        // A connection may hold a second copy of what the session keeps, except that of a holder, which has no buffer.
        let copies = if kind == ClientKind::Holder { 1 } else { 2 };
        self.bytes += (self.sessions.len() + self.unknown) * copies * bytes;
    }
}

impl Ledger {
    /// Returns the app and the address of a client.
    pub(crate) fn place(&self, client: usize) -> Place {
        self.client(client).holding.place.clone()
    }

    /// Returns whether a user may be sent an event with this many bytes of data without exceeding its share.
    pub(crate) fn has_room(&self, user: &str, bytes: usize) -> bool {
        let records = self.records.lock();
        let of_user = records.clients.iter().filter(|client| client.user == user);
        let held: usize = of_user.map(|client| client.holding.bytes).sum();
        held + bytes + PER_EVENT <= records.total() / OF_USER
    }

    /// Records how a client that holds memory on purpose was accepted.
    pub(crate) fn holder_connected(&self, client: usize, continuity: &Continuity) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        records.note_excess();
        let before = records.begin_run(client, now, matches!(continuity, Continuity::Resumed { .. }));
        let of = &records.clients[client];
        let Continuity::Fresh(why) = continuity else { return };
        let Some(before) = before.filter(|_| *why != FreshReason::New) else { return };
        let away = now - of.request_heard;
        if !of.holding.has_exceeded && !of.is_excused(&before) && away < of.kept() {
            let what = format!(
                "client {client} lost its session ({why:?}), though its user, address and app held no more than their shares"
            );
            records.violate(Invariant::SharesKept, format_args!("{what}"));
        }
    }

    /// Checks that sessions never held more than they may.
    pub(crate) fn check_held(&self) {
        let mut records = self.records.lock();
        let mut changes = Vec::new();
        for ((session, _), kept) in &records.shares.kept {
            let bytes = isize::try_from(kept.bytes).expect("messages are small");
            changes.push((session.0, kept.from, bytes));
            changes.push((session.0, kept.until, -bytes));
        }
        // Of changes at the same moment, messages that leave are counted first.
        changes.sort_unstable();
        let mut held = 0;
        let most = changes.iter().map(|(_, _, bytes)| {
            held += bytes;
            held
        });
        let (most, total) = (most.max().unwrap_or(0).unsigned_abs(), records.total());
        self.machine.note(format_args!("sessions held at least {most} of {total} bytes"));
        if most > total {
            records.violate(
                Invariant::LimitsKept,
                format_args!("sessions held {most} bytes; they may hold {total}"),
            );
        }
    }
}

impl Records {
    fn total(&self) -> usize {
        self.sessions.bounds().map_or(usize::MAX, |bounds| bounds.queued_bytes)
    }

    /// Records that an event is published to the sessions of a user.
    pub(super) fn hold_event(&mut self, user: &str, bytes: usize) {
        let of_user = self.clients.iter_mut().filter(|client| client.user == user);
        of_user.for_each(|client| client.holding.add(bytes + PER_EVENT, client.kind));
    }

    /// Records that the server received a message of a client.
    pub(super) fn hold_answer(&mut self, client: usize, envelope: &Envelope<'_>) {
        let client = &mut self.clients[client];
        client.holding.add(if envelope.t == Ping::TYPE { PING_ANSWER } else { ANSWER }, client.kind);
    }

    /// Records that a session read an acknowledgement of all messages up to a number.
    pub(super) fn acknowledged(&mut self, client: usize, session: SessionNumber, envelope: &Envelope<'_>) {
        let Some(seen) =
            envelope.body().ok().map(|ping: Ping| ping.seen).filter(|_| envelope.t == Ping::TYPE)
        else {
            return;
        };
        let of = &self.clients[client];
        let published = self.users.by_id.get(&of.user).map_or(0, |user| user.published.len());
        let has_all = published == 0 || of.handed.contains(&published);
        let is_only = of.holding.unknown == 0 && of.holding.sessions.iter().eq([&session]);
        if has_all && is_only && self.sessions.last_sent(session) == Some(seen) {
            self.note_excess();
            self.clients[client].holding.bytes = PING_ANSWER;
        }
    }

    /// Records that the network took an event from a session.
    pub(super) fn taken(&mut self, session: SessionNumber, number: u64, user: &str, n: usize, now: Instant) {
        let Some(published) = self.users.by_id.get(user) else { return };
        let (Some(&from), Some(bytes)) = (published.published.get(n - 1), published.sizes.get(n - 1)) else {
            return;
        };
        if from < now {
            let kept = Kept { from, until: now, bytes: bytes + PER_MESSAGE };
            self.shares.kept.insert((session, number), kept);
        }
    }

    /// Marks the clients whose user, address or app may now hold more than its share.
    ///
    /// The server cuts users first, then addresses, then apps. Memory above a user's share therefore does not count for its address
    /// or app, and memory above an address's share not for its app.
    pub(super) fn note_excess(&mut self) {
        let total = self.total();
        let all: usize = self.clients.iter().map(|client| client.holding.bytes).sum();
        if all <= total / OF_USER {
            return;
        }
        let mut users = BTreeMap::<_, usize>::new();
        let mut at_addresses = BTreeMap::<_, usize>::new();
        for client in &self.clients {
            let (Place { app, address }, bytes) = (&client.holding.place, client.holding.bytes);
            let address = (!address.is_loopback()).then_some(*address);
            *users.entry((app, &client.user)).or_default() += bytes;
            *at_addresses.entry((app, address, &client.user)).or_default() += bytes;
        }
        let mut addresses = BTreeMap::<_, usize>::new();
        let mut of_apps = BTreeMap::<_, usize>::new();
        for (&(app, address, _), &bytes) in &at_addresses {
            let bytes = bytes.min(total / OF_USER);
            *of_apps.entry((app, address)).or_default() += bytes;
            if let Some(address) = address {
                *addresses.entry(address).or_default() += bytes;
            }
        }
        let mut apps = BTreeMap::<_, usize>::new();
        for (&(app, address), &bytes) in &of_apps {
            let most = if address.is_some() { total / OF_ADDRESS } else { usize::MAX };
            *apps.entry(app).or_default() += bytes.min(most);
        }
        // If the shares of all apps together do not fit, even apps within their shares are cut.
        let is_over =
            apps.values().map(|&bytes| bytes.min(total / OF_APP)).sum::<usize>() > total - total / 4;
        let exceeds = |client: &super::Client| {
            let Place { app, address } = &client.holding.place;
            is_over
                || users[&(app, &client.user)] > total / OF_USER
                || addresses.get(address).is_some_and(|&bytes| bytes > total / OF_ADDRESS)
                || apps[app] > total / OF_APP
        };
        let exceeding: Vec<_> = self.clients.iter().map(exceeds).collect();
        for (client, exceeds) in self.clients.iter_mut().zip(exceeding) {
            client.holding.has_exceeded |= exceeds;
        }
    }
}
