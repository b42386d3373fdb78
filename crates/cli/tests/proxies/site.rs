//! A server, and the proxy in front of it, as `docs/PROXIES.md` describes them.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
};

use chatcamp_backend::{Backend, Session};
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime;

use crate::{
    outside::{Outside, free_address},
    page,
    process::{Done, Folder, Running, text},
};

/// The number of attempts to start a proxy on a free port.
const ATTEMPTS: usize = 5;

/// A way to reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ServerAlone,
    Nginx,
    Caddy,
    Haproxy,
    HaproxyPassThrough,
}

impl Way {
    pub(crate) const ALL: [Self; 5] =
        [Self::ServerAlone, Self::Nginx, Self::Caddy, Self::Haproxy, Self::HaproxyPassThrough];

    /// Whether the proxy ends TLS. The server alone does not offer HTTP/2.
    pub(crate) fn ends_tls(self) -> bool {
        !matches!(self, Self::ServerAlone | Self::HaproxyPassThrough)
    }

    /// The title of its section.
    fn title(self) -> &'static str {
        match self {
            Self::ServerAlone => "The server alone",
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
            Self::Haproxy => "HAProxy",
            Self::HaproxyPassThrough => "HAProxy, TLS passed through",
        }
    }

    /// The arguments of `chatcamp` in its section.
    fn arguments(self) -> impl Iterator<Item = &'static str> {
        let mut words = page::words(page::block(self.title(), "sh"));
        assert_eq!(words.next(), Some("chatcamp"));
        words
    }
}

/// A server that users reach in one of the ways.
pub(crate) struct Site {
    pub(crate) way: Way,
    pub(crate) folder: Folder,
    pub(crate) url: String,
    pub(crate) app: String,
    pub(crate) key: String,
    pub(crate) token: String,
    /// The file with the certificate.
    pub(crate) ca: String,
    server: Option<Running>,
    server_address: SocketAddr,
    proxy: Option<Outside>,
    proxy_address: SocketAddr,
    proxy_folder: tempfile::TempDir,
}

impl Site {
    /// Starts everything, with an app and its user alice.
    pub(crate) fn start(way: Way) -> Self {
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
        let (server, server_address) = serve(way, &folder, "127.0.0.1:0");
        let mut site = Self {
            way,
            ca: folder.file("chain.pem").to_str().unwrap().to_owned(),
            folder,
            url: String::new(),
            app,
            key,
            token,
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
        site.url = format!("https://localhost:{}", site.port());
        site
    }

    /// The port at which users reach the server.
    pub(crate) fn port(&self) -> u16 {
        self.proxy_address.port()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.proxy_folder.path().join(name)
    }

    /// Starts the proxy with the configuration of the page at `proxy_address`.
    fn run_proxy(&self) -> Result<Outside, String> {
        let folder = self.proxy_folder.path().display().to_string();
        let port = self.port();
        let title = self.way.title();
        let configuration = |language: &str, changes: &[(&str, String)]| {
            let mut text = page::block(title, language).to_owned();
            for (from, to) in changes {
                assert!(text.contains(from), "{title}: {from}");
                text = text.replace(from, to);
            }
            text
        };
        let upstream = self.server_address.to_string();
        let here = format!("127.0.0.1:{port}");
        let mut command;
        match self.way {
            Way::ServerAlone => unreachable!("it has no proxy"),
            Way::Nginx => {
                let text = configuration(
                    "nginx",
                    &[
                        ("listen 443", format!("listen {here}")),
                        ("[::]:443", format!("[::1]:{port}")),
                        ("/etc/ssl/chatcamp", folder.clone()),
                        ("127.0.0.1:9080", upstream),
                    ],
                );
                fs::write(self.file("nginx.conf"), nginx_with(&text, &folder)).unwrap();
                command = Command::new("/usr/sbin/nginx");
                command.args(["-e", "stderr", "-p", &folder, "-c", "nginx.conf"]);
            }
            Way::Caddy => {
                let text = configuration(
                    "caddyfile",
                    &[
                        ("chat.example.com {", "chat.example.com, localhost {".to_owned()),
                        ("/etc/ssl/chatcamp", folder.clone()),
                        ("127.0.0.1:9080", upstream),
                    ],
                );
                fs::write(self.file("Caddyfile"), caddy_with(&text, port)).unwrap();
                command = Command::new("caddy");
                command.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
                command.env("HOME", &folder).env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
            }
            Way::Haproxy => {
                let text = configuration(
                    "haproxy",
                    &[
                        ("bind :443", format!("bind {here}")),
                        ("/etc/haproxy", folder),
                        ("127.0.0.1:9080", upstream),
                    ],
                );
                fs::write(self.file("haproxy.cfg"), text).unwrap();
                command = haproxy();
            }
            Way::HaproxyPassThrough => {
                let changes = [("bind :443", format!("bind {here}")), ("127.0.0.1:9443", upstream)];
                fs::write(self.file("haproxy.cfg"), configuration("haproxy", &changes)).unwrap();
                command = haproxy();
            }
        }
        Outside::start(&mut command, self.proxy_folder.path(), self.proxy_address)
    }

    /// Replaces the files of the certificate, and waits until the server has noticed.
    pub(crate) fn renew_certificate(&mut self) {
        make_certificate(&self.folder);
        self.server.as_mut().unwrap().logs("the certificates were replaced");
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
        let (server, _) = serve(self.way, &self.folder, &self.server_address.to_string());
        self.server = Some(server);
    }

    /// Publishes an event to alice, as a backend that calls through the proxy. Returns the number of sessions that got it.
    pub(crate) fn publish(&self, kind: &str, data: &Value) -> u64 {
        self.call(async |backend| backend.publish("alice", kind, data).await)
    }

    /// Returns the sessions of alice.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        self.call(async |backend| backend.sessions("alice").await)
    }

    fn call<T>(&self, call: impl AsyncFnOnce(Backend) -> Result<T, chatcamp_backend::Error>) -> T {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let root = fs::read(&self.ca).unwrap();
        runtime.block_on(async {
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

/// Runs the server's command of the page on another address. Also returns where it listens.
fn serve(way: Way, folder: &Folder, listen: &str) -> (Running, SocketAddr) {
    let mut arguments: Vec<_> = way.arguments().collect();
    let at = arguments.iter().position(|argument| *argument == "--listen").unwrap() + 1;
    arguments[at] = listen;
    let mut command = folder.command(&arguments);
    command.arg("--json").current_dir(folder.file("chain.pem").parent().unwrap());
    let server = Running::start(&mut command);
    let address = text(&server.line(), "listening").parse().unwrap();
    (server, address)
}

/// Makes a certificate with the command of the page.
fn make_certificate(folder: &Folder) {
    let mut openssl = Command::new("openssl");
    openssl.args(page::arguments("openssl ")).current_dir(folder.file("key.pem").parent().unwrap());
    let done = Done::of(&mut openssl);
    assert_eq!(done.code, 0, "{}", done.stderr);
}

/// Returns a configuration of nginx that includes only `site`, and keeps its files in `folder`.
fn nginx_with(site: &str, folder: &str) -> String {
    // Some machines that build have no IPv6.
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let lines: Vec<_> = site.lines().filter(|line| has_ipv6 || !line.contains("[::1]")).collect();
    let site = lines.join("\n");
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders: String = folders.iter().map(|name| format!("{name}_temp_path {folder}/{name};\n")).collect();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n\
         http {{\naccess_log off;\n{folders}\n{site}\n}}\n"
    )
}

/// Returns a configuration of Caddy that serves `site` on a port of loopback only.
fn caddy_with(site: &str, port: u16) -> String {
    format!(
        "{{\nadmin off\ndefault_bind 127.0.0.1\nhttps_port {port}\nauto_https disable_redirects\n}}\n{site}"
    )
}

fn haproxy() -> Command {
    let mut command = Command::new("/usr/sbin/haproxy");
    command.args(["-db", "-f", "haproxy.cfg"]);
    command
}
