//! Thousands of clients behind one address return after a crash of the server, with the default rates, in virtual time.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::{
    env,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chatcamp_client::{
    ChatCamp,
    transport::{ConnectError, Connection, Transport, memory},
};
use chatcamp_protocol::Code;
use chatcamp_server::{Accounts, AuthPolicy, Keyring, Limits, Server};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// Clients behind the address. More with `CHATCAMP_MASS_RETURN`.
const CLIENTS: usize = 5000;
const ADDRESS: ([u8; 4], u16) = ([192, 0, 2, 1], 1);
/// The time in which the last client is back.
const LIMIT: Duration = Duration::from_secs(120);

/// A server that can be replaced, and the tasks of its connections.
#[derive(Debug, Clone, Default)]
struct Host(Arc<Mutex<Option<Running>>>);

#[derive(Debug)]
struct Running {
    server: Server,
    connections: JoinSet<()>,
    attempts: usize,
}

impl Host {
    fn run(&self, server: Server) {
        *self.0.lock().unwrap() = Some(Running { server, connections: JoinSet::new(), attempts: 0 });
    }

    /// Returns the connected sessions, and the attempts to connect until now.
    fn counts(&self) -> (usize, usize) {
        let running = self.0.lock().unwrap();
        let running = running.as_ref().unwrap();
        (running.server.load().sessions, running.attempts)
    }

    /// Drops all connections without a close.
    fn crash(&self) {
        self.0.lock().unwrap().take();
    }
}

#[async_trait]
impl Transport for Host {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let (client, server) = memory::pair();
        let (carrier, mut info) = server.into_parts();
        info.peer = Some(SocketAddr::from(ADDRESS));
        let mut running = self.0.lock().unwrap();
        let running = running.as_mut().ok_or_else(|| ConnectError::unreachable("no server is running"))?;
        running.attempts += 1;
        running.connections.spawn(running.server.serve(Connection::from_parts(carrier, info)));
        Ok(client)
    }

    fn is_exposed(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_behind_one_address_is_back_within_two_minutes() {
    let clients = env::var("CHATCAMP_MASS_RETURN").map_or(CLIENTS, |number| number.parse().unwrap());
    let store = Arc::new(chatcamp_store::memory::Store::new());
    let keyring = || Keyring::new(vec![[7; 32]]).unwrap();
    let app =
        Accounts::new(store.clone(), keyring()).create_app("crowd", AuthPolicy::Open, None).await.unwrap().id;
    let host = Host::default();
    let mut unlimited = Limits::default();
    unlimited.connections_per_address = None;
    host.run(Server::builder(store.clone(), keyring()).limits(unlimited).start());
    let mut crowd = Vec::new();
    for n in 0..clients {
        let chat = ChatCamp::builder(&app).transport(host.clone()).build().unwrap();
        chat.connect(format!("user{n}")).await.unwrap();
        crowd.push(chat);
    }
    assert_eq!(host.counts().0, clients);

    host.crash();
    host.run(Server::builder(store, keyring()).start());
    let began = Instant::now();
    while host.counts().0 < clients {
        assert!(began.elapsed() <= LIMIT, "{} of {clients} are back", host.counts().0);
        sleep(Duration::from_secs(1)).await;
    }
    let (_, attempts) = host.counts();
    println!("{clients} clients are back after {:?} and {attempts} attempts", began.elapsed());
    let rate = Limits::default().connections_per_address.unwrap();
    let least = (clients - rate.burst as usize) / rate.per_second as usize;
    assert!(began.elapsed().as_secs() as usize >= least, "the rate holds");
    assert!(
        attempts <= 4 * clients,
        "{attempts} attempts: the clients do not follow {}",
        Code::RateLimited.as_str()
    );
}
