//! After many kinds of requests, neither the database nor the most detailed log contains a secret.

use std::fs;

use chatcamp_backend::{Backend, TokenFields, UserFields};
use chatcamp_client::transport::{Connection, Message, Transport as _, websocket};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Folder, Running, text};

const CHOSEN: &str = "chosen-by-the-backend-0123456789";

/// Connects, sends a message if one is given, and receives one message.
async fn exchange(url: &str, query: &str, message: Option<Value>) -> (Connection, Value) {
    let url = format!("{}/chat/2.0{query}", url.replace("http://", "ws://"));
    let mut connection = websocket::Transport::new(&url).unwrap().connect().await.unwrap();
    if let Some(message) = message {
        connection.send(Message::from(message.to_string())).await.unwrap();
    }
    let received = serde_json::from_str(connection.recv().await.unwrap().as_str()).unwrap();
    (connection, received)
}

/// Uses every kind of secret, and returns all of them.
async fn use_everything(folder: &Folder, serve: &Running) -> Vec<String> {
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let (app_id, key) = (text(&app, "app_id"), text(&app, "api_key"));
    let url = format!("http://{}", text(&serve.line(), "listening"));
    let backend = Backend::builder(&url, key).build().unwrap();
    let chosen = UserFields { access_token: Some(CHOSEN.into()), ..UserFields::default() };
    let mut secrets = vec![key.to_owned(), CHOSEN.to_owned()];
    let made = backend.upsert_user("alice", UserFields::default()).await.unwrap();
    secrets.push(made.access_token.unwrap().expose().to_owned());
    let issued = backend.issue_token("alice", TokenFields::default()).await.unwrap();
    let token = issued.access_token.expose().to_owned();
    backend.upsert_user("bob", chosen).await.unwrap();
    secrets.push(backend.create_api_key("another").await.unwrap().key.expose().to_owned());

    for (user, token) in [("alice", token.as_str()), ("bob", CHOSEN)] {
        let hello = |token: &str| {
            json!({"t": "users.auth", "r": 1, "d": {
                "v": 1, "client": "test/1", "app_id": app_id, "user_id": user, "access_token": token,
            }})
        };
        let (native, ack) = exchange(&url, "", Some(hello(token))).await;
        secrets.push(text(&ack["d"]["session"], "key").to_owned());
        let wrong = format!("{token}-and-more");
        exchange(&url, "", Some(hello(&wrong))).await;
        let query = format!("?app_id={app_id}&user_id={user}&access_token={token}");
        let (published, ack) = exchange(&url, &query, None).await;
        let key = text(&ack["d"], "session_key").to_owned();
        drop(published);
        let (again, ack) = exchange(&url, &format!("?session_key={key}"), None).await;
        secrets.extend([wrong, key, text(&ack["d"], "session_key").to_owned()]);
        backend.publish(user, "news", &json!({ "n": 1 })).await.unwrap();
        drop((native, again));
    }
    assert!(Backend::builder(&url, "ck_wrong-key").build().unwrap().app().await.is_err());
    backend.revoke_tokens("alice").await.unwrap();
    secrets.push(token);
    secrets
}

#[tokio::test]
async fn neither_the_database_nor_the_log_contains_a_secret() {
    let folder = Folder::new();
    // Creates the keyring, which the test reads.
    folder.ok(&["app", "create", "other", "--auth", "token"]);
    let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    let serve = Running::start(command.env("CHATCAMP_LOG", "trace"));
    let secrets = use_everything(&folder, &serve).await;
    serve.signal(Signal::TERM);
    let done = serve.wait();
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("refused: ACCESS_TOKEN_INVALID"),
        "the log is a detailed one: {}",
        done.stderr
    );

    let keys = fs::read_to_string(folder.path().join("keys")).unwrap();
    let keys: Vec<_> = keys.split_whitespace().filter(|word| word.len() > 30).map(str::to_owned).collect();
    assert!(!keys.is_empty(), "the keyring has keys");
    let mut places = vec![("the log".to_owned(), done.stderr.into_bytes())];
    for file in fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name != "keys" {
            places.push((name, fs::read(&path).unwrap()));
        }
    }
    // The search does find what is stored: the users.
    let contains_alice = |bytes: &[u8]| bytes.windows(5).any(|window| window == b"alice");
    assert!(places.iter().any(|(name, bytes)| name.starts_with("chatcamp.db") && contains_alice(bytes)));
    for secret in secrets.iter().chain(&keys) {
        for (name, bytes) in &places {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} contains {}…", &secret[..8]);
        }
    }
}
