//! A server, and the proxy in front of it, as `docs/PROXIES.md` describes them.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Instant,
};

use chatcamp_backend::{Backend, Session};
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::{self, Runtime};

use crate::{
    outside::{Outside, free_address},
    page,
    process::{Done, Folder, PATIENCE, Running, text},
    proxy,
    way::{PATH, PathStyle, Way},
};

/// The number of attempts to start a proxy on a free port.
const ATTEMPTS: usize = 5;

/// What differs from the page.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variant {
    /// The server is run without `--trusted-proxy`.
    pub(crate) trusts_nobody: bool,
    /// The server is run with `--dashboard`.
    pub(crate) has_dashboard: bool,
    /// The server is reached below [`PATH`], as the page describes.
    pub(crate) path: Option<PathStyle>,
}

/// A server that users reach in one of the ways.
pub(crate) struct Site {
    pub(crate) way: Way,
    pub(crate) folder: Folder,
    pub(crate) url: String,
    pub(crate) app: String,
    pub(crate) key: String,
    pub(crate) token: String,
    /// The password of the dashboard, if there is one.
    pub(crate) password: String,
    /// The file with the certificate.
    pub(crate) ca: String,
    /// The arguments of the server.
    arguments: Vec<String>,
    variant: Variant,
    server: Option<Running>,
    server_address: SocketAddr,
    proxy: Option<Outside>,
    proxy_address: SocketAddr,
    proxy_folder: tempfile::TempDir,
}

impl Site {
    /// Starts everything, with an app and its user alice.
    pub(crate) fn start(way: Way) -> Self {
        Self::start_as(way, Variant::default())
    }

    pub(crate) fn start_as(way: Way, variant: Variant) -> Self {
        let folder = Folder::new();
        let made = folder.ok(&["app", "create", "test", "--auth", "token"]);
        let [app, key] = ["app_id", "api_key"].map(|field| text(&made, field).to_owned());
        let token = text(&folder.ok(&["user", "create", "alice", "--app", &app]), "access_token").to_owned();
        make_certificate(&folder);
        let proxy_folder = tempfile::tempdir().unwrap();
        let [chain, private] =
            ["chain.pem", "key.pem"].map(|name| fs::read_to_string(folder.file(name)).unwrap());
        for (name, pem) in
            [("chain.pem", &chain), ("key.pem", &private), ("chatcamp.pem", &(chain.clone() + &private))]
        {
            fs::write(proxy_folder.path().join(name), pem).unwrap();
        }
        let mut arguments: Vec<_> = way.arguments().map(str::to_owned).collect();
        if variant.trusts_nobody {
            let at = value_of("--trusted-proxy", &arguments);
            arguments.drain(at - 1..=at);
        }
        let mut password = String::new();
        if variant.has_dashboard {
            arguments.push("--dashboard".to_owned());
            text(&folder.ok(&["admin", "password"]), "password").clone_into(&mut password);
        }
        if variant.path.is_some() {
            let at = value_of("--public-url", &arguments);
            arguments[at] += PATH;
        }
        let (server, server_address) = serve(&arguments, &folder, "127.0.0.1:0");
        let mut site = Self {
            way,
            ca: folder.file("chain.pem").to_str().unwrap().to_owned(),
            folder,
            url: String::new(),
            app,
            key,
            token,
            password,
            arguments,
            variant,
            server: Some(server),
            server_address,
            proxy: None,
            proxy_address: server_address,
            proxy_folder,
        };
        for attempt in 1.. {
            if way == Way::ServerAlone {
                break;
            }
            site.proxy_address = free_address();
            match site.run_proxy() {
                Ok(proxy) => {
                    site.proxy = Some(proxy);
                    break;
                }
                Err(why) => assert!(attempt < ATTEMPTS, "{why}"),
            }
        }
        let path = variant.path.map_or("", |_| PATH);
        site.url = format!("https://localhost:{}{path}", site.port());
        site
    }

    /// The port at which users reach the server.
    pub(crate) fn port(&self) -> u16 {
        self.proxy_address.port()
    }

    fn run_proxy(&self) -> Result<Outside, String> {
        let folder = self.proxy_folder.path();
        proxy::start(self.way, self.variant.path, folder, self.proxy_address, self.server_address)
    }

    /// Replaces the files of the certificate, and waits until the server has noticed.
    pub(crate) fn renew_certificate(&mut self) {
        make_certificate(&self.folder);
        self.server.as_mut().unwrap().logs("the certificates were replaced");
    }

    /// Returns `curl` for a path of the server.
    pub(crate) fn curl(&self, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "30", "--cacert", &self.ca]);
        curl.arg(format!("{}{path}", self.url));
        curl
    }

    /// Performs a handshake with OpenSSL, in this version of TLS.
    pub(crate) fn handshake(&self, version: &str) -> Done {
        let address = self.proxy_address.to_string();
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-connect",
            &address,
            "-servername",
            "localhost",
            "-CAfile",
            &self.ca,
            version,
        ]);
        Done::of(openssl.args(["-verify_return_error", "-brief"]).stdin(Stdio::null()))
    }

    /// Waits until the logs of the proxy contain one text of each list, and returns them.
    pub(crate) fn logs_with(&self, expected: &[&[&str]]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let files = fs::read_dir(self.proxy_folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let logs = files.filter(|path| path.to_string_lossy().ends_with("log"));
            let logs: String = logs.map(|path| fs::read_to_string(path).unwrap()).collect();
            if expected.iter().all(|texts| texts.iter().any(|text| logs.contains(text))) {
                return logs;
            }
            assert!(Instant::now() < deadline, "not logged: {expected:?}; {logs}");
        }
    }

    /// Ends the proxy and starts it again.
    pub(crate) fn restart_proxy(&mut self) {
        drop(self.proxy.take());
        self.proxy = Some(self.run_proxy().unwrap());
    }

    /// Ends the server in order.
    pub(crate) fn stop_server(&mut self) {
        let server = self.server.take().unwrap();
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code, 0);
    }

    /// Starts the server again, on the same address.
    pub(crate) fn start_server(&mut self) {
        let (server, _) = serve(&self.arguments, &self.folder, &self.server_address.to_string());
        self.server = Some(server);
    }

    /// Publishes an event to alice, as a backend that calls through the proxy. Returns the number of sessions that it was delivered to.
    pub(crate) fn publish(&self, kind: &str, data: &Value) -> u64 {
        self.call(async |backend| Ok(backend.publish("alice", kind, data).await?.delivered))
    }

    /// Returns the sessions of alice.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        self.call(async |backend| backend.sessions("alice").await)
    }

    fn call<T>(&self, call: impl AsyncFnOnce(Backend) -> Result<T, chatcamp_backend::Error>) -> T {
        let root = fs::read(&self.ca).unwrap();
        runtime().block_on(async {
            let backend =
                Backend::builder(&self.url, self.key.as_str()).root_certificate(root).build().unwrap();
            call(backend).await.unwrap()
        })
    }

    /// Returns `chatcamp connect` as alice over a transport.
    pub(crate) fn connect(&self, transport: &str, token: &str) -> Command {
        let mut args: Vec<&str> = page::arguments("chatcamp ");
        for (from, to) in [("APP_ID", &self.app), ("https://chat.example.com", &self.url)] {
            *args.iter_mut().find(|argument| **argument == from).unwrap() = to;
        }
        args.extend(["--ca", &self.ca, "--transport", transport]);
        let mut command = self.folder.command(&args);
        command.arg("--json").env("CHATCAMP_TOKEN", token);
        command
    }

    /// Connects alice over a transport, in the background.
    pub(crate) fn stay(&self, transport: &str) -> Running {
        let running = Running::start(self.connect(transport, &self.token).arg("--stay"));
        assert_eq!(running.line()["event"], "connected");
        running
    }
}

/// Creates a runtime for calls of this thread.
pub(crate) fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs the server on another address. Also returns where it listens.
fn serve(arguments: &[String], folder: &Folder, listen: &str) -> (Running, SocketAddr) {
    let at = value_of("--listen", arguments);
    let mut arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    arguments[at] = listen;
    let mut command = folder.command(&arguments);
    command.arg("--json").current_dir(folder.file("chain.pem").parent().unwrap());
    let server = Running::start(&mut command);
    let address = text(&server.line(), "listening").parse().unwrap();
    (server, address)
}

/// Returns the position of the value of an option.
fn value_of(option: &str, arguments: &[String]) -> usize {
    arguments.iter().position(|argument| argument == option).unwrap() + 1
}

/// Makes a certificate with the command of the page.
fn make_certificate(folder: &Folder) {
    let mut openssl = Command::new("openssl");
    openssl.args(page::arguments("openssl ")).current_dir(folder.file("key.pem").parent().unwrap());
    let done = Done::of(&mut openssl);
    assert_eq!(done.code, 0, "{}", done.stderr);
}
