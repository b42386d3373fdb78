//! Clients that make the server hold messages while its memory is short: a crowd that takes more than its share, and clients
//! that stay within theirs and must lose nothing.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use chatcamp_auth::client::{self, Hello};
use chatcamp_protocol::{
    AppId, Envelope, SessionKey, UserId, envelope,
    handshake::{AuthAck, Continuity, Offer, Resume},
    request::{Ping, Request as _},
};
use chatcamp_runtime::{Runtime, timeout};
use chatcamp_transport::{Close, Connection, Message};
use serde_json::Value;

use super::{World, backend};
use crate::{
    ledger::{ClientKind, Place, event_data},
    random::Random,
};

/// Time for each step of an attempt to connect.
const STEP: Duration = Duration::from_secs(10);
/// The interval at which a client checks whether it has something to do.
const TICK: Duration = Duration::from_secs(1);
/// The largest event of the crowd, in bytes.
const LARGEST: usize = 30 * 1024;

/// The clients that take more than their share.
#[derive(Debug, Clone, Copy)]
enum Crowd {
    /// Few users, each with many sessions.
    FewUsers,
    /// Many users at one address.
    OneAddress,
    /// Many users of one app at many addresses.
    OneApp,
}

/// One client.
#[derive(Debug)]
struct Holder {
    world: Arc<World>,
    client: usize,
    app: AppId,
    user: String,
    /// Whether it belongs to the crowd, and may lose its session.
    is_greedy: bool,
}

/// What a client knows of its session.
#[derive(Debug)]
struct Known {
    key: SessionKey,
    /// The highest number received, and the highest sent.
    seen: u64,
    sent: u64,
    /// The highest number that it has acknowledged.
    acknowledged: u64,
}

/// Starts a crowd, the modest clients that it must not harm, and the tasks that publish to both. `total` is the server's memory limit.
pub(super) async fn start(world: &Arc<World>, total: usize) {
    let crowded = world.backend.create_app("crowded").await;
    let crowd = world.draw(|random| match random.below(4) {
        0 => Crowd::FewUsers,
        1 => Crowd::OneApp,
        _ => Crowd::OneAddress,
    });
    world.machine.note(format_args!("a crowd: {crowd:?}"));
    let app = match crowd {
        Crowd::OneAddress if world.draw(|random| random.chance(500)) => world.backend.app().clone(),
        _ => crowded,
    };
    let (users, sessions, addresses) = world.draw(|random| match crowd {
        Crowd::FewUsers => (random.within(4..=6), random.within(4..=8), random.within(1..=3)),
        Crowd::OneAddress => (random.within(40..=64), 1, 1),
        Crowd::OneApp => (random.within(48..=64), 1, random.within(10..=14)),
    });
    let address = |n: usize| IpAddr::V4(Ipv4Addr::new(203, 0, 113, u8::try_from(n).expect("they are few")));
    for n in 0..users * sessions {
        let place = Place { app: app.clone(), address: address(n % addresses) };
        Holder::start(world, format!("greedy-{}", n % users), place, true);
    }
    let modest = world.draw(|random| random.within(2..=4));
    for n in 0..modest {
        let mut place = world.draw_place();
        if world.draw(|random| random.chance(600)) {
            // An address of its own.
            place.address = address(100 + n);
        }
        if !matches!(crowd, Crowd::OneApp) && world.draw(|random| random.chance(700)) {
            place.app = app.clone();
        }
        // A few users with many sessions are cut before their address is.
        if matches!(crowd, Crowd::FewUsers) && world.draw(|random| random.chance(300)) {
            place.address = address(0);
        }
        let user = format!("modest-{n}");
        let client = Holder::start(world, user.clone(), place.clone(), false);
        world.process.run(feed_modest(client, total));
    }
    world.process.run(feed_crowd(world.clone(), app, users, sessions, total));
}

/// Publishes to the crowd until the recovery phase, so much that it soon fills the memory.
async fn feed_crowd(world: Arc<World>, app: AppId, users: usize, sessions: usize, total: usize) {
    let rounds = world.draw(|random| random.within(3..=8));
    let bytes = (total / (users * sessions * rounds)).min(LARGEST);
    loop {
        world.process.sleep(world.draw(|random| random.millis(200..=2_500))).await;
        for n in 0..users {
            if world.is_recovering() {
                return;
            }
            if world.draw(|random| random.chance(900)) {
                world.publish_bytes(&app, &format!("greedy-{n}"), bytes).await;
            }
        }
    }
}

/// Publishes to a client until the recovery phase, as much as its user's share allows.
async fn feed_modest(holder: Arc<Holder>, total: usize) {
    let world = &holder.world;
    let largest = total / 64;
    loop {
        world.process.sleep(world.draw(|random| random.millis(200..=4_000))).await;
        if world.is_recovering() {
            return;
        }
        let bytes = world.draw(|random| random.within(0..=largest)).min(LARGEST);
        if world.ledger.has_room(&holder.user, bytes) {
            world.publish_bytes(&holder.app, &holder.user, bytes).await;
        }
    }
}

impl Holder {
    fn start(world: &Arc<World>, user: String, place: Place, is_greedy: bool) -> Arc<Self> {
        let app = place.app.clone();
        let client = world.ledger.add_client(&user, false, ClientKind::Holder, place);
        let holder = Arc::new(Self { world: world.clone(), client, app, user, is_greedy });
        world.machine.process(format!("holder {client}")).run(holder.clone().live());
        holder
    }

    /// Connects, stays connected for a while, and drops the connection without a close, repeatedly until the recovery phase.
    async fn live(self: Arc<Self>) {
        let mut known = None;
        while !self.world.is_recovering() {
            if let Some(connection) = self.connect(&mut known).await {
                self.stay(connection, known.as_mut()).await;
            }
            // Longer than the crowd needs to fill the memory, and shorter than a session is kept.
            let longest = if known.is_some() { 80_000 } else { 3_000 };
            self.wait(self.world.draw(|random| random.millis(500..=longest))).await;
        }
        self.world.ledger.gone(self.client);
    }

    /// Waits, at most until the recovery phase.
    async fn wait(&self, time: Duration) {
        let until = self.world.process.now() + time;
        while self.world.process.now() < until && !self.world.is_recovering() {
            self.world.process.sleep(TICK).await;
        }
    }

    /// Opens a connection, and resumes the session if there is one. Returns `None` if the client is not accepted.
    async fn connect(&self, known: &mut Option<Known>) -> Option<Connection> {
        let process = &self.world.process;
        let window = self.is_greedy.then(|| self.world.draw(|random| random.within(1..=8)));
        let opening = timeout(process, STEP, self.world.network.open_native(self.client, window));
        let mut connection = opening.await.flatten()?;
        let user_id: UserId = backend::id(&self.user);
        let resume =
            known.as_ref().map(|known| Resume { key: known.key.clone(), seen: known.seen, sent: known.sent });
        let hello = Hello { app_id: &self.app, user_id: &user_id, token: None, client: "holder/1", resume };
        let (_, hello) = client::start(&hello);
        timeout(process, STEP, connection.send(Message::from(hello))).await?.ok()?;
        let answer = timeout(process, STEP, connection.recv()).await?.ok()?;
        let envelope = Envelope::parse(answer.as_str()).ok()?;
        let Offer { key, continuity, .. } = envelope.body::<AuthAck<'_>>().ok()?.session?;
        self.world.machine.note(format_args!("holder {} connected: {continuity:?}", self.client));
        self.world.ledger.holder_connected(self.client, &continuity);
        match (&continuity, known.as_mut()) {
            (Continuity::Resumed { received, .. }, Some(known)) => {
                (known.key, known.sent) = (key, *received);
            }
            _ => *known = Some(Known { key, seen: 0, sent: 0, acknowledged: 0 }),
        }
        Some(connection)
    }

    /// Stays connected for a while. The crowd reads nothing or acknowledges nothing; the others do both.
    async fn stay(&self, mut connection: Connection, known: Option<&mut Known>) {
        let Some(known) = known else { return };
        let process = &self.world.process;
        let (reads, time) = self.world.draw(|random: &mut Random| {
            if self.is_greedy {
                (random.chance(250), random.millis(0..=30_000))
            } else {
                (true, random.millis(2_000..=10_000))
            }
        });
        let until = process.now() + time;
        while process.now() < until {
            if self.world.is_recovering() {
                _ = timeout(process, STEP, connection.close(Close::NORMAL)).await;
                return;
            }
            if !reads {
                process.sleep(TICK).await;
                continue;
            }
            match timeout(process, TICK, connection.recv()).await {
                Some(Err(_)) => return,
                Some(Ok(message)) => self.receive(&message, known),
                None if !self.is_greedy && known.acknowledged < known.seen => {
                    known.sent += 1;
                    known.acknowledged = known.seen;
                    let ping = envelope::request(Ping::TYPE, known.sent, &Ping { seen: known.seen });
                    if !matches!(
                        timeout(process, TICK, connection.send(Message::from(ping))).await,
                        Some(Ok(()))
                    ) {
                        return;
                    }
                }
                None => {}
            }
        }
    }

    fn receive(&self, message: &Message, known: &mut Known) {
        let Ok(envelope) = Envelope::parse(message.as_str()) else { return };
        if let Some(number) = envelope.s {
            known.seen = number;
        }
        let body: Value = envelope.body().unwrap_or_default();
        if let Some((user, n)) = body.get("data").and_then(event_data) {
            self.world.machine.note(format_args!("holder {} has event {n}", self.client));
            self.world.ledger.event(self.client, &user, n);
        }
    }
}
