//! Tests of `chatcamp user import` and `chatcamp user export`, also while a server runs.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use rustix::process::Signal;
use serde_json::json;

use crate::process::{Done, Folder, PATIENCE, Running, mode, text};

/// The number of users imported while the server runs.
const USERS: usize = 20_000;
/// The number of existing users for each transport.
const OLD: usize = 1000;
const TRANSPORTS: [&str; 2] = ["websocket", "long-poll"];
/// The number of lines after which the memory of the importer is first measured, when its buffers have their full size.
const EARLY: usize = USERS / 2;
/// The factor by which its memory may grow for the remaining lines.
const GROWTH: f64 = 1.25;
/// The least number of users that connect during the import, over each transport.
const CONNECTS: usize = 20;

fn app(folder: &Folder, auth: &str) -> String {
    text(&folder.ok(&["app", "create", "demo", "--auth", auth]), "app_id").to_owned()
}

#[test]
fn every_bad_line_is_reported_with_its_number_and_the_others_are_imported() {
    let folder = Folder::new();
    let app = app(&folder, "token");
    let lines = [
        r#"{"id":"alice","display_name":"Alice","access_token":"alice's own token"}"#,
        r#"{"id":"bob""#,
        "",
        r#"{"display_name":"nobody"}"#,
        r#"{"id":7,"is_suspended":1}"#,
        r#"{"id":"carol","access_token":"short"}"#,
        r#"{"id":"alice","display_name":"Alice B"}"#,
    ];
    let (file, errors) = (folder.file("users.jsonl"), folder.file("errors"));
    fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let import = |more: &[&str]| folder.run(&[&["user", "import", file, "--app", &app], more].concat());

    let done = import(&[]);
    assert_eq!(done.code, 1);
    let [first, second, third, summary] = &done.objects()[..] else { panic!("{}", done.stdout) };
    for (bad, line, why) in
        [(first, 2, "not JSON"), (second, 4, "id: this is missing"), (third, 6, "16 to 512 bytes")]
    {
        assert_eq!(bad["line"], line);
        assert!(text(bad, "error").contains(why), "{bad}");
    }
    for (field, count) in [("created", 2), ("updated", 1), ("unchanged", 0), ("failed", 3), ("lines", 7)] {
        assert_eq!(summary[field], count, "{field}");
    }
    assert!(summary["seconds"].is_number() && summary["rate"].is_number());

    let again = import(&["--errors", errors.to_str().unwrap()]);
    assert_eq!((again.code, again.objects().len()), (1, 1), "{}", again.stdout);
    assert_eq!(fs::read_to_string(&errors).unwrap().lines().count(), 3);
    let (before, link) = (fs::read_to_string(file).unwrap(), folder.file("link"));
    std::os::unix::fs::symlink(file, &link).unwrap();
    for there in [file, errors.to_str().unwrap(), link.to_str().unwrap()] {
        let refused = import(&["--errors", there]);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{there}: {}", refused.stderr);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), before);
    assert_eq!(fs::read_to_string(&errors).unwrap().lines().count(), 3);
    let rest = import(&["--skip", "6"]);
    let rest = (rest.code, rest.objects().remove(0)["unchanged"].clone());
    assert_eq!(rest, (0, json!(1)), "a user who already is as its line says is skipped");

    let people = Done::of(&mut folder.command(&["user", "import", file, "--app", &app]));
    assert!(people.stdout.starts_with("created 0, updated 2, unchanged 1, failed 3"), "{}", people.stdout);
    assert!(people.stderr.starts_with("line 2: this is not JSON"), "{}", people.stderr);
    assert!(!people.stderr.contains('\u{1b}'), "no progress bar without a terminal: {}", people.stderr);
}

#[test]
fn a_line_with_an_unknown_field_is_refused_or_the_field_ignored() {
    let folder = Folder::new();
    app(&folder, "token");
    let file = folder.file("users.jsonl");
    let lines = [
        r#"{"id":"alice","display_name":"Alice"}"#,
        r#"{"id":"bob","display_nam":"Bob"}"#,
        r#"{"id":"carol","shoe_size":38,"e-mail":null}"#,
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let import = ["user", "import", file.to_str().unwrap()];

    let refused = folder.run(&import);
    let [bob, carol, summary] = &refused.objects()[..] else { panic!("{}", refused.stdout) };
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("2 lines were not imported"), "{}", refused.stderr);
    let says = "display_nam: this field is unknown; did you mean display_name?";
    assert_eq!(bob, &json!({"line": 2, "error": says}));
    for says in ["shoe_size: this field is unknown", "e-mail: this field is unknown; did you mean email?"] {
        assert!(text(carol, "error").contains(says), "{carol}");
    }
    assert_eq!((&summary["created"], &summary["ignored_fields"]), (&json!(1), &json!(0)));

    let accepted = folder.ok(&[&import[..], &["--ignore-unknown"]].concat());
    assert_eq!((&accepted["created"], &accepted["ignored_fields"]), (&json!(2), &json!(3)));
    let people = Done::of(&mut folder.command(&[&import[..], &["--ignore-unknown"]].concat()));
    assert!(people.stdout.contains("failed 0, ignored 3 unknown fields"), "{}", people.stdout);
}

#[test]
fn an_export_can_be_imported_elsewhere_and_changes_nothing_at_its_source() {
    let (from, to) = (Folder::new(), Folder::new());
    let (here, there) = (app(&from, "open"), app(&to, "open"));
    let serve = from.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", text(&serve.line(), "listening"));
    assert_eq!(from.run(&["connect", "passer-by", "--app", &here, "--url", &url]).code, 0);
    for create in [
        &["alice", "--display-name", "Älice \"A\""] as &[&str],
        &["bob", "--token", "a token of my own", "--no-lock"],
        &["carol"],
    ] {
        from.ok(&[&["user", "create"], create, &["--app", &here]].concat());
    }
    from.ok(&["user", "suspend", "carol", "--app", &here]);
    from.ok(&["user", "create", "dave", "--app", &here]);
    from.ok(&["user", "revoke", "dave", "--app", &here]);

    let (plain, secret) = (from.file("plain"), from.file("secret"));
    let (plain, secret) = (plain.to_str().unwrap(), secret.to_str().unwrap());
    let exported = from.ok(&["user", "export", plain, "--app", &here]);
    assert_eq!(exported, json!({"users": 5, "chosen_tokens": 1, "tokens_left_out": 2, "revoked_tokens": 1}));
    assert_eq!((mode(plain.as_ref()), fs::read_to_string(plain).unwrap().contains("ct1_")), (0o600, false));
    let exported = from.run(&["user", "export", secret, "--app", &here, "--with-tokens"]);
    assert!(exported.code == 0 && exported.stderr.contains("secrets"), "{}", exported.stderr);
    let token = from.ok(&["user", "token", "alice", "--app", &here]);
    assert!(fs::read_to_string(secret).unwrap().contains(text(&token, "access_token")));
    let again = from.run(&["user", "export", plain, "--app", &here]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("already exists; choose another name"), "{}", again.stderr);

    for file in [plain, secret] {
        let again = from.ok(&["user", "import", file, "--app", &here]);
        assert_eq!((&again["unchanged"], &again["failed"]), (&json!(5), &json!(0)), "{file}");
    }
    let moved = to.ok(&["user", "import", plain, "--app", &there]);
    assert_eq!(moved["created"], 5);
    let exported = to.run(&["user", "export", "--app", &there]);
    assert_eq!(exported.stdout, fs::read_to_string(plain).unwrap());
    let refused = to.run(&["user", "import", secret, "--app", &there]);
    assert_eq!(
        (refused.code, refused.objects().len()),
        (1, 3),
        "tokens of another server: {}",
        refused.stdout
    );
    assert!(!refused.stdout.contains("ct1_"), "{}", refused.stdout);
}

#[test]
fn an_import_that_sets_a_token_ends_the_session_of_an_auto_created_user() {
    let folder = Folder::new();
    let app = app(&folder, "open");
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", text(&serve.line(), "listening"));
    let connect = |id| folder.start(&["connect", id, "--app", &app, "--url", &url, "--stay"]);
    let (alice, mut bob) = (connect("alice"), connect("bob"));
    alice.event("connected");
    bob.event("connected");
    let file = folder.file("users.jsonl");
    fs::write(&file, r#"{"id":"alice","access_token":"alice's own token"}"#).unwrap();
    let summary = folder.ok(&["user", "import", file.to_str().unwrap(), "--app", &app]);
    assert_eq!(summary["updated"], 1);
    let alice = alice.wait();
    assert_eq!(alice.code, 1);
    assert!(alice.stderr.contains("ACCESS_TOKEN_REQUIRED"), "{}", alice.stderr);
    bob.end_stdin();
    bob.signal(Signal::TERM);
    assert_eq!(bob.wait().code, 0, "the sessions of other users continue");
}

#[test]
fn an_interrupted_import_says_where_it_stopped_and_can_be_repeated() {
    let folder = Folder::new();
    let app = app(&folder, "open");
    let mut import = folder.start(&["user", "import", "-", "--app", &app]);
    let lines: String = (0..2000).map(|n| format!("{{\"id\":\"user {n}\"}}\n")).collect();
    import.write(&lines);
    // Some are in the database, and more may come.
    while folder.ok(&["app", "list"])["users"] == 0 {
        thread::yield_now();
    }
    import.signal(Signal::INT);
    let done = import.wait();
    assert_eq!(done.code, 1);
    let summary = &done.objects()[0];
    let line = summary["lines"].as_u64().unwrap();
    assert!((500..=2000).contains(&line) && summary["created"] == line, "{summary}");
    assert!(done.stderr.contains(&format!("--skip {line}")), "{}", done.stderr);

    let file = folder.file("users.jsonl");
    fs::write(&file, &lines).unwrap();
    let again = folder.ok(&["user", "import", file.to_str().unwrap(), "--app", &app]);
    assert_eq!((again["unchanged"].as_u64(), again["created"].as_u64()), (Some(line), Some(2000 - line)));
}

/// Connects a user as the published SDK does, and disconnects.
fn connect(address: &str, app: &str, query: &str, transport: &str, n: usize) {
    let headers = match transport {
        "websocket" => "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            .to_owned(),
        _ => format!("iflychat-token: PollIdOfThePublishedSdk{n}\r\n"),
    };
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(tcp, "GET /chat/2.0?app_id={app}&{query} HTTP/1.1\r\nHost: h\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("session_key") {
        let mut part = [0; 4096];
        let n = tcp.read(&mut part).unwrap();
        assert_ne!(n, 0, "{transport}, {query}: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..n]);
    }
}

#[cfg(target_os = "linux")]
fn peak_bytes(process: &Running) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Known and new users connect while thousands are imported, and the memory of the importer does not grow with their number.
#[cfg(target_os = "linux")]
#[test]
fn users_are_imported_while_a_server_accepts_connections() {
    let folder = Folder::new();
    let app = app(&folder, "open");
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let address = text(&serve.line(), "listening").to_owned();
    let old = |n| {
        TRANSPORTS.map(|transport| {
            json!({"id": format!("old-{transport}-{n}"), "access_token": format!("the-token-of-{n}-----")})
        })
    };
    let file = folder.file("old");
    fs::write(&file, (0..OLD).flat_map(old).map(|user| format!("{user}\n")).collect::<String>()).unwrap();
    folder.ok(&["user", "import", file.to_str().unwrap(), "--app", &app]);
    let lines = |numbers: std::ops::Range<usize>| -> String {
        let data = "x".repeat(300);
        let line = |n| json!({"id": format!("user {n}"), "access_token": format!("the token of {n}...."), "data": data});
        numbers.map(|n| format!("{}\n", line(n))).collect()
    };

    let mut import = folder.start(&["user", "import", "-", "--app", &app]);
    let (is_over, connects) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    let (early, late, done) = thread::scope(|scope| {
        for (transport, count) in TRANSPORTS.into_iter().zip(&connects) {
            let (app, address, is_over) = (&app, &address, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) || count.load(Ordering::Relaxed) < CONNECTS {
                    let n = count.fetch_add(1, Ordering::Relaxed);
                    let n_old = n % OLD;
                    let query = match n % 2 {
                        0 => format!("user_id=new-{transport}-{n}"),
                        _ => {
                            format!("user_id=old-{transport}-{n_old}&access_token=the-token-of-{n_old}-----")
                        }
                    };
                    connect(address, app, &query, transport, n);
                }
            });
        }
        let _over = Over(&is_over);
        import.write(&lines(0..EARLY));
        let early = peak_bytes(&import);
        import.write(&lines(EARLY..USERS));
        import.write(&lines(0..USERS));
        let late = peak_bytes(&import);
        import.end_stdin();
        (early, late, import.wait())
    });
    assert_eq!(done.code, 0, "{}", done.stderr);
    let summary = &done.objects()[0];
    assert_eq!((&summary["created"], &summary["unchanged"]), (&json!(USERS), &json!(USERS)));
    assert!(late < early * GROWTH, "from {early} kB to {late} kB of memory");
    println!("{summary}, {early} kB, then {late} kB, {connects:?} connects meanwhile");

    connect(&address, &app, "user_id=user%200&access_token=the%20token%20of%200....", "websocket", 0);
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0);
}

/// Sets a flag on drop, also after a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
