//! Tests of `chatcamp dev` and `chatcamp serve`.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use chatcamp_client::transport::{Close, Message, Transport as _, websocket};
use rustix::process::Signal;
use serde_json::json;

use crate::process::{Done, Folder, PATIENCE, Running, mode, text};

#[test]
fn dev_accepts_connections_once_it_prints_its_address_and_runs_the_self_check() {
    let folder = Folder::new();
    let (dev, ready) = folder.dev();
    TcpStream::connect(text(&ready, "listening")).unwrap();
    assert_eq!(text(&ready, "url"), format!("http://{}", text(&ready, "listening")));
    assert!(text(&ready, "api_key").starts_with("ck1_"));
    let check = dev.line();
    assert_eq!(check["ok"], true, "{check}");
    for row in check["self_check"].as_array().unwrap() {
        for transport in ["memory", "websocket", "long_poll"] {
            assert!(row[format!("{transport}_ms")].is_number(), "{transport}: {row}");
        }
    }
}

#[test]
fn dev_tells_people_what_to_do_next() {
    let folder = Folder::new();
    let dev = || folder.command(&["dev", "--listen", "127.0.0.1:0"]);
    let by_cargo = format!("cargo run -- connect alice --data {}", folder.path().display());
    let started = [(dev(), folder.next_command("connect alice")), (dev(), by_cargo)];
    for (mut command, next) in started {
        if next.starts_with("cargo") {
            command.env("CARGO_PKG_NAME", "chatcamp-cli");
        }
        let dev = Running::start(&mut command);
        let all = dev.text_until("disconnect  ");
        for said in ["http://127.0.0.1:", "API key", &next] {
            assert!(all.contains(said), "{said}: {all}");
        }
        let link = all.lines().find(|line| line.contains("/dashboard/")).unwrap();
        let link = link.strip_prefix("  http://127.0.0.1:").expect("the link is alone on its line");
        assert!(link.len() + "  http://127.0.0.1:".len() <= 80, "{link}");
    }
}

#[test]
fn a_second_server_on_the_folder_is_refused_and_the_first_keeps_running() {
    let folder = Folder::new();
    let (_dev, ready) = folder.dev();
    for command in ["dev", "serve"] {
        let done = folder.run(&[command, "--listen", "127.0.0.1:0"]);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{}", done.stderr);
        assert!(done.stderr.contains("already served"), "{}", done.stderr);
        assert!(done.stderr.contains(text(&ready, "listening")), "{}", done.stderr);
    }
    assert_eq!(folder.run(&["connect", "alice"]).code, 0);
}

#[test]
fn the_development_app_and_its_key_are_the_same_after_a_restart() {
    let folder = Folder::new();
    let (dev, first) = folder.dev();
    dev.signal(Signal::TERM);
    assert_eq!(dev.wait().code, 0);
    assert_eq!(mode(&folder.path().join("dev.json")), 0o600);
    let (_dev, second) = folder.dev();
    for field in ["app_id", "api_key"] {
        assert_eq!(first[field], second[field]);
    }
    assert_eq!(folder.run(&["connect", "alice"]).code, 0, "at the new address");
}

#[test]
fn the_development_app_is_found_when_serve_takes_over() {
    let folder = Folder::new();
    let (dev, _) = folder.dev();
    dev.signal(Signal::TERM);
    assert_eq!(dev.wait().code, 0);
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    serve.line();
    assert_eq!(folder.run(&["connect", "alice"]).code, 0);
}

#[test]
fn a_revoked_development_key_is_replaced() {
    let folder = Folder::new();
    let (dev, first) = folder.dev();
    dev.kill();
    let key = folder.ok(&["app", "key", "list", "--app", text(&first, "app_id")]);
    folder.ok(&["app", "key", "revoke", "--app", text(&first, "app_id"), text(&key, "id")]);
    let (_dev, second) = folder.dev();
    assert_eq!(first["app_id"], second["app_id"]);
    assert_ne!(first["api_key"], second["api_key"]);
}

#[test]
fn a_wrong_keyring_refuses_to_start() {
    let folder = Folder::new();
    folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let keys = folder.file("other-keys");
    fs::write(&keys, "ab".repeat(32)).unwrap();
    for command in ["dev", "serve"] {
        let done =
            Done::of(folder.command(&[command, "--listen", "127.0.0.1:0"]).env("CHATCAMP_KEYS_FILE", &keys));
        assert_eq!((done.code, done.stdout.as_str()), (1, ""));
        assert!(done.stderr.contains("does not belong to the database"), "{}", done.stderr);
    }
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = folder.run(&["serve", "--listen", &address]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains(&address) && done.stderr.contains("--listen"), "{}", done.stderr);
}

#[test]
fn a_running_server_sees_users_created_on_the_command_line_within_two_seconds() {
    let folder = Folder::new();
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", text(&serve.line(), "listening"));
    let app = folder.ok(&["app", "create", "strict", "--auth", "token"]);
    let app = text(&app, "app_id");
    let connect =
        |token: &str| folder.run(&["connect", "alice", "--app", app, "--url", &url, "--token", token]).code;
    assert_eq!(connect("not a token of hers"), 1, "the server now remembers that alice does not exist");

    let created = folder.ok(&["user", "create", "alice", "--app", app]);
    let deadline = Instant::now() + Duration::from_secs(2);
    while connect(text(&created, "access_token")) != 0 {
        assert!(Instant::now() < deadline, "alice is unknown for two seconds");
    }
}

#[test]
fn even_the_most_detailed_log_contains_no_secret() {
    let folder = Folder::new();
    let mut command = folder.command(&["dev", "--listen", "127.0.0.1:0", "--json"]);
    let dev = Running::start(command.env("CHATCAMP_LOG", "trace"));
    let ready = dev.line();
    let created = folder.ok(&["user", "create", "alice"]);
    let (app, token) = (text(&ready, "app_id"), text(&created, "access_token"));
    let query = format!("app_id={app}&user_id=alice&access_token={token}");
    for transport in ["websocket", "long-poll"] {
        assert_eq!(folder.run(&["connect", "alice", "--token", token, "--transport", transport]).code, 0);
    }
    let poll_id = "PollIdOfThePublishedSdk001763800000000";
    let poll = format!("iflychat-token: {poll_id}\r\nx-csrf-token: undefined\r\n");
    // The requests of a published SDK for a WebSocket and a poll, and a request for a page.
    for headers in [
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        &poll,
        "Connection: close\r\n",
    ] {
        let mut answer = [0; 12];
        let mut tcp = TcpStream::connect(text(&ready, "listening")).unwrap();
        write!(tcp, "GET /chat/2.0?{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").unwrap();
        tcp.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 "));
    }
    dev.signal(Signal::TERM);
    let log = dev.wait().stderr;
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is on: {log}");
    for secret in [token, text(&ready, "api_key"), "access_token=", poll_id] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let folder = Folder::new();
    let (mut dev, ready) = folder.dev();
    let _check = dev.line();
    // A client that never closes its connection: the shutdown would wait for it.
    let mut tcp = TcpStream::connect(text(&ready, "listening")).unwrap();
    let app = text(&ready, "app_id");
    write!(
        tcp,
        "GET /chat/2.0?app_id={app}&user_id=a HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("users.auth.ack") {
        let mut piece = [0; 1024];
        let read = tcp.read(&mut piece).unwrap();
        assert_ne!(read, 0);
        answer.extend_from_slice(&piece[..read]);
    }
    dev.signal(Signal::TERM);
    dev.logs("shutting down");
    dev.signal(Signal::TERM);
    assert_eq!(dev.wait().code, 1);
}

#[test]
fn an_idle_connection_is_kept_for_the_configured_time() {
    let folder = Folder::new();
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0", "--keep-alive", "1"]);
    let mut tcp = TcpStream::connect(text(&serve.line(), "listening")).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut all = String::new();
    tcp.read_to_string(&mut all).expect("the server closes it");
    assert!(all.ends_with("{\"ok\":true}"), "{all}");

    let done = folder.run(&["serve", "--listen", "127.0.0.1:0", "--keep-alive", "0"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
}

#[test]
fn a_network_without_rates_is_an_address_or_a_network() {
    let folder = Folder::new();
    let good = ["--rate-exempt", "192.0.2.7", "--rate-exempt", "2001:db8::/32"];
    let serve = folder.start(&[&["serve", "--listen", "127.0.0.1:0"][..], &good].concat());
    assert!(serve.line()["listening"].is_string());
    let done = folder.run(&["serve", "--listen", "127.0.0.1:0", "--rate-exempt", "192.0.2.0/33"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("such as 192.0.2.7"), "{}", done.stderr);
}

#[test]
fn half_open_connections_do_not_block_users_when_few_files_may_be_open() {
    const FILES: usize = 256;
    let folder = Folder::new();
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {FILES} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_chatcamp"), "dev", "--listen", "127.0.0.1:0", "--json"]);
    let dev = Running::start(command.arg("--data").arg(folder.path()).env_remove("CHATCAMP_LOG"));
    let ready = dev.line();
    assert_eq!(dev.line()["ok"], true, "the self-check is over");
    let connect = |user: usize| {
        let mut tcp = TcpStream::connect(text(&ready, "listening")).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET /chat/2.0?app_id={}&user_id=user{user} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            text(&ready, "app_id")
        );
        tcp.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("session_key") {
            let mut part = [0; 4096];
            let n = tcp.read(&mut part).unwrap();
            assert_ne!(n, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..n]);
        }
        tcp
    };
    // Sessions use more than half of the files, so less than half remains for pending connections.
    let sessions: Vec<_> = (0..150).map(connect).collect();
    let half_open: Vec<_> =
        (0..300).map(|_| TcpStream::connect(text(&ready, "listening")).unwrap()).collect();
    let newest = connect(sessions.len());
    let log = dev.kill().stderr;
    drop((sessions, half_open, newest));
    assert!(log.matches("cannot accept connections").count() <= 1, "{log}");
}

/// Connects over WebSocket and ends the connection with this reason.
fn close_with(url: &str, reason: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = websocket::Transport::new(&format!("{url}/chat/2.0")).unwrap().connect().await.unwrap();
        let hello = json!({"t": "users.auth", "r": 1, "d": {"v": 1, "client": "test/1", "app_id": "demo", "user_id": "eve"}});
        connection.send(Message::from(hello.to_string())).await.unwrap();
        connection.recv().await.unwrap();
        connection.close(Close::new(4000, reason)).await;
    });
}

#[test]
fn text_from_a_peer_stays_on_one_line_of_the_log() {
    let folder = Folder::new();
    folder.ok(&["app", "create", "demo", "--auth", "open", "--id", "demo"]);
    let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0", "--json"]);
    let mut serve = Running::start(command.env("CHATCAMP_LOG", "debug"));
    let url = format!("http://{}", text(&serve.line(), "listening"));
    close_with(&url, "x\r\n2099-01-01T00:00:00.000000Z  INFO chatcamp: FORGED\u{2028}\u{202e}\u{1b}[2J");
    serve.logs("FORGED");
    serve.signal(Signal::TERM);
    let log = serve.wait().stderr;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("FORGED")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].starts_with("20") && !lines[0].starts_with("2099") && lines[0].contains("x\\r\\n2099"),
        "{log}"
    );
    assert!(!log.contains(['\r', '\u{2028}', '\u{202e}', '\u{1b}']), "{log:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn core_dumps_and_debuggers_of_the_same_user_cannot_read_the_master_keys() {
    use std::os::unix::{fs::MetadataExt as _, process::CommandExt as _};

    // In /proc, the files of a process that is not dumpable belong to root. As root, the test runs it with another group.
    const GROUP: u32 = 65_534;
    let owner_of_environ = |options: &[&str], dumps: Option<&str>| {
        let folder = Folder::new();
        let mut command =
            folder.command(&[&["serve", "--listen", "127.0.0.1:0", "--json"], options].concat());
        if rustix::process::getuid().is_root() {
            command.gid(GROUP);
        }
        if let Some(dumps) = dumps {
            command.env("CHATCAMP_CORE_DUMPS", dumps);
        }
        let serve = Running::start(&mut command);
        serve.line();
        let environ = fs::metadata(format!("/proc/{}/environ", serve.id())).unwrap();
        (environ.uid(), environ.gid())
    };
    assert_eq!(owner_of_environ(&[], None), (0, 0));
    assert_ne!(owner_of_environ(&[], Some("1")), (0, 0), "dumps are allowed by the environment variable");
}
