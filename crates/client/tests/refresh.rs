//! Refreshed credentials on a live connection, acknowledgements of received messages, and hints of the application.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use chatcamp_auth::{
    Credential,
    credential::{CredentialReason, Unavailable, from_fn},
};
use chatcamp_client::{ChatCamp, Code, Events, Login};
use serde_json::{Value, json};
use support::{Peer, Server, network, next, offer, ok, take};
use tokio::{join, time::Instant};

/// The lifetime of the first token, in seconds.
const LIFETIME: u64 = 100;

/// A provider that returns these tokens in turn, and fails in place of `None`. Records when and why it was asked.
#[derive(Clone, Default)]
struct Script {
    tokens: Arc<Mutex<VecDeque<Option<&'static str>>>>,
    asked: Arc<Mutex<Vec<(CredentialReason, Instant)>>>,
}

impl Script {
    fn of(tokens: &[Option<&'static str>]) -> Self {
        let script = Self::default();
        script.tokens.lock().unwrap().extend(tokens);
        script
    }

    fn login(&self) -> Login {
        let script = self.clone();
        Login::new("alice").provider(from_fn(move |why| {
            script.asked.lock().unwrap().push((why, Instant::now()));
            let token = script.tokens.lock().unwrap().pop_front().flatten();
            async move { token.map(Credential::token).ok_or_else(|| Unavailable("none today".into())) }
        }))
    }

    fn whys(&self) -> Vec<CredentialReason> {
        self.asked.lock().unwrap().iter().map(|(why, _)| *why).collect()
    }

    /// Returns the seconds from `start` until the provider was asked for the `n`th time.
    fn second(&self, n: usize, start: Instant) -> u64 {
        self.asked.lock().unwrap()[n].1.duration_since(start).as_secs()
    }
}

async fn connected(script: &Script) -> (ChatCamp, Events, Server, Peer) {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let serve = async { server.asked().await.admit_with(&offer(), Some(LIFETIME)).await };
    let (user, peer) = join!(chat.connect(script.login()), serve);
    user.unwrap();
    assert_eq!(take(&mut events, 2).await, ["connected alice New", "token expires in 100, true"]);
    (chat, events, server, peer)
}

/// Returns the next request that is not a heartbeat. Answers heartbeats.
async fn request(peer: &mut Peer) -> (String, u64, Value) {
    loop {
        let (t, r, d) = peer.request().await;
        if t != "ping" {
            return (t, r, d);
        }
        peer.ack(&t, r, ok()).await;
    }
}

async fn refuse(peer: &mut Peer, t: &str, r: u64, code: &str) {
    peer.ack(t, r, json!({"ok": false, "error": {"code": code, "message": ""}})).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_requested_and_presented_before_the_current_one_expires() {
    let script = Script::of(&[Some("one"), Some("two"), Some("three")]);
    let start = Instant::now();
    let (_chat, mut events, _server, mut peer) = connected(&script).await;
    for (n, token) in [(1, "two"), (2, "three")] {
        let since = Instant::now();
        let (t, r, d) = request(&mut peer).await;
        assert_eq!((t.as_str(), &d), ("users.refresh", &json!({"access_token": token})));
        let asked_after = script.second(n, start) - since.duration_since(start).as_secs();
        assert!((75..=85).contains(&asked_after), "{asked_after} s of 100");
        peer.ack(&t, r, json!({"ok": true, "token_expires_in": LIFETIME})).await;
        assert_eq!(next(&mut events).await, "token expires in 100, true");
    }
    assert_eq!(
        script.whys(),
        [CredentialReason::Initial, CredentialReason::Expiring, CredentialReason::Expiring]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_is_tried_once_more_and_then_left_until_the_end() {
    let script = Script::of(&[Some("one"), Some("two"), Some("three"), Some("four")]);
    let (_chat, mut events, mut server, mut peer) = connected(&script).await;
    for token in ["two", "three"] {
        let (t, r, d) = request(&mut peer).await;
        assert_eq!(d["access_token"], token);
        refuse(&mut peer, &t, r, "TOKEN_REFUSED").await;
    }
    peer.end_live(Code::AccessTokenExpired, None).await;
    assert_eq!(next(&mut events).await, "reconnecting Server");
    assert_eq!(server.asked().await.token().as_deref(), Some("four"));
    let refused = CredentialReason::Rejected(Code::AccessTokenInvalid);
    let expired = CredentialReason::Rejected(Code::AccessTokenExpired);
    assert_eq!(script.whys(), [CredentialReason::Initial, CredentialReason::Expiring, refused, expired]);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_refresh_is_not_asked_again() {
    let script = Script::of(&[Some("one"), Some("two")]);
    let (_chat, _events, mut server, mut peer) = connected(&script).await;
    let (t, r, _) = request(&mut peer).await;
    refuse(&mut peer, &t, r, "UNKNOWN_TYPE").await;
    assert!(peer.stays_the_only_connection(&mut server).await);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_or_offers_the_same_is_asked_again_while_there_is_time() {
    let script = Script::of(&[Some("one"), None, Some("one"), Some("two")]);
    let start = Instant::now();
    let (_chat, _events, _server, mut peer) = connected(&script).await;
    let (_, _, d) = request(&mut peer).await;
    assert_eq!(d["access_token"], "two");
    let seconds: Vec<_> = (1..=3).map(|n| script.second(n, start)).collect();
    assert!(seconds.is_sorted() && seconds[2] < LIFETIME, "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_the_server_cannot_check_now_is_repeated() {
    for code in ["RATE_LIMITED", "STORE_UNAVAILABLE"] {
        let script = Script::of(&[Some("one"), Some("two"), Some("two")]);
        let (_chat, mut events, _server, mut peer) = connected(&script).await;
        let (t, r, _) = request(&mut peer).await;
        refuse(&mut peer, &t, r, code).await;
        let (t, r, d) = request(&mut peer).await;
        assert_eq!(d, json!({"access_token": "two"}), "{code}");
        peer.ack(&t, r, json!({"ok": true, "token_expires_in": LIFETIME})).await;
        assert_eq!(next(&mut events).await, "token expires in 100, true");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_an_earlier_connection_is_ignored() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let login = Login::new("alice").provider(from_fn(move |why| {
        log.lock().unwrap().push(why);
        async move {
            match why {
                CredentialReason::Initial => Ok(Credential::token("one")),
                CredentialReason::Expiring => std::future::pending().await,
                _ => Ok(Credential::token("two")),
            }
        }
    }));
    let serve = async { server.asked().await.admit_with(&offer(), Some(LIFETIME)).await };
    let (_, mut peer) = join!(chat.connect(login), serve);
    while asked.lock().unwrap().len() < 2 {
        let (t, r, _) = peer.request().await;
        peer.ack(&t, r, ok()).await;
    }
    peer.cut();
    assert_eq!(server.asked().await.token().as_deref(), Some("two"));
    assert_eq!(asked.lock().unwrap().last(), Some(&CredentialReason::Reconnect));
}

#[tokio::test(start_paused = true)]
async fn received_messages_are_acknowledged_before_they_are_many() {
    for (bytes, until) in [(1, 250), (60_000, 5)] {
        let script = Script::of(&[Some("one")]);
        let (_chat, _events, _server, mut peer) = connected(&script).await;
        let start = Instant::now();
        for n in 1..=until {
            peer.push("app.event.pub", json!({"ok": true, "type": "n", "data": [n, "x".repeat(bytes)]}))
                .await;
        }
        let (t, _, d) = peer.request().await;
        assert_eq!((t.as_str(), &d["seen"]), ("ping", &json!(until)));
        assert_eq!(start.elapsed().as_secs(), 0, "no heartbeat is due yet");
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_network_ends_the_wait_for_the_next_attempt() {
    let script = Script::of(&[Some("one")]);
    let (chat, mut events, mut server, peer) = connected(&script).await;
    peer.end_live(Code::ShuttingDown, Some(Duration::from_secs(60))).await;
    assert_eq!(next(&mut events).await, "reconnecting Server");
    let start = Instant::now();
    let (_peer, ()) = join!(server.admit(), chat.network_changed());
    assert_eq!(start.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_network_change_a_connection_is_verified_within_five_seconds() {
    let script = Script::of(&[Some("one")]);
    let (chat, mut events, _server, mut peer) = connected(&script).await;
    chat.network_changed().await;
    let (t, r, _) = peer.request().await;
    peer.ack(&t, r, ok()).await;
    let start = Instant::now();
    let (t, ..) = peer.request().await;
    assert_eq!((t.as_str(), start.elapsed().as_secs()), ("ping", 25), "it is proved, and lives on");

    chat.network_changed().await;
    let start = Instant::now();
    assert_eq!(next(&mut events).await, "reconnecting Silent");
    assert_eq!(start.elapsed().as_secs(), 5);
}
