//! The three steps of a backend, from an app's sign-in to its connection over each transport.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use chatcamp_client::{ChatCamp, ConnectError, Event, UserId, builder::endpoint};
use chatcamp_server::{Accounts, AuthPolicy, FrontDoor, Keyring, NewApp, Server};
use chatcamp_store::memory::Store;
use chatcamp_transport::{Transport, long_poll, websocket};
use serde_json::{Value, json};

/// A chat server whose app requires a token from every user.
struct ChatServer {
    server: Server,
    accounts: Accounts,
    url: String,
    app: NewApp,
}

/// The running example; dropping it stops the process.
struct Shop {
    process: Child,
    url: String,
}

impl ChatServer {
    async fn start() -> Self {
        let store = Arc::new(Store::new());
        let keyring = Keyring::new(vec![[7; 32]]).unwrap();
        let accounts = Accounts::new(store.clone(), keyring.clone());
        let app = accounts.create_app("shop", AuthPolicy::Token, None).await.unwrap();
        let server = Server::builder(store, keyring).start();
        let door = FrontDoor::bind(server.clone(), ([127, 0, 0, 1], 0).into()).unwrap();
        let url = format!("http://{}", door.local_addr().unwrap());
        tokio::spawn(door.run());
        Self { server, accounts, url, app }
    }

    async fn shop(&self, tokens: &Path) -> Shop {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backend"));
        command.args([&self.url, tokens.to_str().unwrap(), "127.0.0.1:0"]);
        command.env("CHATCAMP_API_KEY", &self.app.api_key.key).stdout(Stdio::piped());
        tokio::task::spawn_blocking(move || Shop::start(command)).await.unwrap()
    }
}

impl Shop {
    fn start(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let url = said.trim().strip_prefix("listening on ").expect(&said).to_owned();
        Self { process, url }
    }

    async fn post(&self, path: &str, cookie: &str, body: &Value) -> reqwest::Response {
        let post = reqwest::Client::new().post(format!("{}{path}", self.url));
        post.header("cookie", cookie).json(body).send().await.unwrap()
    }

    /// Signs in like an app, and returns the cookie.
    async fn sign_in(&self, user: &str, password: &str) -> String {
        let answer = self.post("/sign-in", "", &json!({ "user": user, "password": password })).await;
        assert_eq!(answer.status(), 204);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    async fn chat(&self, cookie: &str) -> Value {
        let answer = self.post("/chat", cookie, &json!({})).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-store");
        answer.json().await.unwrap()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn text<'a>(chat: &'a Value, name: &str) -> &'a str {
    chat[name].as_str().unwrap()
}

/// Connects over this transport with the answer of the backend. Returns the name of the transport that was used.
async fn connect(chat: &Value, transport: impl Transport + 'static) -> Result<&'static str, ConnectError> {
    let client = ChatCamp::builder(text(chat, "app_id")).transport(transport).build().unwrap();
    let mut events = client.events();
    let user = client.connect((text(chat, "user_id"), text(chat, "access_token"))).await?;
    assert_eq!((user.id.as_str(), user.profile.display_name.as_str()), ("alice", "Alice"));
    let Some(Event::Connected { transport, .. }) = events.next().await else { panic!("it is connected") };
    client.disconnect().await;
    Ok(transport)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_in_app_gets_its_token_and_connects_over_each_transport() {
    let folder = tempfile::tempdir().unwrap();
    let tokens: PathBuf = folder.path().join("tokens.json");
    let server = ChatServer::start().await;
    let shop = server.shop(&tokens).await;

    assert_eq!(shop.post("/chat", "", &json!({})).await.status(), 401);
    assert_eq!(shop.post("/chat", "session=made-up", &json!({})).await.status(), 401);
    let wrong = json!({ "user": "alice", "password": "builder" });
    assert_eq!(shop.post("/sign-in", "", &wrong).await.status(), 403);

    let chat = shop.chat(&shop.sign_in("alice", "wonderland").await).await;
    assert_eq!(text(&chat, "app_id"), server.app.id.as_str());
    let endpoint = endpoint(text(&chat, "url")).unwrap();
    let over = connect(&chat, websocket::Transport::new(&endpoint).unwrap()).await.unwrap();
    assert_eq!(over, "websocket");
    let over = connect(&chat, long_poll::Transport::new(&endpoint).unwrap()).await.unwrap();
    assert_eq!(over, "long-poll");

    let stored: Value = serde_json::from_slice(&std::fs::read(&tokens).unwrap()).unwrap();
    assert_eq!(stored, json!({ "alice": chat["access_token"] }));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&tokens).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(shop.chat(&shop.sign_in("alice", "wonderland").await).await, chat, "the same token again");
    assert_eq!(shop.chat(&shop.sign_in("bob", "builder").await).await["user_id"], "bob");

    drop(shop);
    let shop = server.shop(&tokens).await;
    assert_eq!(shop.chat(&shop.sign_in("alice", "wonderland").await).await, chat, "the token was stored");

    // A lost file does no harm while the tokens are valid.
    drop(shop);
    std::fs::remove_file(&tokens).unwrap();
    let shop = server.shop(&tokens).await;
    assert_eq!(shop.chat(&shop.sign_in("alice", "wonderland").await).await, chat);

    drop(shop);
    std::fs::remove_file(&tokens).unwrap();
    server.accounts.revoke_tokens(&server.app.id, &UserId::new("alice").unwrap()).await.unwrap();
    let shop = server.shop(&tokens).await;
    let anew = shop.chat(&shop.sign_in("alice", "wonderland").await).await;
    let refused = connect(&chat, websocket::Transport::new(&endpoint).unwrap()).await;
    assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
    connect(&anew, websocket::Transport::new(&endpoint).unwrap()).await.unwrap();
    server.server.shutdown().await;
}

#[test]
fn the_page_for_backends_shows_the_example() {
    let page = include_str!("../../docs/BACKENDS.md");
    let example = include_str!("../backend.rs");
    let shown: Vec<_> =
        page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(shown.len(), 1);
    assert!(example.contains(shown[0]), "docs/BACKENDS.md shows another program");
}
