//! A server that restarts while many clients are connected.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use async_trait::async_trait;
use chatcamp_client::{
    ChatCamp, Continuity, Event,
    builder::endpoint,
    transport::{ConnectError, Connection, Transport, long_poll, websocket},
};
use chatcamp_server::{FrontDoor, Server};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};

use crate::{PATIENCE, connected, figure, world};

/// A transport that records the time of every connect.
#[derive(Debug)]
struct Noted {
    transport: Box<dyn Transport>,
    attempts: Arc<Mutex<Vec<Instant>>>,
}

#[async_trait]
impl Transport for Noted {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        self.attempts.lock().unwrap().push(Instant::now());
        self.transport.connect().await
    }

    fn is_exposed(&self) -> bool {
        self.transport.is_exposed()
    }
}

/// Allows sockets at both ends, two for every second client, which uses long-poll, and a margin.
fn allow_open_files(clients: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = clients * 3 + 1000;
    assert!(limit.maximum.is_none_or(|most| most >= wanted), "needs {wanted} open files: ulimit -Hn");
    limit.current = limit.current.map(|current| current.max(wanted));
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_clients_reconnect_after_a_restart_and_not_at_once() {
    let count = figure("CHATCAMP_CLIENTS", 400);
    allow_open_files(count);
    let mut world = world().await;
    let url = endpoint(&format!("http://{}", world.address)).unwrap();
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let mut clients = JoinSet::new();
    for n in 0..count {
        let transport: Box<dyn Transport> = match n % 2 {
            0 => Box::new(websocket::Transport::new(&url).unwrap()),
            _ => Box::new(long_poll::Transport::new(&url).unwrap()),
        };
        let noted = Noted { transport, attempts: attempts.clone() };
        let chat = ChatCamp::builder(&world.app).transport(noted).build().unwrap();
        let mut events = chat.events();
        chat.connect(format!("user {n}")).await.unwrap();
        clients.spawn(async move {
            assert!(matches!(connected(&mut events).await, Continuity::Fresh(_)));
            // Until it is connected again, the application sees only `Reconnecting`.
            loop {
                match timeout(PATIENCE, events.next()).await.expect("back in time").unwrap() {
                    Event::Connected { .. } => return (chat, Instant::now()),
                    Event::Reconnecting { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    attempts.lock().unwrap().clear();

    let restarted = Instant::now();
    world.server.shutdown().await;
    world.server = Server::builder(world.data.store(), world.data.keyring()).start();
    let door = FrontDoor::bind(world.server.clone(), world.address).unwrap();
    tokio::spawn(door.run());

    let mut last = restarted;
    let mut chats = Vec::new();
    while let Some(client) = clients.join_next().await {
        let (chat, back) = client.unwrap();
        last = last.max(back);
        chats.push(chat);
    }
    let took = last - restarted;
    let mut per_second = vec![0; 1];
    for attempt in attempts.lock().unwrap().iter() {
        let second = usize::try_from((*attempt - restarted).as_secs()).unwrap();
        per_second.resize(per_second.len().max(second + 1), 0);
        per_second[second] += 1;
    }
    println!("{}", json!({ "clients": count, "seconds": took.as_secs_f64(), "attempts": per_second }));
    assert_eq!(world.server.load().sessions as u64, count);
    let (all, busiest) = (per_second.iter().sum::<u64>(), *per_second.iter().max().unwrap());
    assert!(all <= count * 2, "{all} attempts of {count} clients");
    // A server with many clients spreads their reconnects over time, 500 per second.
    assert!(busiest <= 1000.max(count / 4), "{busiest} attempts in one second");
    drop(chats);
    world.server.shutdown().await;
}
