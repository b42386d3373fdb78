//! The cost of one connection in the real binary. The limits detect increases; they are not goals.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The maximum number of resident bytes per idle connection, including its user in the cache.
const BYTES: usize = 2560;
/// The maximum number of resident bytes per held poll, including its session and user.
const POLL_BYTES: usize = 4096;
/// The maximum number of resident bytes that wrong passwords for the dashboard may add, once both lanes have hashed one. Hashing a single
/// password takes 19 MiB.
const GUESS_BYTES: usize = 4 * 1024 * 1024;
/// The maximum number of system calls of the server per connect of a known user, from accepting to closing the connection.
const SYSTEM_CALLS: usize = 12;

/// A running `chatcamp dev`.
struct Dev {
    child: Child,
    address: String,
    app: String,
    api_key: String,
    _folder: tempfile::TempDir,
}

impl Dev {
    fn start(under: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = match under {
            [] => Command::new(env!("CARGO_BIN_EXE_chatcamp")),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(env!("CARGO_BIN_EXE_chatcamp"));
                command
            }
        };
        command.args(["dev", "--listen", "127.0.0.1:0", "--json", "--data"]).arg(folder.path());
        // Without the lines about activity, which `serve` does not print either.
        command.env("CHATCAMP_LOG", "info");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let started: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        // The self-check has ended when its line is printed.
        assert!(lines.next().unwrap().contains("self_check"));
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        Self {
            child,
            address: text("listening"),
            app: text("app_id"),
            api_key: text("api_key"),
            _folder: folder,
        }
    }

    /// Connects a user as the published SDK does over WebSocket. Returns once the user is acknowledged.
    fn connect(&self, user: &str) -> TcpStream {
        self.ask(
            user,
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        )
    }

    /// Connects a user as the published SDK does over long-poll, and sends a poll, which is held.
    fn poll(&self, user: &str) -> TcpStream {
        let id = format!("iflychat-token: {user}\r\n");
        let mut tcp = self.ask(user, &id);
        tcp.write_all(self.head(user, &id).as_bytes()).unwrap();
        tcp
    }

    /// Sends wrong passwords to the dashboard over many connections at once. Returns when all have been refused.
    fn guess_passwords(&self, guesses: usize) {
        const CONNECTIONS: usize = 32;
        let left = AtomicUsize::new(guesses);
        let take_one = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    while take_one().is_ok() {
                        let answer = self.guess_password();
                        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
                    }
                });
            }
        });
    }

    fn guess_password(&self) -> String {
        const FORM: &str = "password=a+wrong+password&to=%2Fdashboard%2F";
        let (host, length) = (&self.address, FORM.len());
        let mut tcp = TcpStream::connect(host).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            tcp,
            "POST /dashboard/sign-in HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{FORM}"
        )
        .unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Publishes an event of 30 kB to everyone, as a backend does.
    fn publish(&self) {
        let mut tcp = TcpStream::connect(&self.address).unwrap();
        let body = format!(r#"{{"to":{{"all":true}},"type":"x","data":"{}"}}"#, "x".repeat(30_000));
        let head = format!(
            "POST /api/2.0/users.publish HTTP/1.1\r\nHost: h\r\nX-Api-Key: {}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            self.api_key,
            body.len()
        );
        tcp.write_all(head.as_bytes()).unwrap();
        tcp.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn head(&self, user: &str, headers: &str) -> String {
        let app = &self.app;
        format!("GET /chat/2.0?app_id={app}&user_id={user} HTTP/1.1\r\nHost: h\r\n{headers}\r\n")
    }

    /// Sends a request and waits for the acknowledgement.
    fn ask(&self, user: &str, headers: &str) -> TcpStream {
        let mut tcp = TcpStream::connect(&self.address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        tcp.write_all(self.head(user, headers).as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("session_key") {
            let mut part = [0; 4096];
            let n = tcp.read(&mut part).unwrap();
            assert_ne!(n, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..n]);
        }
        tcp
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn resident_bytes(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Returns the bytes that each of a thousand connections adds, after a first hundred have allocated shared memory.
fn bytes_each(connect: impl Fn(&Dev, &str) -> TcpStream) -> usize {
    let dev = Dev::start(&[]);
    let warm: Vec<_> = (0..100).map(|n| connect(&dev, &format!("warm{n}"))).collect();
    let before = resident_bytes(dev.child.id());
    let held: Vec<_> = (0..1000).map(|n| connect(&dev, &format!("user{n}"))).collect();
    let each = resident_bytes(dev.child.id()).saturating_sub(before) / held.len();
    drop((warm, held));
    each
}

#[test]
fn an_idle_connection_costs_few_bytes() {
    let each = bytes_each(Dev::connect);
    assert!(each <= BYTES, "{each} bytes per idle connection");
}

#[test]
fn a_held_poll_costs_few_bytes() {
    let each = bytes_each(Dev::poll);
    assert!(each <= POLL_BYTES, "{each} bytes per held poll");
}

#[test]
fn wrong_passwords_do_not_grow_memory() {
    let guesses = env::var("CHATCAMP_GUESSES").map_or(200, |guesses| guesses.parse().unwrap());
    let dev = Dev::start(&[]);
    let started = resident_bytes(dev.child.id());
    // The first guess uses the lane for addresses without failures, the others the lane for addresses with failures.
    dev.guess_passwords(1);
    dev.guess_passwords(40);
    let before = resident_bytes(dev.child.id());
    dev.guess_passwords(guesses);
    let after = resident_bytes(dev.child.id());
    println!(
        "resident KiB: {} started, {} after 41 guesses, {} after {guesses} more",
        started / 1024,
        before / 1024,
        after / 1024
    );
    let grown = after.saturating_sub(before);
    assert!(grown <= GUESS_BYTES, "{grown} bytes more after {guesses} guesses");
}

/// Closes connections with code 1000, which ends their sessions. Ignores connections that the server has already closed.
fn leave(mut clients: Vec<TcpStream>) {
    clients.iter_mut().for_each(|client| _ = client.write_all(b"\x88\x82\0\0\0\0\x03\xe8"));
}

#[test]
fn memory_is_returned_after_clients_that_do_not_read_have_left() {
    let crowd = env::var("CHATCAMP_CROWD").map_or(300, |crowd| crowd.parse().unwrap());
    let dev = Dev::start(&[]);
    leave((0..100).map(|n| dev.connect(&format!("user{n}"))).collect());
    let before = resident_bytes(dev.child.id());
    let clients: Vec<_> = (0..crowd).map(|n| dev.connect(&format!("user{n}"))).collect();
    // The kernel buffers a part for each client; the session queues the rest, up to its share of the budget.
    for _ in 0..60 {
        dev.publish();
    }
    let most = resident_bytes(dev.child.id());
    assert!(most > before + (4 << 20), "{before} bytes before, {most} with the crowd: nothing was queued");
    leave(clients);

    let deadline = Instant::now() + Duration::from_secs(60);
    let mut after = resident_bytes(dev.child.id());
    while after > before * 3 / 2 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
        after = resident_bytes(dev.child.id());
    }
    println!("{before} bytes before, {most} with the crowd, {after} after it");
    assert!(after <= before * 3 / 2, "{before} bytes before, {most} with the crowd, {after} after it");
}

/// The system calls of connections, without those with which the runtime waits and wakes.
const OF_CONNECTIONS: &str = "trace=accept4,recvfrom,recvmsg,sendto,sendmsg,writev,shutdown,close,epoll_ctl,\
    setsockopt,getsockopt,getpeername,getsockname,ioctl,fcntl";

/// Waits until `closed` sockets have been closed, and returns the number of system calls so far.
fn system_calls(trace: &Path, closed: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let lines = fs::read_to_string(trace).unwrap();
        // The store also calls fcntl, to lock files.
        let calls: Vec<_> = lines.lines().filter(|l| l.contains('(') && !l.contains("F_SETLK")).collect();
        if calls.iter().filter(|l| l.contains(" close(")).count() >= closed {
            return calls.len();
        }
        assert!(Instant::now() < deadline, "not every connection was closed");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs strace: apt-get install strace"]
fn a_connect_costs_few_system_calls() {
    const CONNECTS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    // With -D the server remains a child of this process, and ends with it.
    let dev = Dev::start(&["strace", "-D", "-f", "-qq", "-e", OF_CONNECTIONS, "-o", trace.to_str().unwrap()]);
    drop(dev.connect("alice"));
    let closes = |lines: &str| lines.lines().filter(|l| l.contains(" close(")).count();
    let closed = closes(&fs::read_to_string(&trace).unwrap()) + 1;
    let before = system_calls(&trace, closed);
    // One connect for each user, because the connects of a user have a rate.
    for n in 0..CONNECTS {
        drop(dev.connect(&format!("user{n}")));
    }
    let each = (system_calls(&trace, closed + CONNECTS) - before) / CONNECTS;
    drop(dev);
    assert!(each <= SYSTEM_CALLS, "{each} system calls per connect");
}
