//! A server of one connection at a time, made from the handshake's other half, and a client to it.

#![allow(dead_code, reason = "each test file uses a part")]

use std::{collections::VecDeque, fmt, time::Duration};

use async_trait::async_trait;
use chatcamp_auth::{
    Keyring,
    authenticator::{Admission, SessionLimit},
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

/// Longer than anything a client waits for; time is paused, so it costs nothing.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A client of the app `demo`, and the server it reaches.
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

/// A connection, as its server sees it.
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

    /// Admits the next connection, which must be this user's.
    pub(crate) async fn asked_and_admitted(&mut self, user: &str) -> Peer {
        let asked = self.asked().await;
        assert_eq!(asked.user(), user);
        asked.admit().await
    }

    /// Waits for a connection.
    pub(crate) async fn accept(&mut self) -> Peer {
        Peer::accepted_by(&mut self.listener).await
    }

    /// Whether no connection comes for a long time.
    pub(crate) async fn stays_alone(&mut self) -> bool {
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
        let user = user(self.verdict.question().user_id.as_str());
        self.admit_user(user, offer, lifetime).await
    }

    /// Admits another user than the one who asks.
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
        peer.say(&ack).await;
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

    /// The token presented, as text.
    pub(crate) fn token(&self) -> Option<String> {
        match self.verdict.question().proof {
            chatcamp_auth::authenticator::Proof::Token(token) => Some(token.expose().to_owned()),
            _ => None,
        }
    }

    pub(crate) fn user(&self) -> String {
        self.verdict.question().user_id.to_string()
    }

    /// The numbers of the session the client asks for again.
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
        let text = self.hear().await;
        let keyring = Keyring::new(vec![[7; 32]]).unwrap();
        let Ok(Opening::Native(half)) = server::open(None, &keyring, 0) else { panic!("no query is native") };
        Asked { verdict: half.on_message(text.as_str(), &keyring).unwrap(), peer: self }
    }

    /// Waits for a request; gives type, number and body.
    pub(crate) async fn request(&mut self) -> (String, u64, Value) {
        let text = self.hear().await;
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
        self.say(&text).await;
    }

    /// Says it as it is.
    pub(crate) async fn say(&mut self, text: &str) {
        self.connection.send(Message::from(text)).await.expect("the client is there");
    }

    async fn hear(&mut self) -> Message {
        timeout(LONG, self.connection.recv()).await.expect("a message in time").expect("the client is there")
    }

    /// Whether this stays the only connection for ten heartbeats.
    pub(crate) async fn lives_alone(&mut self, server: &mut Server) -> bool {
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
    pub(crate) async fn farewell(self, code: Code, after: Option<Duration>) {
        self.end(server::ended(server::Dialect::Native, code, after)).await;
    }

    /// Ends without a word, with this number.
    pub(crate) async fn close(mut self, number: u16) {
        self.connection.close(Close::new(number, "")).await;
    }

    /// Pulls the cable.
    pub(crate) fn cut(self) {}

    async fn end(mut self, ended: server::Ended) {
        // The client may be gone already, or go while it is told.
        if let Some(words) = ended.final_message {
            let _ = self.connection.send(words.into()).await;
        }
        self.connection.close(Close::new(ended.code.number(), ended.code.reason())).await;
    }
}

/// The next event, in short, for comparing.
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

/// The name of an enum's variant.
pub(crate) fn variant(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("").to_owned()
}

pub(crate) fn ok() -> Value {
    json!({"ok": true})
}

/// A transport on which others can read.
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
