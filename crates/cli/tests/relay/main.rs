//! Client and server over real sockets on a failing network: no message is lost or repeated.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod restart;
mod revocation;
mod under_a_path;
mod wire;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chatcamp_client::{
    ChatCamp, Continuity, Event, Events, Reconnect,
    builder::endpoint,
    transport::{ConnectError, Connection, Transport, long_poll, websocket},
};
use chatcamp_protocol::{AppId, UserId};
use chatcamp_server::{AuthPolicy, DataDir, FrontDoor, Limits, Recipients, Server};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};
use wire::{Relay, Wire};

/// Longer than any step of these tests takes.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    server: Server,
    app: AppId,
    address: SocketAddr,
    data: DataDir,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open_to_serve(folder.path(), None).await.unwrap();
    let app = data.accounts().create_app("relay", AuthPolicy::Open, None).await.unwrap().id;
    let mut limits = Limits::default();
    // Clients of these tests send more at once than the rate of requests allows.
    limits.requests = None;
    let server = Server::builder(data.store(), data.keyring()).limits(limits).start();
    let door = FrontDoor::bind(server.clone(), SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = door.local_addr().unwrap();
    tokio::spawn(door.run());
    World { server, app, address, data, _folder: folder }
}

/// A transport that connects over the next of its transports each time.
#[derive(Debug)]
struct Turns {
    transports: Vec<Box<dyn Transport>>,
    next: AtomicUsize,
}

#[async_trait]
impl Transport for Turns {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.transports[next % self.transports.len()].connect().await
    }

    fn is_exposed(&self) -> bool {
        self.transports.iter().any(|transport| transport.is_exposed())
    }
}

/// The transports that clients of these tests use.
const WAYS: [&[&str]; 3] = [&["websocket"], &["long-poll"], &["websocket", "long-poll"]];

fn client(world: &World, relay: &Relay, way: &[&str], first: usize) -> ChatCamp {
    let url = endpoint(&relay.url()).unwrap();
    let transports = way.iter().map(|name| match *name {
        "websocket" => Box::new(websocket::Transport::new(&url).unwrap()) as Box<dyn Transport>,
        _ => Box::new(long_poll::Transport::new(&url).unwrap()),
    });
    let turns = Turns { transports: transports.collect(), next: AtomicUsize::new(first) };
    let quick = Reconnect::default().delays(Duration::from_millis(20), Duration::from_millis(200));
    ChatCamp::builder(&world.app).transport(turns).reconnect(quick).build().unwrap()
}

async fn publish(world: &World, user: &str, n: u64) {
    let to = Recipients::Users(vec![UserId::new(user).unwrap()]);
    let published = world.server.publish(&world.app, &to, "n", &json!(n)).await.unwrap();
    assert_eq!(published.delivered + published.queued, 1, "{user} {n}");
}

/// Reads the numbers of events up to `last`, and asserts that each arrives once and in order.
///
/// Returns how often the session was resumed.
async fn read_all(events: &mut Events, first: u64, last: u64) -> usize {
    let (mut next, mut resumed) = (first, 0);
    while next <= last {
        match timeout(PATIENCE, events.next()).await.expect("an event in time").unwrap() {
            Event::App { data, .. } => {
                assert_eq!(data.parse::<u64>().unwrap(), next);
                next += 1;
            }
            Event::Connected { continuity: Continuity::Resumed { .. }, .. } => resumed += 1,
            Event::Reconnecting { .. } => {}
            other => panic!("{other:?} before event {next}"),
        }
    }
    resumed
}

async fn connected(events: &mut Events) -> Continuity {
    loop {
        match timeout(PATIENCE, events.next()).await.expect("an event in time").unwrap() {
            Event::Connected { continuity, .. } => return continuity,
            Event::Reconnecting { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_cut_connection_loses_and_repeats_nothing() {
    let world = world().await;
    for way in WAYS {
        let (relay, user) = (Relay::to(world.address).await, way.concat());
        let chat = client(&world, &relay, way, 0);
        let mut events = chat.events();
        chat.connect(&*user).await.unwrap();
        connected(&mut events).await;
        for round in 0..5 {
            let n = round * 3;
            publish(&world, &user, n + 1).await;
            relay.set(Wire::Down);
            relay.cut();
            publish(&world, &user, n + 2).await;
            let asked = chat.request("users.get", json!({}));
            let answered = async {
                publish(&world, &user, n + 3).await;
                relay.set(Wire::Whole);
                assert_eq!(read_all(&mut events, n + 1, n + 3).await, 1);
            };
            let (answer, ()) = tokio::join!(asked, answered);
            assert_eq!(answer.unwrap().parse::<Value>().unwrap()["user"]["id"], user);
        }
        chat.disconnect().await;
    }
    assert_eq!(world.server.load().detached, 0, "a disconnect ends a session for good");
}

#[tokio::test]
async fn many_requests_in_flight_are_answered_once_each() {
    let world = world().await;
    for way in WAYS {
        let (relay, user) = (Relay::to(world.address).await, way.concat());
        let chat = client(&world, &relay, way, 0);
        let mut events = chat.events();
        chat.connect(&*user).await.unwrap();
        connected(&mut events).await;
        for _ in 0..3 {
            let asked = (0..200).map(|_| chat.request("users.get", json!({})));
            let cut = async { relay.cut() };
            let (answers, ()) = tokio::join!(futures_util::future::join_all(asked), cut);
            for answer in answers {
                assert_eq!(answer.unwrap().parse::<Value>().unwrap()["user"]["id"], user, "{way:?}");
            }
        }
        chat.disconnect().await;
    }
}

#[tokio::test]
async fn a_half_open_connection_is_detected_and_its_session_resumed() {
    let world = Arc::new(world().await);
    let mut all = JoinSet::new();
    for wire in [Wire::Stalled, Wire::Mute] {
        for way in WAYS {
            let world = world.clone();
            all.spawn(async move { half_open(&world, wire, way).await });
        }
    }
    while let Some(one) = all.join_next().await {
        one.unwrap();
    }
}

async fn half_open(world: &World, wire: Wire, way: &[&str]) {
    let (relay, user) = (Relay::to(world.address).await, format!("{wire:?} {way:?}"));
    let chat = client(world, &relay, way, 0);
    let mut events = chat.events();
    chat.connect(&*user).await.unwrap();
    connected(&mut events).await;
    relay.set(wire);
    publish(world, &user, 1).await;
    // Silence is detected only after 35 s; an application that observes its network can report a change sooner.
    chat.network_changed().await;
    let why = timeout(PATIENCE, events.next()).await.unwrap().unwrap();
    assert!(matches!(why, Event::Reconnecting { .. }), "{why:?}");
    publish(world, &user, 2).await;
    relay.cut();
    relay.set(Wire::Whole);
    assert_eq!(read_all(&mut events, 1, 2).await, 1, "{user}");
    chat.disconnect().await;
}

/// Returns a number of the environment, for large runs ("Figures of large runs" in docs/CONTRIBUTING.md), or `ordinary`.
fn figure(name: &str, ordinary: u64) -> u64 {
    std::env::var(name).map_or(ordinary, |figure| figure.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_user_gets_every_event_once_despite_cuts() {
    let (users, last) = (figure("CHATCAMP_USERS", 24), figure("CHATCAMP_EVENTS", 1000));
    let world = Arc::new(world().await);
    let mut readers = JoinSet::new();
    let mut relays = Vec::new();
    for n in 0..users {
        // A few clients share a network; half begin with one transport, half with the other.
        if n % 4 == 0 {
            relays.push(Arc::new(Relay::to(world.address).await));
        }
        let relay = relays.last().unwrap();
        let chat = client(&world, relay, WAYS[2], usize::try_from(n).unwrap());
        let mut events = chat.events();
        chat.connect(format!("user {n}")).await.unwrap();
        readers.spawn(async move {
            connected(&mut events).await;
            let resumed = read_all(&mut events, 1, last).await;
            chat.disconnect().await;
            resumed
        });
    }
    // A fixed seed decides which network is cut when.
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    for n in 1..=last {
        let published = world.server.publish(&world.app, &Recipients::All, "n", &json!(n)).await.unwrap();
        assert_eq!((published.delivered + published.queued) as u64, users, "event {n}");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if n % 10 == 0 {
            relays[usize::try_from(random >> 33).unwrap() % relays.len()].cut();
        }
        // About 500 per second, so that no more messages are waiting for a client after a second than the server keeps.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut resumed = 0;
    while let Some(reader) = readers.join_next().await {
        resumed += reader.unwrap();
    }
    println!("{users} users, {last} events each, {resumed} sessions went on after a cut");
    assert!(resumed > usize::try_from(users).unwrap(), "the network did fail: {resumed}");
    world.server.shutdown().await;
}
