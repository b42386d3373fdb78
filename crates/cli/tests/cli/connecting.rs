//! Tests of `chatcamp connect`.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::process::{Done, Folder, Running, text};

/// Every value of `--transport`, and the transport that the connection then uses.
const TRANSPORTS: [(&str, &str); 3] =
    [("auto", "websocket"), ("websocket", "websocket"), ("long-poll", "long-poll")];

#[test]
fn a_user_connects_by_id_and_disconnects_at_the_end_of_stdin() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    for (asked, carried) in TRANSPORTS {
        let mut connect = folder.start(&["connect", "alice", "--transport", asked]);
        let connected = connect.line();
        assert_eq!(text(&connected, "event"), "connected");
        assert_eq!((text(&connected["user"], "id"), text(&connected, "transport")), ("alice", carried));
        connect.end_stdin();
        let done = connect.wait();
        assert_eq!((done.code, done.stderr.as_str()), (0, ""));
        assert_eq!(done.objects(), [serde_json::json!({ "event": "disconnected" })]);
    }
}

#[test]
fn long_poll_gets_through_where_websocket_does_not() {
    let folder = Folder::new();
    let (_dev, ready) = folder.dev();
    let token = folder.ok(&["user", "create", "alice"]);
    let url = format!("http://{}", without_websocket(text(&ready, "listening").to_owned()));
    let args = ["connect", "alice", "--url", &url, "--token", text(&token, "access_token")];
    let done = folder.run(&args);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(text(&done.objects()[0], "transport"), "long-poll");
    let done = folder.run(&[&args[..], &["--transport", "websocket"]].concat());
    assert_eq!(done.code, 1, "the chosen transport has no fallback");
}

/// Starts a proxy to `server` that does not support WebSocket, and returns its address.
fn without_websocket(server: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = server.clone();
            thread::spawn(move || relay(client, &server));
        }
    });
    address
}

fn relay(mut client: TcpStream, server: &str) -> io::Result<()> {
    let mut begin = [0; 4096];
    let read = client.read(&mut begin)?;
    if String::from_utf8_lossy(&begin[..read]).contains("Upgrade: websocket") {
        return client.write_all(b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n");
    }
    let mut server = TcpStream::connect(server)?;
    server.write_all(&begin[..read])?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        to_client.shutdown(Shutdown::Both)
    });
    io::copy(&mut client, &mut server)?;
    server.shutdown(Shutdown::Both)
}

#[test]
fn a_token_is_read_from_an_option_a_file_stdin_or_the_environment() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    let created = folder.ok(&["user", "create", "alice"]);
    let token = text(&created, "access_token");
    let file = folder.file("token");
    fs::write(&file, format!("{token}\n")).unwrap();

    let connect = |args: &[&str]| folder.command(&[&["connect", "alice", "--json"], args].concat());
    let by_option = Done::of(&mut connect(&["--token", token]));
    let over_long_poll = Done::of(&mut connect(&["--token", token, "--transport", "long-poll"]));
    let by_file = Done::of(&mut connect(&["--token-file", file.to_str().unwrap()]));
    let by_environment = Done::of(connect(&[]).env("CHATCAMP_TOKEN", token));
    let option_over_environment =
        Done::of(connect(&["--token", token]).env("CHATCAMP_TOKEN", "another token of hers"));
    let by_stdin = {
        let mut child =
            connect(&["--token-file", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        child.wait().unwrap().code()
    };
    for done in [by_option, over_long_poll, by_file, by_environment, option_over_environment] {
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(!done.stdout.contains(token), "events contain no token");
    }
    assert_eq!(by_stdin, Some(0));
}

#[test]
fn a_refusal_says_why_and_exits_with_one() {
    let folder = Folder::new();
    let (_dev, ready) = folder.dev();
    folder.ok(&["user", "create", "alice", "--token", "alice's own access token"]);
    let unknown_app: &[&str] = &["connect", "alice", "--app", "nosuchapp"];
    for (transport, _) in TRANSPORTS {
        for (args, code) in [
            (&["connect", "alice"] as &[&str], "ACCESS_TOKEN_REQUIRED"),
            (&["connect", "alice", "--token", "bob's own access token"], "ACCESS_TOKEN_INVALID"),
            (&["connect", "zoe", "--token", "zoe's own access token"], "ACCESS_TOKEN_INVALID"),
            (unknown_app, "APP_NOT_FOUND"),
        ] {
            let args = [args, &["--transport", transport]].concat();
            let done = folder.run(&args);
            assert_eq!(done.code, 1, "{args:?}");
            let [refused] = &done.objects()[..] else { panic!("{args:?}: {}", done.stdout) };
            assert_eq!((text(refused, "event"), text(refused, "code")), ("refused", code), "{args:?}");
            assert!(!text(refused, "message").is_empty());
            assert!(done.stderr.contains(code) && done.stderr.lines().count() == 1, "{}", done.stderr);
        }
    }
    let app = text(&ready, "app_id");
    folder.ok(&["user", "create", "bob"]);
    let to_people = Done::of(&mut folder.command(&["connect", "bob", "--app", app]));
    assert_eq!((to_people.code, to_people.stdout.as_str()), (1, ""), "people see the failure only once");
    let command = folder.next_command(&format!("user token bob --app {app}"));
    assert!(to_people.stderr.contains(&format!("`{command}` prints one")), "{}", to_people.stderr);
    let token = folder.ok(&["user", "token", "bob", "--app", app]);
    assert_eq!(folder.run(&["connect", "bob", "--token", text(&token, "access_token")]).code, 0);
    drop(ready);
}

#[test]
fn an_unreachable_server_is_an_error_that_says_what_to_do() {
    let folder = Folder::new();
    let (dev, _) = folder.dev();
    dev.kill();
    for (transport, _) in TRANSPORTS {
        let done = folder.run(&["connect", "alice", "--transport", transport]);
        assert_eq!(done.code, 1, "{transport}");
        assert_eq!(text(&done.objects()[0], "event"), "disconnected");
        assert!(done.stderr.contains("chatcamp dev"), "{transport}: {}", done.stderr);
    }
}

#[test]
fn locking_a_user_ends_a_session_opened_without_token_within_two_seconds() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    for (transport, _) in TRANSPORTS {
        let (alice, bob) = (format!("alice-{transport}"), format!("bob-{transport}"));
        let connect = |user: &str| folder.start(&["connect", user, "--transport", transport]);
        let (alice_connected, bob_connected) = (connect(&alice), connect(&bob));
        alice_connected.event("connected");
        bob_connected.event("connected");
        folder.ok(&["user", "lock", &alice]);
        let refused = alice_connected.event_before("refused", Instant::now() + Duration::from_secs(2));
        assert_eq!(text(&refused, "code"), "ACCESS_TOKEN_REQUIRED", "{transport}");
        assert_eq!(alice_connected.wait().code, 1, "{transport}");
        bob_connected.signal(Signal::INT);
        let done = bob_connected.wait();
        assert_eq!(done.code, 0, "bob is not affected: {}", done.stderr);
        assert_eq!(done.objects(), [serde_json::json!({ "event": "disconnected" })]);
    }
}

#[test]
fn with_stay_the_user_stays_connected_after_the_end_of_stdin() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    let mut alice = folder.start(&["connect", "alice", "--stay"]);
    alice.end_stdin();
    alice.event("connected");
    folder.ok(&["user", "suspend", "alice"]);
    assert_eq!(text(&alice.line(), "event"), "refused");
    assert_eq!(alice.wait().code, 1);
}

#[test]
fn a_trace_shows_every_envelope_and_no_secret() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    let created = folder.ok(&["user", "create", "alice"]);
    let token = text(&created, "access_token");
    let done = folder.run(&["connect", "alice", "--token", token, "--trace"]);
    let traced: Vec<_> = done.objects().into_iter().filter(|line| line["trace"].is_string()).collect();
    assert_eq!(
        (text(&traced[0], "trace"), text(&traced[0]["envelope"], "t")),
        ("sent", "users.auth"),
        "{}",
        done.stdout
    );
    assert_eq!(
        (text(&traced[1], "trace"), text(&traced[1]["envelope"], "t")),
        ("received", "users.auth.ack")
    );
    assert_eq!(text(&traced[0]["envelope"]["d"], "access_token"), "…");
    assert!(!done.stdout.contains(token));

    let to_people = Done::of(&mut folder.command(&["connect", "alice", "--token", token, "--trace"]));
    assert!(to_people.stderr.contains("--> {\"t\":\"users.auth\"") && !to_people.stderr.contains(token));
    assert_eq!(to_people.stdout, "connected as alice over websocket\ndisconnected\n");
}

#[test]
fn a_client_reconnects_after_its_server_restarts() {
    let folder = Folder::new();
    let (dev, ready) = folder.dev();
    let alice = folder.start(&["connect", "alice"]);
    alice.event("connected");
    dev.kill();
    alice.event("reconnecting");
    let _dev: Running = folder.start(&["dev", "--listen", text(&ready, "listening")]);
    alice.event("connected");
    alice.signal(Signal::TERM);
    assert_eq!(alice.wait().code, 0);
}

#[test]
fn white_space_around_a_token_is_removed_wherever_it_is_given() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    let created = folder.ok(&["user", "create", "alice"]);
    let token = text(&created, "access_token");
    let file = folder.file("token");
    let connect = |args: &[&str]| folder.command(&[&["connect", "alice", "--json"], args].concat());
    for around in
        [format!("{token}\r\n"), format!("{token}\r"), format!("\u{feff}{token}\n\n"), format!(" {token} \t")]
    {
        fs::write(&file, &around).unwrap();
        let by_file = Done::of(&mut connect(&["--token-file", file.to_str().unwrap()]));
        let by_environment = Done::of(connect(&[]).env("CHATCAMP_TOKEN", &around));
        let by_option = Done::of(&mut connect(&["--token", &around]));
        for done in [by_file, by_environment, by_option] {
            assert_eq!(done.code, 0, "{around:?}: {}", done.stderr);
        }
    }
    for (within, code) in [(format!("{} {}", &token[..9], &token[9..]), 1), ("\r\n".to_owned(), 2)] {
        fs::write(&file, &within).unwrap();
        let done = Done::of(&mut connect(&["--token-file", file.to_str().unwrap()]));
        assert_eq!(done.code, code, "{}", done.stderr);
        assert!(done.stderr.contains(if code == 1 { "white space" } else { "empty" }), "{}", done.stderr);
        assert!(!done.stderr.contains(&token[9..]), "{}", done.stderr);
    }
}
