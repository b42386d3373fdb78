//! Connecting by id, token or provider; attempts that are refused, deferred, joined, replaced, superseded or abandoned.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chatcamp_auth::{
    Credential, CredentialProvider,
    credential::{CredentialReason, Unavailable, from_fn},
};
use chatcamp_client::{
    ChatCamp, Code, ConnectError, Direction, EndReason, Login, Reconnect, State, transport::memory,
};
use support::{Exposed, LONG, Server, network, next, take, variant};
use tokio::{
    join,
    time::{Instant, timeout},
};

/// A provider that returns these tokens in turn, then always the last one, and records the reasons for which it was asked.
fn provider(
    tokens: &[&'static str],
) -> (impl CredentialProvider + 'static, Arc<Mutex<Vec<CredentialReason>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (tokens, log) = (tokens.to_vec(), Arc::clone(&asked));
    let provide = from_fn(move |why| {
        let mut log = log.lock().unwrap();
        let token = tokens[log.len().min(tokens.len() - 1)];
        log.push(why);
        async move { Ok(Credential::token(token)) }
    });
    (provide, asked)
}

async fn admit_one(server: &mut Server) -> (Option<String>, support::Peer) {
    let asked = server.asked().await;
    (asked.token(), asked.admit().await)
}

#[tokio::test(start_paused = true)]
async fn a_user_connects_by_id_by_token_and_by_provider() {
    let (constant, _) = provider(&["provided"]);
    for (login, token) in [
        (Login::from("alice"), None),
        (Login::from(("alice", "given")), Some("given")),
        (Login::new("alice").provider(constant), Some("provided")),
    ] {
        let (builder, mut server) = network();
        let chat = builder.build().unwrap();
        let mut events = chat.events();
        let (user, (presented, _peer)) = join!(chat.connect(login), admit_one(&mut server));
        assert_eq!(user.unwrap().id.as_str(), "alice");
        assert_eq!(presented.as_deref(), token);
        assert_eq!(next(&mut events).await, "connected alice New");
        assert!(matches!(chat.state(), State::Connected));
        assert_eq!(chat.current_user().unwrap().id.as_str(), "alice");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_user_id_is_refused_without_dialling() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    for id in ["", "a\nb"] {
        assert!(matches!(chat.connect(id).await, Err(ConnectError::UserId(_))));
    }
    assert!(server.receives_no_connection().await);
}

#[tokio::test(start_paused = true)]
async fn a_refused_first_connect_reports_the_code_and_does_not_retry() {
    for code in [Code::AppNotFound, Code::AccessTokenInvalid, Code::UserSuspended] {
        let (builder, mut server) = network();
        let chat = builder.build().unwrap();
        let mut events = chat.events();
        let (refused, ()) =
            join!(chat.connect(("alice", "t")), async { server.asked().await.refuse(code).await });
        let Err(ConnectError::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.known_code(), Some(code));
        assert_eq!(next(&mut events).await, "disconnected Refused");
        assert!(matches!(chat.state(), State::Disconnected(EndReason::Refused(_))));
        assert!(server.receives_no_connection().await, "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_asked_once_more_when_its_token_is_refused() {
    for (tokens, admitted) in [(["old", "new"], true), (["same", "same"], false), (["bad", "worse"], false)] {
        let (builder, mut server) = network();
        let chat = builder.build().unwrap();
        let (provide, asked) = provider(&tokens);
        let serve = async {
            loop {
                let asked = server.asked().await;
                if asked.token().as_deref() == Some("new") {
                    return asked.admit().await;
                }
                asked.refuse(Code::AccessTokenExpired).await;
            }
        };
        let (connected, _peer) =
            join!(chat.connect(Login::new("alice").provider(provide)), timeout(LONG / 2, serve));
        assert_eq!(connected.is_ok(), admitted, "{tokens:?}");
        let expected = [CredentialReason::Initial, CredentialReason::Rejected(Code::AccessTokenExpired)];
        assert_eq!(*asked.lock().unwrap(), expected, "{tokens:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_terminal_refusal_does_not_ask_the_provider_again() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let (provide, asked) = provider(&["a", "b"]);
    let login = Login::new("alice").provider(provide);
    let (refused, ()) =
        join!(chat.connect(login), async { server.asked().await.refuse(Code::UserSuspended).await });
    assert!(matches!(refused, Err(ConnectError::Refused(_))));
    assert_eq!(*asked.lock().unwrap(), [CredentialReason::Initial]);
}

#[tokio::test(start_paused = true)]
async fn an_immediate_failure_is_reported_by_the_first_connect() {
    for (how, expected) in [
        ("no listener", "Unreachable"),
        ("cut", "Lost"),
        ("silent", "TimedOut"),
        ("nonsense", "Violation"),
        ("later", "NotNow"),
        ("later by number", "NotNow"),
        ("never by number", "Refused"),
    ] {
        let (builder, mut server) = network();
        let chat = builder.build().unwrap();
        let serve = async {
            if how == "no listener" {
                return drop(server);
            }
            let asked = server.accept().await;
            match how {
                "cut" => asked.cut(),
                "nonsense" => {
                    let mut peer = asked;
                    peer.send_text(r#"{"t":"hello"}"#).await;
                }
                "later" => asked.asked().await.defer(Code::Overloaded, Duration::from_secs(7)).await,
                "later by number" => asked.close(Code::Overloaded.number()).await,
                "never by number" => asked.close(Code::AppNotFound.number()).await,
                _ => drop(asked.ended().await),
            }
        };
        let (failed, ()) = join!(chat.connect("alice"), serve);
        let error = failed.unwrap_err();
        assert_eq!(variant(&error), expected, "{how}: {error:?}");
        assert_eq!(error.is_retryable(), expected != "Refused", "{how}");
        assert!(matches!(chat.state(), State::Disconnected(_)), "{how}");
        if let ConnectError::NotNow { after, .. } = error {
            assert_eq!(after, (how == "later").then_some(Duration::from_secs(7)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keep_trying_waits_as_long_as_the_server_asks_and_then_connects() {
    let (builder, mut server) = network();
    let chat = builder.reconnect(Reconnect::default().keep_trying()).build().unwrap();
    let mut events = chat.events();
    let start = Instant::now();
    let serve = async {
        server.accept().await.cut();
        server.asked().await.defer(Code::ShuttingDown, Duration::from_secs(90)).await;
        assert!(matches!(chat.state(), State::Connecting));
        server.admit().await
    };
    let (user, _peer) = join!(chat.connect("alice"), serve);
    assert_eq!(user.unwrap().id.as_str(), "alice");
    assert!(start.elapsed() >= Duration::from_secs(90));
    assert!(start.elapsed() <= Duration::from_secs(92));
    let expected = ["reconnecting Attempt", "reconnecting Attempt", "connected alice New"];
    assert_eq!(take(&mut events, 3).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_second_connect_ends_the_delay_for_all_that_wait() {
    let (builder, mut server) = network();
    let chat = builder.reconnect(Reconnect::default().keep_trying()).build().unwrap();
    let mut events = chat.events();
    let start = Instant::now();
    let serve = async {
        server.asked().await.defer(Code::ShuttingDown, Duration::from_secs(3600)).await;
        assert_eq!(next(&mut events).await, "reconnecting Attempt");
        let (second, peer) = join!(chat.connect("alice"), server.admit());
        second.unwrap();
        peer
    };
    let (first, _peer) = join!(chat.connect("alice"), serve);
    first.unwrap();
    assert_eq!(start.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn keep_trying_asks_a_failing_provider_again() {
    let (builder, mut server) = network();
    let chat = builder.reconnect(Reconnect::default().keep_trying()).build().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let login = Login::new("alice").provider(from_fn(move |why| {
        log.lock().unwrap().push(why);
        let first = log.lock().unwrap().len() == 1;
        async move {
            if first { Err(Unavailable("the backend is down".into())) } else { Ok(Credential::token("t")) }
        }
    }));
    let (user, _peer) = join!(chat.connect(login), server.admit());
    user.unwrap();
    assert_eq!(*asked.lock().unwrap(), [CredentialReason::Initial, CredentialReason::Initial]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_times_out() {
    let (builder, _server) = network();
    let chat = builder.build().unwrap();
    let login = Login::new("alice").provider(from_fn(|_| std::future::pending()));
    let start = Instant::now();
    let error = chat.connect(login).await.unwrap_err();
    assert_eq!(error.to_string(), "the credential provider failed: it did not answer within 20s");
    assert_eq!(start.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_not_sent_where_others_can_read_it() {
    for (token, allowed, goes) in [(None, false, true), (Some("t"), false, false), (Some("t"), true, true)] {
        let (transport, listener) = memory::network();
        let mut server = Server::of(listener);
        let builder = ChatCamp::builder("demo").transport(Exposed(transport));
        let chat = builder.dangerous_send_tokens_in_plaintext(allowed).build().unwrap();
        let login = token.map_or_else(|| Login::new("alice"), |token| Login::new("alice").token(token));
        if goes {
            let (user, _peer) = join!(chat.connect(login), server.admit());
            user.unwrap();
        } else {
            assert!(matches!(chat.connect(login).await, Err(ConnectError::TokenExposed)));
            assert!(server.receives_no_connection().await, "nothing was dialled");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_user_joins_the_attempt_and_then_is_connected_at_once() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let (a, b, mut peer) = join!(chat.connect("alice"), chat.connect("alice"), server.admit());
    assert_eq!(a.unwrap(), b.unwrap());
    chat.connect("alice").await.unwrap();
    assert!(peer.stays_the_only_connection(&mut server).await);
}

#[tokio::test(start_paused = true)]
async fn another_credential_replaces_the_attempt_and_both_calls_get_its_answer() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let serve = async {
        let first = server.accept().await;
        let second = chat.connect(("alice", "second"));
        let admit = async {
            let (token, peer) = admit_one(&mut server).await;
            assert_eq!(token.as_deref(), Some("second"));
            first.ended().await;
            peer
        };
        let (user, peer) = join!(second, admit);
        user.unwrap();
        peer
    };
    let (first, _peer) = join!(chat.connect(("alice", "first")), serve);
    first.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_credential_replaces_a_live_connection() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let (_, peer) = join!(chat.connect("alice"), server.admit());
    let (user, (token, _peer), _) = join!(chat.connect(("alice", "t")), admit_one(&mut server), peer.ended());
    user.unwrap();
    assert_eq!(token.as_deref(), Some("t"));
    let expected = ["connected alice New", "reconnecting CredentialReplaced", "connected alice New"];
    assert_eq!(take(&mut events, 3).await, expected);
}

#[tokio::test(start_paused = true)]
async fn another_user_supersedes_an_attempt() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let serve = async {
        let first = server.asked().await;
        let (user, second) = join!(chat.connect("bob"), server.asked_and_admitted("bob"));
        user.unwrap();
        drop(first);
        second
    };
    let (first, _peer) = join!(chat.connect("alice"), serve);
    assert!(matches!(first, Err(ConnectError::Superseded)), "{first:?}");
    assert_eq!(chat.current_user().unwrap().id.as_str(), "bob");
}

#[tokio::test(start_paused = true)]
async fn another_user_ends_the_session_of_the_first() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let (_, peer) = join!(chat.connect("alice"), server.admit());
    let (user, _peer, _) = join!(chat.connect("bob"), server.asked_and_admitted("bob"), peer.ended());
    user.unwrap();
    let expected = ["connected alice New", "disconnected Superseded", "connected bob New"];
    assert_eq!(take(&mut events, 3).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_no_call_waits_for_is_abandoned() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let peer = {
        let connecting = chat.connect("alice");
        tokio::pin!(connecting);
        tokio::select! {
            _ = &mut connecting => panic!("nobody answered"),
            peer = server.accept() => peer,
        }
    };
    peer.ended().await;
    assert_eq!(next(&mut events).await, "disconnected ByUs");
    assert!(matches!(chat.state(), State::Disconnected(EndReason::ByUs)));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_another_call_waits_for_continues() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let serve = async {
        let asked = server.asked().await;
        assert!(timeout(Duration::from_secs(1), chat.connect("alice")).await.is_err());
        asked.admit().await
    };
    let (user, _peer) = join!(chat.connect("alice"), serve);
    user.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_trace_shows_every_message_and_no_secret() {
    let (builder, mut server) = network();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let hook = move |direction: Direction, text: &str| log.lock().unwrap().push((direction, text.to_owned()));
    let chat = builder.trace(hook).build().unwrap();
    let (user, mut peer) = join!(chat.connect(("alice", "hunter2")), server.admit());
    user.unwrap();
    let answer = async {
        let (t, r, _) = peer.request().await;
        peer.ack(&t, r, support::ok()).await;
    };
    let (answered, ()) = join!(chat.request("users.get", serde_json::json!({"id": "alice"})), answer);
    answered.unwrap();
    let seen = seen.lock().unwrap();
    let shown: Vec<_> = seen.iter().map(|(direction, text)| (*direction, text.contains("…"))).collect();
    use Direction::{Received, Sent};
    assert_eq!(shown, [(Sent, true), (Received, true), (Sent, false), (Received, false)]);
    assert!(!format!("{seen:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_for_another_user_is_refused() {
    let (builder, mut server) = network();
    let chat = builder.reconnect(Reconnect::default().keep_trying()).build().unwrap();
    let serve = async {
        let asked = server.asked().await;
        assert_eq!(asked.user(), "alice");
        asked.admit_as("mallory").await
    };
    let (connected, peer) = join!(chat.connect("alice"), serve);
    let Err(error) = connected else { panic!("{connected:?}") };
    assert!(matches!(error, ConnectError::Violation { .. }) && !error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("another user"), "{error}");
    assert!(chat.current_user().is_none());
    peer.ended().await;
    assert!(server.receives_no_connection().await);
}

#[tokio::test(start_paused = true)]
async fn white_space_around_a_token_is_not_sent() {
    let around = "\u{feff} ct1_token\r\n";
    let provided = from_fn(move |_| async move { Ok(Credential::token(around)) });
    for login in [Login::from(("alice", around)), Login::new("alice").provider(provided)] {
        let (builder, mut server) = network();
        let chat = builder.build().unwrap();
        let (user, (presented, _peer)) = join!(chat.connect(login), admit_one(&mut server));
        user.unwrap();
        assert_eq!(presented.as_deref(), Some("ct1_token"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_with_white_space_in_it_is_named_as_such() {
    for (token, named) in [("ct1_to\nken", true), ("ct1_to ken", true), ("ct1_token\n", false)] {
        let (builder, mut server) = network();
        let chat = builder.build().unwrap();
        let serve = async { server.asked().await.refuse(Code::AccessTokenInvalid).await };
        let (refused, ()) = join!(chat.connect(("alice", token)), serve);
        let text = refused.unwrap_err().to_string();
        assert_eq!(text.contains("white space"), named, "{token:?}: {text}");
        assert!(!text.contains("ct1_"), "{text}");
    }
}
