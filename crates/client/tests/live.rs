//! A live session: requests, events, heartbeat, and all ways in which it is resumed or ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chatcamp_auth::{Credential, credential::CredentialReason, credential::from_fn};
use chatcamp_client::{
    ChatCamp, Code, ConnectError, EndReason, ErrorCode, Event, Events, Login, Profile, ProfileUpdate,
    RequestError, State,
    transport::{Close, Closed},
};
use chatcamp_protocol::{
    event::SessionClose,
    handshake::{Continuity, Offer},
};
use serde_json::json;
use support::{LONG, Peer, Server, network, next, offer, ok, take, user};
use tokio::{
    join, pin, select,
    time::{Instant, advance, timeout},
};

async fn connected() -> (ChatCamp, Events, Server, Peer) {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let (user, peer) = join!(chat.connect("alice"), server.admit());
    user.unwrap();
    assert_eq!(next(&mut events).await, "connected alice New");
    (chat, events, server, peer)
}

/// Answers the next request positively.
async fn answer(peer: &mut Peer) {
    let (t, r, _) = peer.request().await;
    peer.ack(&t, r, ok()).await;
}

fn attempt(state: &State) -> u32 {
    match state {
        State::Reconnecting { attempt } => *attempt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_numbered_from_one_and_answered_each_by_its_own() {
    let (chat, _events, _server, mut peer) = connected().await;
    let serve = async {
        let mut requests = [peer.request().await, peer.request().await, peer.request().await];
        requests.reverse();
        for (t, r, d) in &requests {
            peer.ack(t, *r, json!({"ok": true, "echo": d["n"]})).await;
        }
        requests.map(|(_, r, _)| r)
    };
    let ask = |n: u64| chat.request("x.y", json!({"n": n}));
    let (a, b, c, numbers) = join!(ask(10), ask(20), ask(30), serve);
    assert_eq!(numbers, [3, 2, 1]);
    let echoes = [a, b, c].map(|body| body.unwrap().parse::<serde_json::Value>().unwrap()["echo"].clone());
    assert_eq!(echoes, [10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_has_a_reason_and_the_session_continues() {
    let (chat, _events, _server, mut peer) = connected().await;
    let serve = async {
        let (t, r, _) = peer.request().await;
        let error = json!({"code": "UNKNOWN_TYPE", "message": "no x.y here"});
        peer.ack(&t, r, json!({"ok": false, "error": error})).await;
        answer(&mut peer).await;
    };
    let ask = async {
        let error = chat.request("x.y", ()).await.unwrap_err();
        assert_eq!(error.to_string(), "the server rejected the request: UNKNOWN_TYPE: no x.y here");
        chat.request("users.get", json!({})).await.unwrap();
    };
    join!(ask, serve);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_fast_has_a_code_and_the_time_to_wait() {
    let (chat, _events, _server, mut peer) = connected().await;
    let serve = async {
        for wait in [json!(50), json!(null)] {
            let (t, r, _) = peer.request().await;
            let error = json!({"code": "RATE_LIMITED", "message": "slower", "retry_after_ms": wait});
            peer.ack(&t, r, json!({"ok": false, "error": error})).await;
        }
        answer(&mut peer).await;
    };
    let ask = async {
        for wait in [Some(Duration::from_millis(50)), None] {
            let error = chat.request("x.y", ()).await.unwrap_err();
            assert!(
                matches!(&error, RequestError::Rejected { known: Some(ErrorCode::RateLimited), .. }),
                "{error:?}"
            );
            assert_eq!((error.is_retryable(), error.retry_after()), (true, wait));
        }
        chat.request("users.get", json!({})).await.unwrap();
    };
    join!(ask, serve);
}

/// A server ends the connection of a client that floods it, and defers the client until it may resume.
#[tokio::test(start_paused = true)]
async fn a_client_that_was_sent_away_for_its_rate_waits_as_told_each_time() {
    let (_chat, mut events, mut server, peer) = connected().await;
    let start = Instant::now();
    peer.end_live(Code::RateLimited, Some(Duration::from_secs(5))).await;
    assert_eq!(next(&mut events).await, "reconnecting Server");
    server.asked().await.defer(Code::RateLimited, Duration::from_secs(3)).await;
    assert!(next(&mut events).await.starts_with("reconnecting Attempt"));
    assert!(start.elapsed() >= Duration::from_secs(5));
    let _peer = server.admit().await;
    assert!(start.elapsed() >= Duration::from_secs(8));
    assert_eq!(next(&mut events).await, "connected alice New");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_times_out_and_may_have_run() {
    let (chat, _events, _server, mut peer) = connected().await;
    let start = Instant::now();
    let (error, _) = join!(chat.request("x.y", ()), peer.request());
    assert!(matches!(error, Err(RequestError::TimedOut { may_have_run: true })), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_request_while_disconnected_fails_at_once() {
    let (builder, _server) = network();
    let chat = builder.build().unwrap();
    assert!(matches!(chat.request("x.y", ()).await, Err(RequestError::NotConnected)));
    let update = chat.update_user(ProfileUpdate::default()).await;
    assert!(matches!(update, Err(RequestError::NotConnected)));
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_limit_is_not_sent() {
    let (chat, _events, _server, _peer) = connected().await;
    for (len, fits) in [(64 * 1024, false), (64 * 1024 - 60, true)] {
        let sent = timeout(Duration::from_secs(1), chat.request("x.y", "x".repeat(len))).await;
        assert_eq!(sent.is_err(), fits, "{len}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_sent_before_a_cut_are_unanswered_and_waiting_ones_are_sent_after_it() {
    let (chat, mut events, mut server, mut peer) = connected().await;
    let serve = async {
        peer.request().await;
        peer.cut();
        assert_eq!(next(&mut events).await, "reconnecting Closed");
        let withdrawn = timeout(Duration::from_millis(1), chat.request("withdrawn", ())).await;
        let withdrawn_early = withdrawn.is_err();
        let serve = async {
            let asked = server.asked().await;
            // The request that was made while there was no connection.
            let mut peer = asked.admit().await;
            let (t, r, _) = peer.request().await;
            peer.ack(&t, r, ok()).await;
            (t, r, peer)
        };
        let (waited, (t, r, peer)) = join!(chat.request("waits", ()), serve);
        waited.unwrap();
        assert!(withdrawn_early);
        assert_eq!((t.as_str(), r), ("waits", 1));
        peer
    };
    let (sent, _peer) = join!(chat.request("sent", ()), serve);
    assert!(matches!(sent, Err(RequestError::Unanswered { may_have_run: true })), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn the_client_asks_to_resume_its_session_and_continues_it_if_allowed() {
    let (chat, mut events, mut server, mut peer) = connected().await;
    peer.push("x.pub", json!({})).await;
    assert_eq!(next(&mut events).await, "other x.pub {}");
    let serve = async {
        let (t, r, _) = peer.request().await;
        assert_eq!((t.as_str(), r), ("first", 1));
        let (_, r, _) = peer.request().await;
        assert_eq!(r, 2);
        peer.cut();
        let asked = server.asked().await;
        assert_eq!(asked.resume(), Some((1, 2)));
        let resumed = Continuity::Resumed { replayed: 2, received: 1 };
        let mut peer = asked.admit_with(&Offer { continuity: resumed, ..offer() }, None).await;
        // The event seen before, then the answer that was lost.
        peer.push("x.pub", json!({})).await;
        peer.ack(&t, 1, json!({"ok": true, "replayed": true})).await;
        let (t, r, _) = peer.request().await;
        assert_eq!((t.as_str(), r), ("second", 2), "the server had not received it");
        peer.ack(&t, r, ok()).await;
        peer
    };
    let (first, second, _peer) = join!(chat.request("first", ()), chat.request("second", ()), serve);
    assert_eq!(first.unwrap().as_str(), r#"{"ok":true,"replayed":true}"#);
    second.unwrap();
    assert_eq!(take(&mut events, 2).await, ["reconnecting Closed", "connected alice resumed"]);
}

#[tokio::test(start_paused = true)]
async fn delays_grow_while_connections_do_not_last_and_shrink_after_one_that_did() {
    let (chat, mut events, mut server, peer) = connected().await;
    peer.cut();
    let mut delay = async |attempt_expected: u32, most: Duration| {
        let event = timeout(LONG, events.next()).await.unwrap();
        let Some(Event::Reconnecting { after, .. }) = event else { panic!("{event:?}") };
        assert_eq!(attempt(&chat.state()), attempt_expected);
        assert!(after <= most, "{after:?} of at most {most:?}");
    };
    for (attempt, most) in [(1, 500), (2, 1000), (3, 2000), (4, 4000)] {
        delay(attempt, Duration::from_millis(most)).await;
        server.accept().await.cut();
    }
    delay(5, Duration::from_secs(8)).await;
    let peer = server.admit().await;
    assert_eq!(next(&mut events).await, "connected alice New");
    advance(Duration::from_secs(11)).await;
    peer.cut();
    let event = events.next().await;
    assert!(matches!(event, Some(Event::Reconnecting { after, .. }) if after <= Duration::from_millis(500)));
    assert_eq!(attempt(&chat.state()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ping_acknowledges_received_messages_and_silence_ends_the_connection() {
    let (_chat, mut events, mut server, mut peer) = connected().await;
    peer.push("x.pub", json!({})).await;
    let start = Instant::now();
    let (t, r, d) = peer.request().await;
    assert_eq!((t.as_str(), r, d), ("ping", 1, json!({"seen": 1})));
    assert_eq!(start.elapsed().as_secs(), 25);
    peer.ack("ping", r, ok()).await;
    assert_eq!(peer.request().await.2, json!({"seen": 2}));
    assert_eq!(start.elapsed().as_secs(), 50);
    assert!(matches!(peer.ended().await, Closed::Lost(_)));
    assert_eq!(start.elapsed().as_secs(), 60, "35 s after the last thing heard");
    assert_eq!(take(&mut events, 2).await, ["other x.pub {}", "reconnecting Silent"]);
    server.asked().await;
}

#[tokio::test(start_paused = true)]
async fn repeated_envelopes_are_dropped_and_a_gap_ends_the_connection() {
    let (_chat, mut events, mut server, mut peer) = connected().await;
    for n in [1, 1, 2, 1] {
        peer.send_text(&format!(r#"{{"t":"n{n}","s":{n}}}"#)).await;
    }
    peer.send_text(r#"{"t":"n4","s":4}"#).await;
    let expected = Closed::ByPeer(Close::new(4007, Code::OutOfSequence.reason()));
    assert_eq!(peer.ended().await, expected);
    let expected = ["other n1 null", "other n2 null", "reconnecting Violation"];
    assert_eq!(take(&mut events, 3).await, expected);
    assert_eq!(server.asked().await.resume(), Some((2, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_envelope_ends_the_connection() {
    for text in ["", "[]", r#"{"d":1}"#, r#"{"t":"session.close","d":{}}"#] {
        let (_chat, mut events, mut server, mut peer) = connected().await;
        peer.send_text(text).await;
        assert_eq!(peer.ended().await.code(), 4514, "{text}");
        assert_eq!(next(&mut events).await, "reconnecting Violation");
        server.asked().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_may_ask_to_reconnect_later() {
    let (_chat, mut events, mut server, peer) = connected().await;
    let start = Instant::now();
    peer.end_live(Code::ShuttingDown, Some(Duration::from_secs(60))).await;
    assert_eq!(next(&mut events).await, "reconnecting Server");
    let _peer = server.admit().await;
    let waited = start.elapsed().as_millis();
    assert!((60_000..=60_500).contains(&waited), "{waited}");
    assert_eq!(next(&mut events).await, "connected alice New");
}

#[tokio::test(start_paused = true)]
async fn the_table_decides_what_follows_an_end() {
    for &code in Code::ALL {
        for said in [true, false] {
            let (chat, mut events, mut server, peer) = connected().await;
            if said {
                peer.end_live(code, None).await
            } else {
                peer.close(code.number()).await
            }
            let comes_back = code.advice() == chatcamp_client::Advice::Retry;
            let event = next(&mut events).await;
            assert_eq!(event.starts_with("reconnecting"), comes_back, "{code:?} {event}");
            if comes_back {
                server.asked().await;
            } else {
                assert_eq!(event, "disconnected Refused", "{code:?}");
                assert!(matches!(chat.state(), State::Disconnected(EndReason::Refused(_))));
                assert!(chat.current_user().is_none());
                assert!(server.receives_no_connection().await, "{code:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_ends_is_replaced_only_by_a_different_one() {
    for different in [true, false] {
        let (builder, mut server) = network();
        let chat = builder.build().unwrap();
        let mut events = chat.events();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let login = Login::new("alice").provider(from_fn(move |why| {
            log.lock().unwrap().push(why);
            let token = if different && why != CredentialReason::Initial { "new" } else { "old" };
            async move { Ok(Credential::token(token)) }
        }));
        let (_, peer) = join!(chat.connect(login), server.admit());
        peer.end_live(Code::AccessTokenExpired, None).await;
        assert_eq!(take(&mut events, 2).await, ["connected alice New", "reconnecting Server"]);
        if different {
            let asked = server.asked().await;
            assert_eq!(asked.token().as_deref(), Some("new"));
            let _peer = asked.admit().await;
            assert_eq!(next(&mut events).await, "connected alice New");
        } else {
            assert_eq!(next(&mut events).await, "disconnected Refused");
            assert!(server.receives_no_connection().await);
        }
        assert_eq!(
            *asked.lock().unwrap(),
            [CredentialReason::Initial, CredentialReason::Rejected(Code::AccessTokenExpired)]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_has_another_each_time_keeps_the_user_connected() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let count = Arc::new(Mutex::new(0));
    let login = Login::new("alice").provider(from_fn(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let token = format!("token {count}");
        async move { Ok(Credential::token(token)) }
    }));
    let (_, mut peer) = join!(chat.connect(login), server.admit());
    for n in 2..5 {
        peer.end_live(Code::AccessTokenExpired, None).await;
        let asked = server.asked().await;
        assert_eq!(asked.token(), Some(format!("token {n}")));
        peer = asked.admit().await;
        assert_eq!(take(&mut events, 2).await, ["connected alice New", "reconnecting Server"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_closes_a_connection_that_the_server_has_abandoned() {
    let (chat, mut events, mut server, mut peer) = connected().await;
    peer.push("session.close", json!(SessionClose::new(Code::ShuttingDown, None))).await;
    assert_eq!(peer.ended().await, Closed::ByPeer(Close::NORMAL));
    assert_eq!(next(&mut events).await, "reconnecting Server");
    let peer = server.admit().await;
    assert_eq!(next(&mut events).await, "connected alice New");
    advance(Duration::from_secs(11)).await;
    peer.end_live(Code::ShuttingDown, None).await;
    assert_eq!(next(&mut events).await, "reconnecting Server");
    assert_eq!(attempt(&chat.state()), 1, "the connection had lasted");
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_joins_a_reconnect_gets_its_next_failure_and_the_client_goes_on() {
    let (chat, mut events, mut server, peer) = connected().await;
    peer.cut();
    assert_eq!(next(&mut events).await, "reconnecting Closed");
    let (joined, ()) = join!(chat.connect("alice"), async { server.accept().await.cut() });
    assert!(matches!(joined, Err(ConnectError::Lost { .. })), "{joined:?}");
    assert_eq!(next(&mut events).await, "reconnecting Attempt");
    let (joined, _peer) = join!(chat.connect("alice"), server.admit());
    joined.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connect_does_not_wait_for_the_reconnect_delay() {
    for answered in [true, false] {
        let (chat, mut events, mut server, peer) = connected().await;
        peer.end_live(Code::ShuttingDown, Some(Duration::from_secs(3600))).await;
        assert_eq!(next(&mut events).await, "reconnecting Server");
        let start = Instant::now();
        if answered {
            let (joined, _peer) = join!(chat.connect("alice"), server.admit());
            joined.unwrap();
            assert_eq!(start.elapsed().as_secs(), 0);
            assert_eq!(next(&mut events).await, "connected alice New");
        } else {
            let (joined, _peer) = join!(chat.connect("alice"), server.accept());
            assert!(matches!(joined, Err(ConnectError::TimedOut { .. })), "{joined:?}");
            assert_eq!(start.elapsed().as_secs(), 20);
            assert_eq!(next(&mut events).await, "reconnecting Attempt");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_asked_again_only_when_its_credential_nears_its_end() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let login = Login::new("alice").provider(from_fn(move |why| {
        log.lock().unwrap().push(why);
        async move { Ok(Credential::token("t")) }
    }));
    let serve = async { server.asked().await.admit_with(&offer(), Some(100)).await };
    let (_, peer) = join!(chat.connect(login), serve);
    assert_eq!(take(&mut events, 2).await, ["connected alice New", "token expires in 100, true"]);
    peer.cut();
    let peer = server.asked().await.admit_with(&offer(), None).await;
    assert_eq!(take(&mut events, 2).await, ["reconnecting Closed", "connected alice New"]);
    assert_eq!(asked.lock().unwrap().len(), 1, "the token in hand is good");
    peer.end_live(Code::ShuttingDown, Some(Duration::from_secs(90))).await;
    server.asked().await;
    assert_eq!(*asked.lock().unwrap(), [CredentialReason::Initial, CredentialReason::Reconnect]);
}

#[tokio::test(start_paused = true)]
async fn without_a_provider_the_final_expiry_of_the_token_is_announced() {
    let (builder, mut server) = network();
    let chat = builder.build().unwrap();
    let mut events = chat.events();
    let serve = async { server.asked().await.admit_with(&offer(), Some(5)).await };
    let (_, _peer) = join!(chat.connect(("alice", "t")), serve);
    assert_eq!(take(&mut events, 2).await, ["connected alice New", "token expires in 5, false"]);
}

#[tokio::test(start_paused = true)]
async fn the_own_user_changes_by_request_and_unasked() {
    let (chat, mut events, _server, mut peer) = connected().await;
    let named =
        |name: &str| support::with_profile(Profile { display_name: name.into(), ..Profile::default() });
    let serve = async {
        let (t, r, d) = peer.request().await;
        assert_eq!((t.as_str(), &d), ("users.update", &json!({"id": "alice", "display_name": "Alice"})));
        peer.ack(&t, r, json!({"ok": true, "user": named("Alice")})).await;
    };
    let update = ProfileUpdate { display_name: Some("Alice".into()), ..ProfileUpdate::default() };
    let (updated, ()) = join!(chat.update_user(update), serve);
    assert_eq!(updated.unwrap().profile.display_name, "Alice");
    assert_eq!(chat.current_user().unwrap().profile.display_name, "Alice");

    peer.push("users.update.ack", json!({"ok": true, "user": user("bob")})).await;
    peer.push("users.update.ack", json!({"ok": true, "user": named("Alicia")})).await;
    assert_eq!(
        next(&mut events).await,
        "user Alicia",
        "no event for one's own request, none for another user"
    );
    assert_eq!(chat.current_user().unwrap().profile.display_name, "Alicia");
}

#[tokio::test(start_paused = true)]
async fn events_of_the_app_and_unknown_ones_come_through() {
    let (_chat, mut events, _server, mut peer) = connected().await;
    peer.push("app.event.pub", json!({"ok": true, "type": "order", "data": {"n": 1}})).await;
    peer.push("app.event.pub", json!({"ok": true, "type": "order"})).await;
    peer.push("app.event.pub", json!({"ok": true})).await;
    peer.push("x.pub", json!([1])).await;
    let expected =
        [r#"app order {"n":1}"#, "app order null", r#"other app.event.pub {"ok":true}"#, "other x.pub [1]"];
    assert_eq!(take(&mut events, 4).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_lags_and_others_do_not() {
    let (chat, mut slow, _server, mut peer) = connected().await;
    let mut quick = chat.events();
    for n in 0..1030 {
        peer.push("n", json!(n)).await;
        assert_eq!(next(&mut quick).await, format!("other n {n}"));
    }
    let all = take(&mut slow, 1025).await;
    assert_eq!(all[1023..], ["other n 1023", "lagged 6"]);
}

#[tokio::test(start_paused = true)]
async fn disconnect_is_legal_at_every_stage_and_twice() {
    for stage in ["nothing", "attempting", "waiting for the ack", "live", "paused", "refused"] {
        let (builder, mut server) = network();
        let chat = builder.build().unwrap();
        let mut events = chat.events();
        let connecting = chat.connect("alice");
        pin!(connecting);
        let mut peer = None;
        if stage != "nothing" {
            let reach = async {
                match stage {
                    "attempting" => {}
                    "waiting for the ack" => peer = Some(server.accept().await),
                    "refused" => server.asked().await.refuse(Code::UserDeleted).await,
                    _ => peer = Some(server.admit().await),
                }
            };
            match stage {
                "live" | "paused" | "refused" => drop(join!(&mut connecting, reach)),
                _ => select! { biased; _ = &mut connecting => panic!("{stage}"), () = reach => {} },
            }
        }
        if stage == "paused" {
            peer.take().unwrap().cut();
            assert_eq!(take(&mut events, 2).await[1], "reconnecting Closed");
        }
        join!(chat.disconnect(), chat.disconnect());
        chat.disconnect().await;
        assert!(matches!(chat.state(), State::Disconnected(_)), "{stage}");
        assert!(chat.current_user().is_none());
        match stage {
            "attempting" | "waiting for the ack" => {
                assert!(matches!(connecting.await, Err(ConnectError::Disconnected)), "{stage}");
                assert_eq!(next(&mut events).await, "disconnected ByUs");
            }
            "live" => assert_eq!(take(&mut events, 2).await[1], "disconnected ByUs"),
            "paused" => assert_eq!(next(&mut events).await, "disconnected ByUs"),
            "refused" => assert_eq!(next(&mut events).await, "disconnected Refused"),
            _ => {}
        }
        let nothing = timeout(LONG, events.next()).await;
        assert!(nothing.is_err(), "{stage}: {nothing:?}");
        if let Some(peer) = peer {
            peer.ended().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn disconnect_ends_requests_and_nothing_follows_it() {
    let (chat, mut events, _server, mut peer) = connected().await;
    let serve = async {
        peer.request().await;
        chat.disconnect().await;
        let _ = peer.ended().await;
    };
    let (unanswered, ()) = join!(chat.request("x.y", ()), serve);
    assert!(matches!(unanswered, Err(RequestError::Unanswered { may_have_run: true })));
    assert_eq!(next(&mut events).await, "disconnected ByUs");
}

#[tokio::test(start_paused = true)]
async fn a_client_connects_again_after_it_disconnected() {
    let (chat, _events, mut server, peer) = connected().await;
    chat.disconnect().await;
    assert_eq!(peer.ended().await, Closed::ByPeer(Close::NORMAL));
    let serve = async {
        let asked = server.asked().await;
        assert_eq!(asked.resume(), None, "another session");
        asked.admit().await
    };
    let (user, _peer) = join!(chat.connect("alice"), serve);
    user.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes_the_connection() {
    let (chat, mut events, mut server, mut peer) = connected().await;
    let clone = chat.clone();
    drop(chat);
    assert!(peer.stays_the_only_connection(&mut server).await, "one handle is left");
    drop(clone);
    assert_eq!(peer.ended().await, Closed::ByPeer(Close::NORMAL));
    assert_eq!(take(&mut events, 2).await, ["disconnected ByUs", "end"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_runtime_ends_everything_that_waits() {
    let (chat, mut events) = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (builder, _server) = network();
            let chat = builder.build().unwrap();
            let events = chat.events();
            (chat, events)
        })
    })
    .join()
    .unwrap();
    assert_eq!(next(&mut events).await, "end");
    assert!(matches!(chat.connect("alice").await, Err(ConnectError::Ended)));
    assert!(matches!(chat.request("x.y", ()).await, Err(RequestError::NotConnected)));
    chat.disconnect().await;
}

/// Runs the server up to `point`, cuts the connection, and admits the client when it reconnects.
async fn serve_with_cut(server: &mut Server, point: usize) -> Peer {
    let peer = server.accept().await;
    match point {
        0 => peer.cut(),
        1 => drop(peer.asked().await),
        2 => peer.asked().await.admit().await.cut(),
        _ => {
            let mut peer = peer.asked().await.admit().await;
            let (t, r, _) = peer.request().await;
            if point == 4 {
                peer.ack(&t, r, ok()).await;
            }
            peer.cut();
        }
    }
    server.admit().await
}

#[tokio::test(start_paused = true)]
async fn everything_is_answered_exactly_once_wherever_the_connection_is_cut() {
    for point in 0..=4 {
        let (builder, mut server) = network();
        let chat = builder.reconnect(chatcamp_client::Reconnect::default().keep_trying()).build().unwrap();
        let mut events = chat.events();
        let serve = async {
            let mut peer = serve_with_cut(&mut server, point).await;
            // Serves all requests for a while.
            let serve = async {
                loop {
                    answer(&mut peer).await;
                }
            };
            let _: Result<(), _> = timeout(Duration::from_secs(60), serve).await;
            peer
        };
        let ask = async {
            let user = chat.connect("alice").await.expect("connected in the end");
            (user, chat.request("x.y", ()).await)
        };
        let ((_, answer), peer) = join!(ask, serve);
        match point {
            3 => assert!(matches!(answer, Err(RequestError::Unanswered { may_have_run: true }))),
            _ => assert!(answer.is_ok(), "{point}: {answer:?}"),
        }
        chat.disconnect().await;
        peer.ended().await;
        let names = drain(&mut events).await;
        let connects = names.iter().filter(|name| name.starts_with("connected")).count();
        assert_eq!(connects, if point < 2 { 1 } else { 2 }, "{point}: {names:?}");
        assert_eq!(names.last().map(String::as_str), Some("disconnected ByUs"));
    }
}

async fn drain(events: &mut Events) -> Vec<String> {
    let mut names = Vec::new();
    while !names.last().is_some_and(|name: &String| name.starts_with("disconnected")) {
        names.push(next(events).await);
    }
    names
}

#[tokio::test(start_paused = true)]
async fn time_during_which_the_process_was_suspended_is_not_silence_of_the_peer() {
    let (_chat, mut events, mut server, mut peer) = connected().await;
    let (t, first, _) = peer.request().await;
    assert_eq!(t, "ping");
    // The process is stopped: its deadline comes late by this much, and nothing was read.
    advance(Duration::from_secs(47)).await;
    let start = Instant::now();
    let (t, second, _) = peer.request().await;
    assert_eq!((t.as_str(), start.elapsed().as_secs()), ("ping", 0), "it asks before it leaves");
    for r in [first, second] {
        peer.ack("ping", r, ok()).await;
    }
    assert!(peer.stays_the_only_connection(&mut server).await);

    // If the ping is not answered, the client disconnects within seconds, whether or not the deadline is late again.
    peer.request().await;
    advance(Duration::from_secs(47)).await;
    peer.request().await;
    advance(Duration::from_secs(47)).await;
    assert_eq!(next(&mut events).await, "reconnecting Silent");
    server.asked().await;
}
