//! Regression tests for providers that hang, answer at once or are overtaken.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chatcamp_auth::{
    Credential,
    credential::{CredentialReason, from_fn},
};
use chatcamp_client::Login;
use chatcamp_protocol::{
    Code, SessionKey,
    handshake::{Continuity, Offer},
};
use serde_json::json;
use support::{network, offer, ok, take};
use tokio::{join, time::Instant};

type Log = Arc<Mutex<Vec<(CredentialReason, Instant)>>>;

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_after_the_stated_lifetime_does_not_cause_a_storm() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let asked = Log::default();
    let log = asked.clone();
    // The provider says 10 s; the token itself has no end, so that the server goes on with the session.
    let login = Login::new("alice").provider(from_fn(move |why| {
        let n = {
            let mut l = log.lock().unwrap();
            l.push((why, Instant::now()));
            l.len()
        };
        async move {
            Ok(Credential {
                lifetime: Some(Duration::from_secs(10)),
                ..Credential::token(format!("token {n}"))
            })
        }
    }));
    let (user, mut peer) = join!(chat.connect(login), server.admit());
    user.unwrap();
    let start = Instant::now();
    let mut refreshes = 0;
    while start.elapsed() < Duration::from_secs(60) && refreshes < 1000 {
        let (t, r, _) = peer.request().await;
        if t == "ping" {
            peer.ack(&t, r, ok()).await;
        } else {
            refreshes += 1;
            peer.ack(&t, r, json!({"ok": false, "error": {"code": "TOKEN_REFUSED", "message": ""}})).await;
        }
    }
    let asks = asked.lock().unwrap().len();
    assert!(
        asks < 100,
        "the provider was asked {asks} times, {refreshes} refreshes within {:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_that_expire_at_once_do_not_cause_a_storm() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let asked = Log::default();
    let log = asked.clone();
    let login =
        Login::new("alice").provider(from_fn(move |why| {
            let n = {
                let mut l = log.lock().unwrap();
                l.push((why, Instant::now()));
                l.len()
            };
            async move {
                Ok(Credential { lifetime: Some(Duration::ZERO), ..Credential::token(format!("token {n}")) })
            }
        }));
    let (user, mut peer) = join!(chat.connect(login), server.admit());
    user.unwrap();
    let start = Instant::now();
    let mut refreshes = 0;
    while start.elapsed() < Duration::from_secs(60) && refreshes < 1000 {
        let (t, r, _) = peer.request().await;
        refreshes += usize::from(t != "ping");
        peer.ack(&t, r, ok()).await;
    }
    assert!(refreshes < 100, "{refreshes} refreshes within {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_asked_again_while_there_is_time() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let asked = Log::default();
    let log = asked.clone();
    let login = Login::new("alice").provider(from_fn(move |why| {
        let n = {
            let mut l = log.lock().unwrap();
            l.push((why, Instant::now()));
            l.len()
        };
        async move {
            match n {
                1 => Ok(Credential::token("one")),
                2 => std::future::pending().await,
                _ => Ok(Credential::token("two")),
            }
        }
    }));
    let serve = async { server.asked().await.admit_with(&offer(), Some(3600)).await };
    let (_, mut peer) = join!(chat.connect(login), serve);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3600) && asked.lock().unwrap().len() < 3 {
        let (t, r, _) = peer.request().await;
        peer.ack(&t, r, ok()).await;
    }
    let asks = asked.lock().unwrap().len();
    assert!(asks >= 3, "asked {asks} times; the question of second ~2880 has hung until the token's end");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_an_older_generation_is_not_repeated_after_a_newer_credential() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let n = Arc::new(Mutex::new(0));
    let login = Login::new("alice").provider(from_fn(move |_| {
        *n.lock().unwrap() += 1;
        let token = format!("token {}", *n.lock().unwrap());
        async move { Ok(Credential::token(token)) }
    }));
    let serve = async { server.asked().await.admit_with(&offer(), Some(100)).await };
    let (_, mut peer) = join!(chat.connect(login), serve);
    take(&mut events, 2).await;
    let (received, body) = loop {
        let (t, r, d) = peer.request().await;
        if t == "users.refresh" {
            break (r - 1, d);
        }
        peer.ack(&t, r, ok()).await;
    };
    assert_eq!(body["access_token"], "token 2");
    // The server reports that it has not received the request.
    peer.cut();
    let asked = server.asked().await;
    let presented = asked.token().unwrap();
    let resumed = Offer {
        key: SessionKey::from("key2"),
        continuity: Continuity::Resumed { replayed: 0, received },
        ..offer()
    };
    let mut peer = asked.admit_with(&resumed, Some(100)).await;
    let (t, _, d) = peer.request().await;
    assert!(
        t != "users.refresh" || d["access_token"] == presented.as_str(),
        "connected with {presented}, then put back {}",
        d["access_token"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_a_replaced_source_is_not_repeated() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let login = Login::new("alice").provider(from_fn(|why| async move {
        Ok(Credential::token(if why == CredentialReason::Initial { "old 1" } else { "old 2" }))
    }));
    let serve = async { server.asked().await.admit_with(&offer(), Some(100)).await };
    let (_, mut peer) = join!(chat.connect(login), serve);
    take(&mut events, 2).await;
    let received = loop {
        let (t, r, _) = peer.request().await;
        if t == "users.refresh" {
            break r - 1;
        }
        peer.ack(&t, r, ok()).await;
    };
    let resumed = Offer {
        key: SessionKey::from("key2"),
        continuity: Continuity::Resumed { replayed: 0, received },
        ..offer()
    };
    let serve = async {
        let asked = server.asked().await;
        assert_eq!(asked.token().as_deref(), Some("new"));
        asked.admit_with(&resumed, None).await
    };
    let (user, mut peer2) = join!(chat.connect(("alice", "new")), serve);
    user.unwrap();
    let (t, _, d) = peer2.request().await;
    assert_ne!(t, "users.refresh", "the replaced credential is put back: {d}");
}

#[tokio::test(start_paused = true)]
async fn a_new_closure_on_every_call_joins_the_connection_and_is_asked_next() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let login = |n: u32| {
        let log = asked.clone();
        Login::new("alice").provider(from_fn(move |why| {
            log.lock().unwrap().push((n, why));
            async move { Ok(Credential::token(format!("token {n}"))) }
        }))
    };
    let (first, second, peer) = join!(chat.connect(login(1)), chat.connect(login(2)), server.admit());
    first.unwrap();
    second.unwrap();
    chat.connect(login(3)).await.unwrap();
    assert_eq!(take(&mut events, 1).await, ["connected alice New"]);
    assert_eq!(*asked.lock().unwrap(), [(1, CredentialReason::Initial)], "all calls share one connection");

    peer.end_live(Code::AccessTokenExpired, None).await;
    let again = server.asked().await;
    assert_eq!(again.token().as_deref(), Some("token 3"));
    let _peer = again.admit().await;
    let expected =
        [(1, CredentialReason::Initial), (3, CredentialReason::Rejected(Code::AccessTokenExpired))];
    assert_eq!(*asked.lock().unwrap(), expected, "the newest provider is asked next");

    // Another kind of credential replaces the connection as before.
    let (user, _peer) = join!(chat.connect(("alice", "constant")), server.admit());
    user.unwrap();
}
