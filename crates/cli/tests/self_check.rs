//! The self-check of `chatcamp dev` passes over every transport, and fails if the server is faulty.

use std::sync::Arc;

use chatcamp_cli::self_check::{self, CheckError, Outcome, Scenario, Subject};
use chatcamp_client::{
    Builder, ConnectError, Refusal,
    transport::{Close, Listener as _, Message, memory},
};
use chatcamp_protocol::{AccessToken, AppId, UserId};
use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser, Server};
use serde_json::{Value, json};

const SCENARIOS: [&str; 5] =
    ["connect by id", "connect by token", "wrong token refused", "request", "disconnect"];

#[tokio::test]
async fn every_scenario_passes_over_every_transport() {
    let report = self_check::run().await.unwrap();
    let transports: Vec<_> = report.transports().iter().map(|(name, _)| *name).collect();
    assert_eq!(transports, ["memory", "websocket", "long-poll"]);
    for (transport, outcomes) in report.transports() {
        assert_eq!(outcomes.iter().map(|o| o.scenario.name()).collect::<Vec<_>>(), SCENARIOS);
        for Outcome { scenario, result } in outcomes {
            assert!(result.is_ok(), "{} over {transport}: {result:?}", scenario.name());
        }
    }
    assert!(report.ok());
}

#[tokio::test]
async fn an_unreachable_server_fails_every_scenario() {
    let (transport, listener) = memory::network();
    drop(listener);
    let outcomes = self_check::check(&subject(transport, "demo", "grace", AccessToken::from("t"))).await;
    for Outcome { scenario, result } in outcomes {
        assert!(matches!(result, Err(CheckError::Connect(ConnectError::Unreachable { .. }))), "{scenario:?}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_every_token_fails_the_token_scenarios() {
    let (transport, mut listener) = memory::network();
    let server = tokio::spawn(async move {
        while let Some(mut peer) = listener.accept().await {
            tokio::spawn(async move {
                while let Ok(message) = peer.recv().await {
                    let request: Value = serde_json::from_str(message.as_str()).unwrap();
                    let user = json!({ "id": request["d"]["user_id"] });
                    let session = json!({ "key": "k", "expires_in": 60, "fresh": "new", "heartbeat": 25 });
                    let body = json!({ "ok": true, "user": user, "session": session });
                    let ack = json!({ "t": "users.auth.ack", "to": request["r"], "d": body });
                    if peer.send(Message::from(ack.to_string().as_str())).await.is_err() {
                        break;
                    }
                }
                let _ = peer.close(Close::NORMAL).await;
            });
        }
    });
    let subject = subject(transport, "demo", "grace", AccessToken::from("t"));
    assert_eq!(
        failed(&self_check::check(&subject).await),
        ["connect by token", "wrong token refused", "request"]
    );
    drop(subject);
    server.await.unwrap();
}

#[tokio::test]
async fn a_server_with_another_keyring_fails_the_token_scenarios() {
    let store = Arc::new(chatcamp_store::memory::Store::new());
    let keyring = |byte| Keyring::new(vec![[byte; 32]]).unwrap();
    let accounts = Accounts::new(store.clone(), keyring(1));
    let app = accounts.create_app("demo", AuthPolicy::Open, None).await.unwrap().id;
    let user = UserId::new("grace").unwrap();
    let token = accounts.create_user(&app, &user, NewUser::default()).await.unwrap();

    let server = Server::builder(store, keyring(2)).start();
    let (transport, listener) = memory::network();
    let accepting = tokio::spawn({
        let server = server.clone();
        async move { server.listen(listener).await }
    });
    let outcomes = self_check::check(&subject(transport, app.as_str(), "grace", token)).await;
    assert_eq!(failed(&outcomes), ["connect by token"]);
    let refused = |r: &Refusal| r.code == "ACCESS_TOKEN_INVALID";
    assert!(outcomes.iter().any(|o| matches!(
        &o.result, Err(CheckError::Connect(ConnectError::Refused(r))) if refused(r)
    )));
    server.shutdown().await;
    accepting.await.unwrap();
}

#[tokio::test]
async fn a_failed_scenario_is_reported_with_its_reason() {
    let mut report = self_check::Report::default();
    report.add(
        "long-poll",
        vec![
            Outcome { scenario: Scenario::ConnectById, result: Ok(std::time::Duration::from_micros(1234)) },
            Outcome {
                scenario: Scenario::Request,
                result: Err(CheckError::Unexpected("no such luck".into())),
            },
        ],
    );
    assert!(!report.ok());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["self_check"][0], json!({ "scenario": "connect by id", "long_poll_ms": 1.23 }));
    let failed = json!({ "scenario": "request", "long_poll_ms": null, "long_poll_error": "no such luck" });
    assert_eq!(json["self_check"][3], failed);
    let table = report.to_string();
    assert!(
        table.contains("1.23 ms") && table.contains("FAILED: request over long-poll: no such luck"),
        "{table}"
    );
}

fn failed(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().filter(|o| o.result.is_err()).map(|o| o.scenario.name()).collect()
}

fn subject(transport: memory::Transport, app: &str, user: &str, token: AccessToken) -> Subject {
    Subject {
        transport: "memory",
        app: AppId::new(app).expect("an app id"),
        user: UserId::new(user).expect("a user id"),
        token,
        dial: Box::new(move |client: Builder| client.transport(transport.clone())),
    }
}
