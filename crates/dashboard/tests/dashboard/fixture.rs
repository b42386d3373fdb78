//! A server with a dashboard, and a browser that sends it requests.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use chatcamp_dashboard::{AdminPassword, Dashboard};
use chatcamp_protocol::{AppId, UserId};
use chatcamp_server::{Accounts, AuthPolicy, Clock, FrontDoor, Keyring, Server};
use chatcamp_store::memory;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) accounts: Accounts,
    pub(crate) server: Server,
    pub(crate) app: AppId,
    pub(crate) dashboard: Arc<Dashboard>,
    time: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

/// The parts of a browser that a server can observe.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) origin: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) form_token: String,
    /// The path of the last page, which links are relative to.
    page: String,
}

pub(crate) struct Answer {
    path: String,
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A connected user.
pub(crate) struct Connected {
    tcp: TcpStream,
    read: Vec<u8>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|dashboard| dashboard).await
    }

    pub(crate) async fn with(change: impl FnOnce(Dashboard) -> Dashboard) -> Self {
        let store = Arc::new(memory::Store::new());
        let keyring = Keyring::new(vec![[7; 32]]).unwrap();
        let accounts = Accounts::new(store.clone(), keyring.clone());
        let app = accounts.create_app("Camp", AuthPolicy::Open, None).await.unwrap().id;
        let folder = tempfile::tempdir().unwrap();
        let time = Arc::new(AtomicU64::new(1_763_806_245));
        let told = time.clone();

        let server = Server::builder(store.clone(), keyring.clone()).start();
        let door = FrontDoor::bind(server.clone(), "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = door.local_addr().unwrap();
        let password = AdminPassword::at(folder.path());
        let dashboard = Dashboard::new(server.clone(), store, keyring, password, address)
            .with_clock(Clock::new(move || told.load(Ordering::Relaxed)));
        let dashboard = Arc::new(change(dashboard));
        tokio::spawn(door.mount(dashboard.clone()).run());
        let fixture = Self { address, accounts, server, app, dashboard, time, folder };
        fixture.set_password(PASSWORD);
        fixture
    }

    /// Sets the password, with a hash that is fast to compute.
    pub(crate) fn set_password(&self, password: &str) {
        let fast = Params::new(8, 1, 1, None).unwrap();
        let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, fast).hash_password(password.as_bytes());
        fs::write(self.folder.path().join("admin-password.hash"), hash.unwrap().to_string()).unwrap();
    }

    pub(crate) fn advance_time(&self, seconds: u64) {
        self.time.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn browser(&self) -> Browser {
        let host = self.address.to_string();
        Browser {
            address: self.address,
            origin: Some(format!("http://{host}")),
            host,
            cookie: None,
            form_token: String::new(),
            page: "/".to_owned(),
        }
    }

    /// Returns a signed-in browser.
    pub(crate) async fn admin(&self) -> Browser {
        let mut browser = self.browser();
        browser.enter(&self.dashboard.one_time_path()).await;
        assert!(browser.cookie.is_some());
        let apps = browser.get("/dashboard/").await;
        assert_eq!(apps.status, 200, "{}", apps.body);
        browser
    }

    pub(crate) fn path(&self, page: &str) -> String {
        format!("/dashboard/{page}?app={}", self.app)
    }

    pub(crate) fn user(id: &str) -> UserId {
        UserId::new(id).unwrap()
    }

    /// Connects a user as the published SDK does; returns when the session is open.
    pub(crate) async fn connect(&self, user: &str, token: Option<&str>) -> Connected {
        let token = token.map(|token| format!("&access_token={token}")).unwrap_or_default();
        let mut connected = self.open(user, &token, "").await;
        connected.wait_for("users.auth.ack").await;
        connected
    }

    /// Connects with this header `Origin`, and waits until the server refuses it.
    pub(crate) async fn refused(&self, user: &str, origin: &str) {
        let mut connected = self.open(user, "", origin).await;
        connected.wait_for("ORIGIN_REFUSED").await;
        connected.wait_for_end().await;
    }

    async fn open(&self, user: &str, token: &str, headers: &str) -> Connected {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "GET /chat/2.0?app_id={}&user_id={user}{token} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
            self.app
        );
        tcp.write_all(head.as_bytes()).await.unwrap();
        Connected { tcp, read: Vec::new() }
    }
}

impl Connected {
    pub(crate) async fn wait_for(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.read).contains(text) {
            assert_ne!(
                self.tcp.read_buf(&mut self.read).await.unwrap(),
                0,
                "the connection closed before {text}"
            );
        }
    }

    /// Waits until the server closes the session, with or without a close frame.
    pub(crate) async fn wait_for_end(mut self) {
        while !has_close(&self.read) && self.tcp.read_buf(&mut self.read).await.unwrap_or(0) != 0 {}
    }
}

/// Returns whether there is a close frame after the head of the answer.
fn has_close(read: &[u8]) -> bool {
    let mut at = read.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    while let Some(&[first, length]) = read.get(at..at + 2) {
        if first & 0x0f == 8 {
            return true;
        }
        at += match (length, read.get(at + 2..at + 4)) {
            (126, Some(&[high, low])) => 4 + usize::from(u16::from_be_bytes([high, low])),
            (0..126, _) => 2 + usize::from(length),
            _ => return false,
        };
    }
    false
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    /// Sends a form as a page does, with the form token.
    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let token = self.form_token.clone();
        let fields = form.iter().copied().chain([("form_token", token.as_str())]);
        let body: Vec<_> = fields.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        self.ask("POST", path, "Content-Type: application/x-www-form-urlencoded\r\n", &body.join("&")).await
    }

    /// Sends a form and follows the redirect to the page that shows the outcome.
    pub(crate) async fn submit(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let answer = self.post(path, form).await;
        assert_eq!(answer.status, 303, "{path}: {}", answer.body);
        self.get(&answer.location().unwrap()).await
    }

    /// Opens a one-time link and sends its form.
    pub(crate) async fn enter(&mut self, path: &str) -> Answer {
        let page = self.get(path).await;
        let secret = page.between("name=\"secret\" value=\"", "\"").unwrap_or_default().to_owned();
        self.post("/dashboard/enter", &[("secret", &secret)]).await
    }

    pub(crate) async fn sign_in(&mut self, password: &str) -> Answer {
        self.post("/dashboard/sign-in", &[("password", password), ("to", "/dashboard/")]).await
    }

    /// Sends a request for a path or a relative link.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let path = resolved(&self.page, path);
        self.page.clone_from(&path);
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}", self.host);
        if method != "GET" && method != "HEAD" {
            head += &self.origin.as_ref().map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += &self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        // The server may refuse the head without reading the body.
        _ = tcp.write_all(body.as_bytes()).await;
        let mut read = Vec::new();
        _ = tcp.read_to_end(&mut read).await;
        let read = String::from_utf8(read).unwrap();
        let (head, body) = read.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {read:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = Answer { path, status, head: head.to_owned(), body: body.to_owned() };
        if let Some(cookie) = answer.header("set-cookie") {
            let cookie = cookie.split(';').next().unwrap();
            self.cookie = (!cookie.ends_with('=')).then(|| cookie.to_owned());
        }
        if let Some(token) = answer.between("name=\"form_token\" value=\"", "\"") {
            self.form_token = token.to_owned();
        }
        answer
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Returns the path that the answer redirects to; the answer must be relative, because a proxy may add a path in front.
    pub(crate) fn location(&self) -> Option<String> {
        let location = self.header("location")?;
        assert!(location.starts_with('.'), "{location}");
        Some(resolved(&self.path, location))
    }

    pub(crate) fn between(&self, before: &str, after: &str) -> Option<&str> {
        Some(self.body.split_once(before)?.1.split_once(after)?.0)
    }

    pub(crate) fn assert_contains(&self, text: &str) {
        assert!(self.body.contains(text), "{text:?} is not in {}", self.main());
    }

    pub(crate) fn assert_lacks(&self, text: &str) {
        assert!(!self.body.contains(text), "{text:?} is in {}", self.main());
    }

    /// Returns the start of the page's main content.
    fn main(&self) -> String {
        let main = self.body.split_once("<main").map_or(&*self.body, |(_, main)| main);
        main.chars().take(2000).collect()
    }

    /// Returns the value of a secret that is shown.
    pub(crate) fn secret(&self, name: &str) -> String {
        let before = format!("<span class=\"name\">{name}</span><code>");
        self.between(&before, "</code>").unwrap_or_else(|| panic!("no {name} in {}", self.body)).to_owned()
    }
}

/// Returns the path of a link on the page at `page`, as a browser resolves it.
fn resolved(page: &str, link: &str) -> String {
    if link.starts_with('/') {
        return link.to_owned();
    }
    let page = page.split('?').next().unwrap();
    let mut folder = page.rsplit_once('/').unwrap().0;
    let mut link = link.strip_prefix("./").unwrap_or(link);
    while let Some(rest) = link.strip_prefix("../") {
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        link = rest;
    }
    format!("{folder}/{link}")
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02x}")).collect()
}
