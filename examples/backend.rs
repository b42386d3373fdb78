//! The backend of an app, in three steps: create the user with a token, store the token, serve it to the signed-in app.
//!
//! `CHATCAMP_API_KEY=… cargo run -p chatcamp-examples --bin backend -- http://127.0.0.1:9080 tokens.json`
//!
//! An app signs in with `POST /sign-in {"user": "alice", "password": "wonderland"}`, then sends `POST /chat` with the cookie.
//! The sign-in is only for this example: your app has its own, and needs only the three steps.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use chatcamp_backend::{Backend, TokenFields, UserFields};
use serde::{Deserialize, Serialize};

/// Users, passwords and display names, for this example only.
const ACCOUNTS: [(&str, &str, &str); 2] = [("alice", "wonderland", "Alice"), ("bob", "builder", "Bob")];

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Shop {
    chat: Backend,
    /// The URL of the chat server and the id of the app, for the clients.
    chat_url: String,
    app_id: String,
    tokens: tokio::sync::Mutex<Tokens>,
    /// The sign-in session of each user.
    sessions: Mutex<HashMap<&'static str, String>>,
}

/// The access tokens of the users, stored in a file that only the owner of this process can read.
struct Tokens {
    path: PathBuf,
    tokens: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct SignIn {
    user: String,
    password: String,
}

/// What the app needs to connect.
#[derive(Serialize)]
struct Chat {
    url: String,
    app_id: String,
    user_id: &'static str,
    access_token: String,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let (chat_url, path) = (args.next().ok_or("the chat server's URL")?, args.next().ok_or("a file")?);
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:3000".into());

    let key = std::env::var("CHATCAMP_API_KEY").map_err(|_| "CHATCAMP_API_KEY is not set")?;
    let backend = Backend::builder(&chat_url, key).build()?;
    let app_id = backend.app().await?.id.to_string();
    let tokens = tokio::sync::Mutex::new(Tokens::open(path.into())?);
    let shop = Arc::new(Shop { chat: backend, chat_url, app_id, tokens, sessions: Mutex::default() });

    let router = Router::new().route("/sign-in", post(sign_in)).route("/chat", post(chat)).with_state(shop);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

/// Returns the user's token: the stored one, or a new one, which it stores.
async fn token(chat: &Backend, tokens: &mut Tokens, user: &str, name: &str) -> Result<String, Failure> {
    if let Some(token) = tokens.tokens.get(user) {
        return Ok(token.clone());
    }

    // Step one: create the user with a token. A user who exists already keeps its token.
    let fields = UserFields { display_name: Some(name.into()), ..UserFields::default() };
    let token = match chat.upsert_user(user, fields).await?.access_token {
        Some(token) => token,
        // The tokens were revoked, or the server has only a digest of the token.
        None => chat.issue_token(user, TokenFields::default()).await?.access_token,
    };

    // Step two: store it.
    tokens.store(user, token.expose())?;
    Ok(token.expose().to_owned())
}

/// Step three: serve it to the app of the user who is signed in.
async fn chat(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let Some((user, name)) = signed_in(&shop, &headers) else {
        return (StatusCode::UNAUTHORIZED, "sign in first").into_response();
    };
    // Concurrent requests wait here, and then find the token stored.
    let mut tokens = shop.tokens.lock().await;
    match token(&shop.chat, &mut tokens, user, name).await {
        Ok(access_token) => {
            let (url, app_id) = (shop.chat_url.clone(), shop.app_id.clone());
            let no_store = [(header::CACHE_CONTROL, "no-store")];
            (no_store, Json(Chat { url, app_id, user_id: user, access_token })).into_response()
        }
        Err(error) => {
            eprintln!("no token for {user}: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "the chat is not available now").into_response()
        }
    }
}

impl Tokens {
    fn open(path: PathBuf) -> Result<Self, Failure> {
        let tokens = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { path, tokens })
    }

    /// Replaces the file atomically by a new one that only its owner can read.
    fn store(&mut self, user: &str, token: &str) -> Result<(), Failure> {
        let mut tokens = self.tokens.clone();
        tokens.insert(user.to_owned(), token.to_owned());
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        file.write_all(&serde_json::to_vec_pretty(&tokens)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        self.tokens = tokens;
        Ok(())
    }
}

async fn sign_in(State(shop): State<Arc<Shop>>, Json(given): Json<SignIn>) -> Response {
    let is_right =
        |(user, password, _): &&(&str, &str, &str)| *user == given.user && *password == given.password;
    let Some((user, ..)) = ACCOUNTS.iter().find(is_right) else {
        return (StatusCode::FORBIDDEN, "wrong user or password").into_response();
    };
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the operating system provides random bytes");
    let session = format!("{:032x}", u128::from_le_bytes(random));
    shop.sessions.lock().expect("no code panics while it holds the lock").insert(user, session.clone());
    // Over https, add `Secure`.
    let cookie = format!("session={session}; HttpOnly; SameSite=Strict; Path=/");
    ([(header::SET_COOKIE, cookie)], StatusCode::NO_CONTENT).into_response()
}

/// Returns the user of the cookie and the display name, or `None` if nobody is signed in.
fn signed_in(shop: &Shop, headers: &HeaderMap) -> Option<(&'static str, &'static str)> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let session = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session="))?;
    let sessions = shop.sessions.lock().expect("no code panics while it holds the lock");
    let (user, _, name) =
        ACCOUNTS.iter().find(|(user, ..)| sessions.get(user).is_some_and(|s| s == session))?;
    Some((user, name))
}
