//! A client that speaks the published dialect: its URL says who it is, its session key lets it go on, nothing is numbered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chatcamp_protocol::{Envelope, event::SessionClose, handshake};
use chatcamp_runtime::{Runtime, timeout};
use chatcamp_transport::{Close, Connection, Message};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{World, application::Behaviour};
use crate::{
    ledger::{ClientKind, Proof, event_data},
    machine::Process,
    network::Route,
};

/// How often the client looks whether it has something to do.
const TICK: Duration = Duration::from_secs(2);
/// Time between two requests that show the server that the client is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Time for an answer, after which the client gives its connection up.
const ANSWER: Duration = Duration::from_secs(15);
/// How long an evicted client stays away in the recovery phase.
const AFTER_EVICTION: Duration = Duration::from_secs(60);
/// Time to open a connection, and to close one.
const OPENING: Duration = Duration::from_secs(15);

/// One published client.
#[derive(Debug)]
pub(super) struct PublishedClient {
    world: Arc<World>,
    pub(super) process: Process,
    pub(super) client: usize,
    pub(super) user: String,
    behaviour: Behaviour,
    key: Mutex<Option<String>>,
    /// The token that was refused last.
    refused: Mutex<Option<String>>,
    is_connected: AtomicBool,
    leaves: AtomicBool,
    /// Whether another session of the user took the place of its session.
    is_evicted: AtomicBool,
    edits: AtomicUsize,
}

impl PublishedClient {
    pub(super) fn start(world: &Arc<World>, user: &str, behaviour: Behaviour) -> Arc<Self> {
        let client = world.ledger.add_client(user, false, ClientKind::Published, world.draw_place());
        let process = world.machine.process(format!("published client {client}"));
        let published = Arc::new(Self {
            world: world.clone(),
            process: process.clone(),
            client,
            user: user.to_owned(),
            behaviour,
            key: Mutex::default(),
            refused: Mutex::default(),
            is_connected: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            is_evicted: AtomicBool::new(false),
            edits: AtomicUsize::new(0),
        });
        process.run(published.clone().live());
        published
    }

    pub(super) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Makes the client end its connection and stay away.
    pub(super) fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }

    async fn live(self: Arc<Self>) {
        while !self.leaves.load(Ordering::Relaxed) {
            let key = self.key.lock().clone();
            let (query, proof) = match key {
                Some(key) => (format!("session_key={key}"), None),
                None => self.credentials().await,
            };
            let route = self.world.draw(|random| match random.below(2) {
                0 => Route::Socket,
                _ => Route::Polls,
            });
            let opening = self.world.network.open_published(self.client, query, proof.clone(), route);
            if let Some(connection) = timeout(&self.process, OPENING, opening).await.flatten() {
                self.stay(connection, proof).await;
            }
            self.is_connected.store(false, Ordering::Relaxed);
            if self.is_evicted.swap(false, Ordering::Relaxed) && self.world.is_recovering() {
                self.stay_away().await;
            }
            let longest = if self.world.is_recovering() { 500 } else { 6_000 };
            self.process.sleep(self.world.draw(|random| random.millis(100..=longest))).await;
        }
        self.world.ledger.gone(self.client);
    }

    /// Waits after an eviction: clients that return at once would evict each other for as long as they run.
    async fn stay_away(&self) {
        let until = self.process.now() + AFTER_EVICTION;
        let waits = || self.process.now() < until || self.world.ledger.is_settled();
        while waits() && !self.leaves.load(Ordering::Relaxed) {
            self.process.sleep(TICK).await;
        }
    }

    /// Returns the query of a first connect, and what it presents.
    async fn credentials(&self) -> (String, Option<Proof>) {
        self.world.ledger.published_left(self.client);
        let by_id = format!("app_id={}&user_id={}", self.world.backend.app(), self.user);
        if self.behaviour == Behaviour::ById {
            return (by_id, Some(Proof::Id));
        }
        let refused = self.refused.lock().clone();
        let token = self.world.backend.token_for(&self.user, refused.as_deref()).await.text;
        (format!("{by_id}&access_token={token}"), Some(Proof::Token(token)))
    }

    /// Listens and asks, until the connection ends or the client has enough of it.
    async fn stay(&self, mut connection: Connection, proof: Option<Proof>) {
        let patience = self.world.draw(|random| {
            random.chance(300).then(|| (random.millis(1_000..=60_000), [1000, 4000][random.below(2)]))
        });
        let leaves_at = patience.map(|(after, code)| (self.process.now() + after, code));
        let mut asks_at = self.process.now() + HEARTBEAT;
        let mut number = 0;
        // The acknowledgement of the handshake is the first answer.
        let mut unanswered = Some(self.process.now());
        loop {
            let received = timeout(&self.process, TICK, connection.recv()).await;
            let now = self.process.now();
            let is_answer = match received {
                Some(Err(_)) => return,
                Some(Ok(message)) => self.receive(&message, proof.as_ref()),
                None => false,
            };
            if is_answer {
                unanswered = None;
            }
            let leaves = leaves_at.filter(|(at, _)| *at <= now && !self.world.is_recovering());
            if self.leaves.load(Ordering::Relaxed) || leaves.is_some() {
                let code = leaves.map_or(1000, |(_, code)| code);
                _ = timeout(&self.process, OPENING, connection.close(Close::new(code, ""))).await;
                return;
            }
            if unanswered.is_some_and(|since| since + ANSWER < now) {
                return;
            }
            if now >= asks_at && self.is_connected() {
                asks_at = now + HEARTBEAT;
                number += 1;
                let request = self.request(number);
                unanswered.get_or_insert(now);
                let sent = timeout(&self.process, TICK, connection.send(request)).await;
                if !matches!(sent, Some(Ok(()))) {
                    return;
                }
            }
        }
    }

    fn request(&self, number: u64) -> Message {
        let edits = self.world.draw(|random| random.chance(300)) && !self.world.is_recovering();
        let request = if edits {
            let edit = self.edits.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}/{edit}", self.client);
            json!({ "t": "users.update", "r": number, "d": { "display_name": name } })
        } else {
            json!({ "t": "users.get", "r": number, "d": {} })
        };
        Message::from(request.to_string())
    }

    /// Takes a message in. Returns whether it answers a request or accepts the client.
    fn receive(&self, message: &Message, proof: Option<&Proof>) -> bool {
        let Ok(envelope) = Envelope::parse(message.as_str()) else { return false };
        let body: Value = envelope.body().unwrap_or_default();
        match envelope.t.as_ref() {
            handshake::ACK_TYPE if body["ok"] == true => {
                let key = body["session_key"].as_str().unwrap_or_default().to_owned();
                self.world.ledger.published_connected(self.client, &key);
                *self.key.lock() = Some(key);
                self.is_connected.store(true, Ordering::Relaxed);
                return true;
            }
            handshake::ACK_TYPE => {
                self.world.machine.note(format_args!("published client {} is refused", self.client));
                if let Some(Proof::Token(token)) = proof {
                    *self.refused.lock() = Some(token.clone());
                }
                if body.pointer("/error/reason").is_some_and(|reason| reason == "SESSION_EVICTED") {
                    self.is_evicted.store(true, Ordering::Relaxed);
                }
                let had_key = self.key.lock().take().is_some();
                if had_key && body.pointer("/error/message").is_some_and(|text| text == "Session Key Invalid")
                {
                    self.world.ledger.published_key_refused(self.client);
                } else {
                    self.world.ledger.published_left(self.client);
                }
                self.is_connected.store(false, Ordering::Relaxed);
            }
            "app.event.pub" => {
                if let Some((user, n)) = body.get("data").and_then(event_data) {
                    self.world.machine.note(format_args!("published client {} has event {n}", self.client));
                    self.world.ledger.event(self.client, &user, n);
                }
            }
            SessionClose::TYPE => {}
            _ => return envelope.to.is_some(),
        }
        false
    }
}
