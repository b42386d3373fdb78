//! A server for tests, and a peer that exchanges plain JSON with it.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod gated;

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chatcamp_auth::client;
use chatcamp_protocol::{AccessToken, AppId, Code, SessionKey, UserId, handshake::Resume};
use chatcamp_server::{
    Accounts, AuthPolicy, ChatService, Clock, FrontDoor, Keyring, Limits, Load, NewUser, PublishOutcome,
    Recipients, Server,
};
use chatcamp_store::Store;
use chatcamp_transport::{Closed, Connection, Message, Transport, memory};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

pub(crate) const AT_REST: Load = Load { connections: 0, unverified: 0, sessions: 0, detached: 0 };

/// A server over a store in memory, reached over the memory transport.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) accounts: Accounts,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) transport: memory::Transport,
    pub(crate) app: AppId,
}

pub(crate) fn keyring() -> Keyring {
    Keyring::new(vec![[7; 32]]).unwrap()
}

impl World {
    /// Creates a world with an open app. Its shutdown waits only briefly for idle connections, and its users may connect as often as they
    /// like.
    pub(crate) async fn open() -> Self {
        let mut limits = Limits::default();
        limits.connects_per_user = None;
        limits.drain = Duration::from_millis(250);
        Self::new(AuthPolicy::Open, limits).await
    }

    /// Creates a world with an open app, whose sessions may send requests at any rate.
    pub(crate) async fn without_request_rate() -> Self {
        let mut limits = Limits::default();
        limits.requests = None;
        Self::new(AuthPolicy::Open, limits).await
    }

    pub(crate) async fn new(auth: AuthPolicy, limits: Limits) -> Self {
        Self::over(Arc::new(chatcamp_store::memory::Store::new()), auth, limits).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>, auth: AuthPolicy, limits: Limits) -> Self {
        Self::at(Clock::system(), keyring(), store, auth, limits).await
    }

    /// Creates a world with an open app and the given clock.
    pub(crate) async fn open_at(clock: Clock) -> Self {
        let store = Arc::new(chatcamp_store::memory::Store::new());
        Self::at(clock, keyring(), store, AuthPolicy::Open, Limits::default()).await
    }

    pub(crate) async fn at(
        clock: Clock,
        keyring: Keyring,
        store: Arc<dyn Store>,
        auth: AuthPolicy,
        limits: Limits,
    ) -> Self {
        let accounts = Accounts::new(store.clone(), keyring.clone()).with_clock(clock.clone());
        let app = accounts.create_app("test", auth, None).await.unwrap().id;
        let server = Server::builder(store.clone(), keyring).clock(clock).limits(limits).start();
        let (transport, listener) = memory::network();
        let accepting = server.clone();
        tokio::spawn(async move { accepting.listen(listener).await });
        Self { server, accounts, store, transport, app }
    }

    /// Creates a user that must present its token, and returns the token.
    pub(crate) async fn user(&self, id: &str) -> AccessToken {
        self.accounts.create_user(&self.app, &user(id), NewUser::default()).await.unwrap()
    }

    pub(crate) async fn connect(&self, id: &str) -> Peer {
        self.try_connect(id, None).await.unwrap()
    }

    pub(crate) async fn connect_with(&self, id: &str, token: &AccessToken) -> Peer {
        self.try_connect(id, Some(token)).await.unwrap()
    }

    /// Connects in the native dialect. If it is refused, returns the code as the error.
    pub(crate) async fn try_connect(&self, id: &str, token: Option<&AccessToken>) -> Result<Peer, String> {
        let connection = self.transport.connect().await.unwrap();
        Peer::native(connection, &self.app, id, token).await
    }

    /// Resumes in the native dialect. If it is refused, returns the code as the error.
    pub(crate) async fn resume(
        &self,
        id: &str,
        token: Option<&AccessToken>,
        hint: Resume,
    ) -> Result<Peer, String> {
        let connection = self.transport.connect().await.unwrap();
        Peer::hello(connection, &self.app, id, token, Some(hint)).await
    }

    /// Publishes these numbers to a user, one event each. Returns the outcome of the last.
    pub(crate) async fn tell(&self, id: &str, numbers: RangeInclusive<u64>) -> PublishOutcome {
        let to = Recipients::Users(vec![user(id)]);
        let mut outcome = PublishOutcome::default();
        for n in numbers {
            outcome = self.server.publish(&self.app, &to, "number", &json!(n)).await.unwrap();
        }
        outcome
    }

    /// Drops a client's connection without a close, and waits until the server has noticed.
    pub(crate) async fn cut(&self, peer: Peer) {
        let before = self.server.load().detached;
        drop(peer);
        eventually(|| self.server.load().detached > before).await;
    }

    /// Connects in the published dialect, with this query.
    pub(crate) async fn published(&self, query: &str) -> Peer {
        let transport = self.transport.clone().with_query(query);
        Peer { connection: transport.connect().await.unwrap(), requests: 0, ack: Value::Null }
    }

    /// Shuts down, and asserts that the server is idle.
    pub(crate) async fn close(self) {
        let down = timeout(LONG, self.server.shutdown()).await;
        assert!(down.is_ok(), "the shutdown does not end: {:?}", self.server);
        assert_eq!(self.server.load(), AT_REST);
    }

    /// Waits until the server has no connections; it may have detached sessions.
    pub(crate) async fn at_rest(&self) {
        eventually(|| Load { detached: 0, ..self.server.load() } == AT_REST).await;
    }
}

/// Waits until other tasks have made the condition true.
pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "the condition did not become true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

/// Returns a clock, and the time that it shows.
pub(crate) fn set_clock(to: u64) -> (Clock, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(to));
    let shown = now.clone();
    (Clock::new(move || shown.load(Ordering::Relaxed)), now)
}

/// Longer than any step takes. A test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any deadline. In paused time it passes at once, so that a test fails instead of hanging.
const LONG: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adapter {
    FrontDoor,
    Axum,
}

pub(crate) const ADAPTERS: [Adapter; 2] = [Adapter::FrontDoor, Adapter::Axum];

pub(crate) async fn listen(world: &World, adapter: Adapter) -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    match adapter {
        Adapter::FrontDoor => {
            let door = FrontDoor::bind(world.server.clone(), any).unwrap();
            let address = door.local_addr().unwrap();
            tokio::spawn(door.run());
            address
        }
        Adapter::Axum => {
            let listener = TcpListener::bind(any).await.unwrap();
            let address = listener.local_addr().unwrap();
            let chat = ChatService::new(world.server.clone());
            let paths = ["/chat/2.0", "/chatcamp.js", "/chatcamp.d.ts", "/chatcamp.tgz", "/compat.js"];
            let app =
                paths.iter().fold(axum::Router::new(), |app, path| app.route_service(path, chat.clone()));
            tokio::spawn(async move { axum::serve(listener, app).await });
            address
        }
    }
}

/// One client's end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) requests: u64,
    /// The body of the acknowledgement.
    pub(crate) ack: Value,
}

impl Peer {
    pub(crate) async fn native(
        connection: Connection,
        app: &AppId,
        id: &str,
        token: Option<&AccessToken>,
    ) -> Result<Self, String> {
        Self::hello(connection, app, id, token, None).await
    }

    /// Connects in the native dialect, and resumes a session if one is given. The numbers of requests then continue.
    pub(crate) async fn hello(
        connection: Connection,
        app: &AppId,
        id: &str,
        token: Option<&AccessToken>,
        resume: Option<Resume>,
    ) -> Result<Self, String> {
        let requests = resume.as_ref().map_or(0, |hint| hint.sent);
        let (_, hello) = client::start(&client::Hello {
            app_id: app,
            user_id: &user(id),
            token,
            client: "test/1",
            resume,
        });
        let mut peer = Self { connection, requests, ack: Value::Null };
        peer.connection.send(Message::from(hello)).await.unwrap();
        let ack = peer.recv().await;
        if ack["t"] == "session.close" {
            return Err(ack["d"]["code"].as_str().unwrap().to_owned());
        }
        assert_eq!((&ack["t"], &ack["to"]), (&json!("users.auth.ack"), &json!(1)), "{ack}");
        peer.ack = ack["d"].clone();
        if ack["d"]["ok"] == true {
            Ok(peer)
        } else {
            Err(ack["d"]["error"]["code"].as_str().unwrap().to_owned())
        }
    }

    /// Returns the resume request of a client that has received the messages up to `seen`.
    pub(crate) fn hint(&self, seen: u64) -> Resume {
        let key = self.ack["session"]["key"].as_str().unwrap();
        Resume { key: SessionKey::new(key), seen, sent: self.requests }
    }

    /// Returns the reason why the session is fresh; `None` if it was resumed.
    pub(crate) fn fresh(&self) -> Option<&str> {
        self.ack["session"].get("fresh").map(|why| why.as_str().unwrap())
    }

    /// Asserts that the session was resumed, with these numbers.
    pub(crate) fn resumed(&self, replayed: u64, received: u64) {
        let expected = json!({ "replayed": replayed, "received": received });
        assert_eq!(self.ack["session"]["resumed"], expected, "{}", self.ack);
    }

    /// Receives these numbers, as [`World::tell`] publishes them, in envelopes numbered from `s`.
    pub(crate) async fn receive_events(&mut self, numbers: RangeInclusive<u64>, s: u64) {
        for (n, s) in numbers.zip(s..) {
            let event = self.recv().await;
            assert_eq!((&event["d"]["data"], &event["s"]), (&json!(n), &json!(s)), "{event}");
        }
    }

    /// Asserts that no message precedes the acknowledgement of a request.
    pub(crate) async fn receives_nothing(&mut self) {
        assert_eq!(self.request("ping", json!({})).await["ok"], true);
    }

    pub(crate) async fn recv(&mut self) -> Value {
        let received = timeout(LONG, self.connection.recv()).await.expect("something arrives, or the end");
        serde_json::from_str(received.unwrap().as_str()).unwrap()
    }

    pub(crate) async fn send(&mut self, text: impl Into<Message>) {
        self.connection.send(text.into()).await.unwrap();
    }

    pub(crate) async fn send_request(&mut self, t: &str, d: Value) -> u64 {
        self.requests += 1;
        self.send(json!({ "t": t, "d": d, "r": self.requests }).to_string()).await;
        self.requests
    }

    /// Sends a request. Returns the body of its acknowledgement, which must be the next message.
    pub(crate) async fn request(&mut self, t: &str, d: Value) -> Value {
        let r = self.send_request(t, d).await;
        let ack = self.recv().await;
        assert_eq!((&ack["t"], &ack["to"]), (&json!(format!("{t}.ack")), &json!(r)), "{ack}");
        ack["d"].clone()
    }

    /// Receives `session.close` and the close, and asserts that both have `code`.
    pub(crate) async fn ended_with(&mut self, code: Code) {
        let close = self.recv().await;
        assert_eq!(
            (&close["t"], &close["d"]["code"]),
            (&json!("session.close"), &json!(code.as_str())),
            "{close}"
        );
        assert_eq!(close["d"]["advice"], code.advice().as_str());
        self.closed_with(code).await;
    }

    /// Receives the close, and asserts that it has `code`.
    pub(crate) async fn closed_with(&mut self, code: Code) {
        let closed = timeout(LONG, self.connection.recv()).await.expect("the end comes").unwrap_err();
        assert!(matches!(closed, Closed::ByPeer(_)), "{closed:?}");
        assert_eq!(closed.code(), code.number());
    }
}
