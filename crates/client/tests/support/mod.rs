//! A test server for one connection at a time, built on the server half of the handshake, and a client connected to it.

#![allow(dead_code, reason = "each test file uses a part")]

use std::{collections::VecDeque, fmt, time::Duration};

use async_trait::async_trait;
use chatcamp_auth::{
    Keyring,
    authenticator::{Admission, OriginHeader, SessionLimit},
    server::{self, AwaitVerdict, Opening},
    session_key::ProvenBy,
    token::Stamp,
};
use chatcamp_client::{
    Builder, ChatCamp, Event, Events,
    transport::{Close, Closed, ConnectError, Connection, Listener, Message, Transport, memory},
};
use chatcamp_protocol::{
    AppId, Code, Envelope, Profile, SessionKey, User, UserId, envelope,
    handshake::{Continuity, FreshReason, Offer},
    sequence::Counter,
};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Longer than any time limit of a client. Time is paused, so waiting this long takes no real time.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Returns a client of the app `demo`, and the server that it connects to.
pub(crate) fn network() -> (Builder, Server) {
    let (transport, listener) = memory::network();
    (ChatCamp::builder("demo").transport(transport), Server { listener })
}

pub(crate) struct Server {
    listener: memory::Listener,
}

/// A connection whose `users.auth` has been read.
pub(crate) struct Asked {
    pub(crate) verdict: AwaitVerdict,
    peer: Peer,
}

/// The server's end of a connection.
pub(crate) struct Peer {
    connection: Connection,
    sequence: Counter,
}

pub(crate) fn user(id: &str) -> User {
    User {
        id: UserId::new(id).unwrap(),
        profile: Profile::default(),
        last_seen: 0,
        is_online: true,
        is_suspended: false,
        check_access_token: false,
        access_token: None,
    }
}

pub(crate) fn with_profile(profile: Profile) -> User {
    User { profile, ..user("alice") }
}

pub(crate) fn offer() -> Offer {
    Offer {
        key: SessionKey::from("key"),
        expires_in: 86_400,
        continuity: Continuity::Fresh(FreshReason::New),
        heartbeat: 25,
    }
}

impl Server {
    pub(crate) fn of(listener: memory::Listener) -> Self {
        Self { listener }
    }

    /// Accepts and admits the next connection, which must be of this user.
    pub(crate) async fn asked_and_admitted(&mut self, user: &str) -> Peer {
        let asked = self.asked().await;
        assert_eq!(asked.user(), user);
        asked.admit().await
    }

    /// Waits for a connection.
    pub(crate) async fn accept(&mut self) -> Peer {
        Peer::accepted_by(&mut self.listener).await
    }

    /// Returns whether no connection arrives for a long time.
    pub(crate) async fn receives_no_connection(&mut self) -> bool {
        timeout(LONG, self.listener.accept()).await.is_err()
    }

    /// Waits for a connection and its `users.auth`.
    pub(crate) async fn asked(&mut self) -> Asked {
        self.accept().await.asked().await
    }

    /// Waits for a connection and admits its user.
    pub(crate) async fn admit(&mut self) -> Peer {
        self.asked().await.admit().await
    }
}

impl Asked {
    pub(crate) async fn admit(self) -> Peer {
        self.admit_with(&offer(), None).await
    }

    /// Admits with this session, and a token that ends after `lifetime` seconds.
    pub(crate) async fn admit_with(self, offer: &Offer, lifetime: Option<u64>) -> Peer {
        let user = user(self.verdict.question(OriginHeader::Absent).user_id.as_str());
        self.admit_user(user, offer, lifetime).await
    }

    /// Admits a user other than the one that connects.
    pub(crate) async fn admit_as(self, id: &str) -> Peer {
        self.admit_user(user(id), &offer(), None).await
    }

    async fn admit_user(self, user: User, offer: &Offer, lifetime: Option<u64>) -> Peer {
        let Self { verdict, mut peer } = self;
        let admission = Admission {
            app: AppId::new("demo").unwrap(),
            user,
            stamp: Stamp([0; 16]),
            proven_by: ProvenBy::UserId,
            valid_until: lifetime,
            sessions: SessionLimit::default(),
        };
        let (_, ack) = verdict.admit(admission, offer, 0);
        peer.send_text(&ack).await;
        peer
    }

    pub(crate) async fn refuse(self, code: Code) {
        let Self { verdict, peer } = self;
        peer.end(verdict.refuse(code)).await;
    }

    pub(crate) async fn defer(self, code: Code, after: Duration) {
        let Self { verdict, peer } = self;
        peer.end(verdict.defer(code, after)).await;
    }

    /// Returns the presented token as text.
    pub(crate) fn token(&self) -> Option<String> {
        match self.verdict.proof() {
            chatcamp_auth::authenticator::Proof::Token(token) => Some(token.expose().to_owned()),
            _ => None,
        }
    }

    pub(crate) fn user(&self) -> String {
        self.verdict.question(OriginHeader::Absent).user_id.to_string()
    }

    /// Returns the numbers that the client sent to resume its session: the highest received, and the highest sent.
    pub(crate) fn resume(&self) -> Option<(u64, u64)> {
        self.verdict.resume().map(|hint| (hint.seen, hint.sent))
    }
}

impl Peer {
    pub(crate) async fn accepted_by(listener: &mut impl Listener) -> Self {
        let connection = timeout(LONG, listener.accept()).await.expect("a connection in time");
        Self { connection: connection.expect("the client is alive"), sequence: Counter::default() }
    }

    pub(crate) async fn asked(mut self) -> Asked {
        let text = self.receive().await;
        let keyring = Keyring::new(vec![[7; 32]]).unwrap();
        let Ok(Opening::Native(half)) = server::open(None, &keyring, 0) else { panic!("no query is native") };
        Asked { verdict: half.on_message(text.as_str(), &keyring).unwrap(), peer: self }
    }

    /// Waits for a request. Returns its type, number and body.
    pub(crate) async fn request(&mut self) -> (String, u64, Value) {
        let text = self.receive().await;
        let envelope = Envelope::parse(text.as_str()).unwrap();
        (envelope.t.clone().into_owned(), envelope.r.unwrap(), envelope.body().unwrap())
    }

    pub(crate) async fn ack(&mut self, t: &str, r: u64, body: Value) {
        self.numbered(&envelope::ack(t, Some(r), &body)).await;
    }

    pub(crate) async fn push(&mut self, t: &str, body: Value) {
        self.numbered(&envelope::push(t, &body)).await;
    }

    pub(crate) async fn numbered(&mut self, text: &str) {
        let text = envelope::number(text, self.sequence.next());
        self.send_text(&text).await;
    }

    /// Sends a text unchanged.
    pub(crate) async fn send_text(&mut self, text: &str) {
        self.connection.send(Message::from(text)).await.expect("the client is there");
    }

    async fn receive(&mut self) -> Message {
        timeout(LONG, self.connection.recv()).await.expect("a message in time").expect("the client is there")
    }

    /// Answers ten heartbeats. Returns whether no other connection arrives before the last.
    pub(crate) async fn stays_the_only_connection(&mut self, server: &mut Server) -> bool {
        let mut answered = 0;
        while answered < 10 {
            tokio::select! {
                (t, r, _) = self.request() => self.ack(&t, r, ok()).await,
                _ = server.accept() => return false,
            }
            answered += 1;
        }
        true
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> Closed {
        loop {
            if let Err(closed) = timeout(LONG, self.connection.recv()).await.expect("an end in time") {
                return closed;
            }
        }
    }

    /// Ends a live connection for this reason.
    pub(crate) async fn end_live(self, code: Code, after: Option<Duration>) {
        self.end(server::ended(server::Dialect::Native, code, after)).await;
    }

    /// Closes the connection with this number, without a final message.
    pub(crate) async fn close(mut self, number: u16) {
        self.connection.close(Close::new(number, "")).await;
    }

    /// Cuts the connection.
    pub(crate) fn cut(self) {}

    async fn end(mut self, ended: server::Ended) {
        // The client may have disconnected, or disconnect during the send.
        if let Some(words) = ended.final_message {
            let _ = self.connection.send(words.into()).await;
        }
        self.connection.close(Close::new(ended.code.number(), ended.code.reason())).await;
    }
}

/// Returns a short form of the next event, for comparisons.
pub(crate) async fn next(events: &mut Events) -> String {
    match timeout(LONG, events.next()).await.expect("an event in time") {
        None => "end".to_owned(),
        Some(event) => short(&event),
    }
}

pub(crate) async fn take(events: &mut Events, count: usize) -> Vec<String> {
    let mut taken = VecDeque::new();
    while taken.len() < count {
        taken.push_back(next(events).await);
    }
    taken.into()
}

fn short(event: &Event) -> String {
    match event {
        Event::Connected { user, continuity: Continuity::Fresh(why), .. } => {
            format!("connected {} {why:?}", user.id)
        }
        Event::Connected { user, .. } => format!("connected {} resumed", user.id),
        Event::Reconnecting { why, .. } => format!("reconnecting {}", variant(why)),
        Event::Disconnected { reason } => format!("disconnected {}", variant(reason)),
        Event::UserChanged(user) => format!("user {}", user.profile.display_name),
        Event::TokenExpires { expires_in, refreshable } => {
            format!("token expires in {}, {refreshable}", expires_in.as_secs())
        }
        Event::App { kind, data } => format!("app {kind} {}", data.as_str()),
        Event::Other { t, d } => format!("other {t} {}", d.as_str()),
        Event::Lagged { missed } => format!("lagged {missed}"),
        _ => "something new".to_owned(),
    }
}

/// Returns the name of an enum's variant.
pub(crate) fn variant(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("").to_owned()
}

pub(crate) fn ok() -> Value {
    json!({"ok": true})
}

/// A transport that reports that it is not encrypted.
#[derive(Debug)]
pub(crate) struct Exposed(pub(crate) memory::Transport);

#[async_trait]
impl Transport for Exposed {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        self.0.connect().await
    }

    fn is_exposed(&self) -> bool {
        true
    }
}
