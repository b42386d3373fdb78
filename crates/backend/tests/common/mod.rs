//! A server on a port of its own, and an app with an API key.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chatcamp_backend::{Backend, Builder};
use chatcamp_client::{ChatCamp, Event, Events};
use chatcamp_protocol::AppId;
use chatcamp_server::{Accounts, AuthPolicy, FrontDoor, Keyring, Limits, Rate, Server};
use chatcamp_store::memory::Store;
use tokio::time::timeout;

/// Time limit of every wait in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server with an in-memory store.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) app: AppId,
    pub(crate) key: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_limits(Limits::default()).await
    }

    /// Creates a server that allows each API key calls at this rate.
    pub(crate) async fn with_api_calls(rate: Rate) -> Self {
        let mut limits = Limits::default();
        limits.api_calls = Some(rate);
        Self::with_limits(limits).await
    }

    async fn with_limits(mut limits: Limits) -> Self {
        let (store, keyring) = (Arc::new(Store::new()), Keyring::new(vec![[7; 32]]).unwrap());
        let accounts = Accounts::new(store.clone(), keyring.clone());
        let app = accounts.create_app("test", AuthPolicy::Open, None).await.unwrap();
        limits.drain = Duration::from_millis(250);
        let server = Server::builder(store, keyring).limits(limits).start();
        let door = FrontDoor::bind(server.clone(), ([127, 0, 0, 1], 0).into()).unwrap();
        let address = door.local_addr().unwrap();
        tokio::spawn(door.run());
        Self { server, address, app: app.id, key: app.api_key.key }
    }

    pub(crate) fn backend(&self) -> Backend {
        self.at(self.address).build().unwrap()
    }

    /// Returns a builder of a backend that reaches this server through `address`.
    pub(crate) fn at(&self, address: SocketAddr) -> Builder {
        Backend::builder(format!("http://{address}"), self.key.as_str())
    }

    /// Connects a client over WebSocket.
    pub(crate) async fn connect(&self, login: impl Into<chatcamp_client::Login>) -> (ChatCamp, Events) {
        let chat = ChatCamp::builder(&self.app).url(format!("http://{}", self.address)).build().unwrap();
        let events = chat.events();
        chat.connect(login).await.unwrap();
        (chat, events)
    }
}

/// Waits for an event that `what` accepts.
pub(crate) async fn wait_for<T>(events: &mut Events, mut what: impl FnMut(Event) -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = what(events.next().await.expect("the client is running")) {
                return found;
            }
        }
    };
    timeout(PATIENCE, waiting).await.expect("the event arrives in time")
}

/// Waits for the next event that a backend published.
pub(crate) async fn published(events: &mut Events) -> (String, String) {
    wait_for(events, |event| match event {
        Event::App { kind, data } => Some((kind, data.as_str().to_owned())),
        _ => None,
    })
    .await
}
