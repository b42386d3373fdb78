//! The dashboard of `dev` and `serve`, and its password.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Done, Folder, Running, mode, text};

/// Returns the response of `http://HOST:PORT/PATH` to a GET or a form.
fn ask(url: &str, form: Option<&str>) -> String {
    ask_with(url, form, "")
}

/// As [`ask`], with more headers.
fn ask_with(url: &str, form: Option<&str>, headers: &str) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let method = if form.is_some() { "POST" } else { "GET" };
    let form = form.unwrap_or_default();
    let mut tcp = TcpStream::connect(host).unwrap();
    write!(
        tcp,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{headers}\r\n{form}",
        form.len()
    )
    .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer
}

/// Returns the response to a GET of `/PATH` with this `Host`.
fn ask_at(address: &str, host: &str, path: &str) -> String {
    let mut tcp = TcpStream::connect(address).unwrap();
    write!(tcp, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer
}

fn lets_in(dashboard: &str, password: &str) -> bool {
    let answer = ask(&format!("{dashboard}sign-in"), Some(&format!("password={password}")));
    let lets_in = answer.starts_with("HTTP/1.1 303 ");
    assert!(lets_in || answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(lets_in, answer.contains("set-cookie: "));
    lets_in
}

fn dev_json(folder: &Folder) -> Value {
    serde_json::from_slice(&fs::read(folder.path().join("dev.json")).unwrap()).unwrap()
}

#[test]
fn dev_prints_a_link_to_the_dashboard_and_keeps_its_password() {
    let folder = Folder::new();
    let (dev, ready) = folder.dev();
    let link = text(&ready, "dashboard");
    assert!(link.starts_with(&format!("{}/dashboard/enter/", text(&ready, "url"))), "{link}");
    let page = ask(link, None);
    assert!(page.starts_with("HTTP/1.1 200 ") && !page.contains("set-cookie"), "{page}");
    let password = text(&dev_json(&folder), "dashboard_password").to_owned();
    let dashboard = format!("{}/dashboard/", text(&ready, "url"));
    assert!(lets_in(&dashboard, &password) && !lets_in(&dashboard, "guessed"));

    dev.signal(Signal::TERM);
    let log = dev.wait().stderr;
    for secret in [&*password, link.rsplit('/').next().unwrap()] {
        assert!(!log.contains(secret), "{log}");
    }
    let (_dev, again) = folder.dev();
    assert_ne!(link, text(&again, "dashboard"));
    assert_eq!(password, text(&dev_json(&folder), "dashboard_password"));
}

#[test]
fn serve_has_no_dashboard_unless_asked() {
    let folder = Folder::new();
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let ready = serve.line();
    assert!(ready.get("dashboard").is_none(), "{ready}");
    let answer = ask(&format!("http://{}/dashboard/", text(&ready, "listening")), None);
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(!folder.path().join("admin-password").exists());
}

#[test]
fn serve_generates_a_password_file_for_its_owner_and_a_new_password_replaces_it() {
    let folder = Folder::new();
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0", "--dashboard"]);
    let ready = serve.line();
    let (dashboard, file) = (text(&ready, "dashboard"), text(&ready, "admin_password_file"));
    assert_eq!(mode(file.as_ref()), 0o600);
    let first = fs::read_to_string(file).unwrap();
    assert!(lets_in(dashboard, first.trim()));

    let made = text(&folder.ok(&["admin", "password"]), "password").to_owned();
    assert!(!fs::exists(file).unwrap(), "the password in it is no longer valid");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !lets_in(dashboard, &made) {
        assert!(Instant::now() < deadline, "the new password is not accepted");
    }
    assert!(!lets_in(dashboard, first.trim()));

    let own = folder.file("own");
    fs::write(&own, "correct-horse-battery\n").unwrap();
    let set = ["admin", "password", "--password-file", own.to_str().unwrap()];
    let done = folder.run(&set);
    assert_eq!((done.code, done.stdout.as_str()), (0, "{}\n"), "{}", done.stderr);
    fs::write(&own, "short").unwrap();
    let done = folder.run(&set);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("12 characters") && !done.stderr.contains("short\n"), "{}", done.stderr);
    drop(serve);
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0", "--dashboard"]);
    let ready = serve.line();
    assert!(ready.get("admin_password_file").is_none(), "{ready}");
    assert!(lets_in(text(&ready, "dashboard"), "correct-horse-battery"));
}

#[test]
fn serve_has_the_dashboard_on_a_separate_address() {
    let folder = Folder::new();
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let ready = serve.line();
    let dashboard = text(&ready, "dashboard");
    assert!(!dashboard.contains(text(&ready, "listening")), "{ready}");
    assert!(ask(dashboard, None).starts_with("HTTP/1.1 303 "));
    let elsewhere = ask(&format!("http://{}/dashboard/", text(&ready, "listening")), None);
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    let apart = dashboard.strip_suffix("/dashboard/").unwrap();
    assert!(ask(&format!("{apart}/healthz"), None).starts_with("HTTP/1.1 200 "));
    for path in ["chatcamp.js", "chat/2.0", "api/2.0/users.list"] {
        let answer = ask(&format!("{apart}/{path}"), None);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0, "the separate address closes with the server");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = folder.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", &address]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("--admin-listen") && done.stderr.contains(&address), "{}", done.stderr);
}

#[test]
fn code_to_copy_contains_the_url_of_the_chat() {
    let folder = Folder::new();
    folder.ok(&["app", "create", "shop", "--auth", "open", "--id", "shop"]);
    let elsewhere = "http://127.0.0.1:1/talk";
    for (options, url) in [
        (&["--public-url", "http://127.0.0.1:1/talk/", "--admin-listen", "127.0.0.1:0"][..], Some(elsewhere)),
        (&["--public-url", elsewhere, "--dashboard"], Some(elsewhere)),
        (&["--admin-listen", "127.0.0.1:0"], None),
    ] {
        let serve = folder.start(&[&["serve", "--listen", "127.0.0.1:0"], options].concat());
        let ready = serve.line();
        folder.ok(&["admin", "password"]);
        let password = folder.file("own");
        fs::write(&password, "correct-horse-battery").unwrap();
        folder.run(&["admin", "password", "--password-file", password.to_str().unwrap()]);
        let separate = options.contains(&"--admin-listen");
        let dashboard = match url {
            Some(url) if !separate => {
                assert_eq!(text(&ready, "dashboard"), format!("{url}/dashboard/"));
                format!("http://{}/talk/dashboard/", text(&ready, "listening"))
            }
            _ => text(&ready, "dashboard").to_owned(),
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let cookie = loop {
            let answer = ask(&format!("{dashboard}sign-in"), Some("password=correct-horse-battery"));
            if let Some((_, cookie)) = answer.split_once("set-cookie: ") {
                break cookie.split(';').next().unwrap().to_owned();
            }
            assert!(Instant::now() < deadline, "{answer}");
        };
        let page = ask_with(&format!("{dashboard}app?app=shop"), None, &format!("Cookie: {cookie}\r\n"));
        let chat = format!("http://{}", text(&ready, "listening"));
        assert!(page.contains(&format!("{}/chatcamp.js", url.unwrap_or(&chat))), "{options:?}: {page}");
    }
}

#[test]
fn an_invalid_public_url_is_refused_with_an_example() {
    let folder = Folder::new();
    for (url, advice) in [
        ("example.com/talk", "https://"),
        ("https://example.com/talk?a=b", "query"),
        ("https://example.com/talk#top", "fragment"),
        ("https://admin:secret@example.com/talk", "user name"),
        ("https://example.com/a%20b", "letters"),
    ] {
        for command in ["serve", "dev"] {
            let done = folder.run(&[command, "--listen", "127.0.0.1:0", "--public-url", url]);
            assert_eq!(done.code, 2, "{url}: {}", done.stderr);
            for text in [advice, "https://example.com/talk"] {
                assert!(done.stderr.contains(text), "{url}: {}", done.stderr);
            }
        }
    }
    assert!(!folder.path().exists());
}

#[test]
fn dev_prints_public_links_and_its_own_commands_still_reach_it() {
    let folder = Folder::new();
    let mut dev = folder.command(&["dev", "--listen", "127.0.0.1:0", "--json"]);
    let dev = Running::start(dev.env("CHATCAMP_PUBLIC_URL", "https://example.com/talk/"));
    let ready = dev.line();
    assert_eq!(text(&ready, "url"), "https://example.com/talk");
    let link = text(&ready, "dashboard").strip_prefix("https://example.com").unwrap();
    assert!(link.starts_with("/talk/dashboard/enter/"), "{ready}");
    let address = text(&ready, "listening");
    for path in [link, link.strip_prefix("/talk").unwrap(), "/talk/try"] {
        let answer = ask_at(address, "example.com", path.strip_prefix('/').unwrap());
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    for (path, location) in
        [("", "/talk/dashboard/"), ("talk", "/talk/dashboard/"), ("talk/dashboard", "./dashboard/")]
    {
        let answer = ask_at(address, "example.com", path);
        assert!(answer.contains(&format!("location: {location}\r\n")), "{path}: {answer}");
    }
    assert_eq!(text(&dev_json(&folder), "url"), format!("http://{address}"), "connect uses it");
}

#[test]
fn options_for_the_dashboard_are_refused_without_one() {
    let folder = Folder::new();
    // A used address, so that the command ends even if it is not refused.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = folder.run(&["serve", "--listen", &address, "--dashboard-host", "x.example"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.contains("--dashboard or --admin-listen"), "{}", done.stderr);
}

#[test]
fn a_password_on_stdin_without_the_option_is_an_error() {
    let folder = Folder::new();
    folder.ok(&["app", "create", "shop", "--auth", "open"]);
    let password = folder.file("own");
    fs::write(&password, "correct-horse-battery\n").unwrap();
    let from_file = || Stdio::from(fs::File::open(&password).unwrap());
    let run = |args: &[&str], stdin: Stdio| Done::of(folder.command(args).arg("--json").stdin(stdin));
    for stdin in [from_file(), Stdio::piped()] {
        let refused = run(&["admin", "password"], stdin);
        assert_eq!(refused.code, 2, "{}", refused.stdout);
        assert!(refused.stderr.contains("--password-file -"), "{}", refused.stderr);
    }
    let set = run(&["admin", "password", "--password-file", "-"], from_file());
    assert_eq!((set.code, set.stdout.as_str()), (0, "{}\n"), "{}", set.stderr);
    assert_eq!(run(&["admin", "password"], Stdio::null()).code, 0, "stdin is empty");
}

#[test]
fn a_name_with_tls_does_not_make_the_address_itself_safe() {
    let folder = Folder::new();
    for host in [
        &[][..],
        &["--dashboard-host", "https://chat.example.com"],
        &["--public-url", "https://chat.example.com"],
    ] {
        let serve = folder.start(&[&["serve", "--listen", "0.0.0.0:0", "--dashboard"], host].concat());
        serve.line();
        serve.signal(Signal::TERM);
        let log = serve.wait().stderr;
        assert!(log.contains("without TLS"), "{host:?}: {log}");
    }
}

#[test]
fn dev_answers_to_a_configured_name_and_redirects_to_the_dashboard() {
    let folder = Folder::new();
    let args = ["dev", "--listen", "127.0.0.1:0", "--dashboard-host", "camp.example"];
    let dev = folder.start(&args);
    let ready = dev.line();
    let url = text(&ready, "url");
    let front = ask(&format!("{url}/"), None);
    assert!(front.contains("location: ./dashboard/\r\n"), "{front}");
    let address = text(&ready, "listening");
    for (host, status) in [("camp.example", 200), ("evil.example", 421)] {
        let answer = ask_at(address, host, "try");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
}

#[test]
fn a_password_is_taken_from_a_file_as_it_is_typed() {
    let folder = Folder::new();
    let (_dev, ready) = folder.dev();
    let dashboard = format!("{}/dashboard/", text(&ready, "url"));
    let own = folder.file("own");
    let set = ["admin", "password", "--password-file", own.to_str().unwrap()];
    for (n, ends) in ["\r\n", "\n\n", "\r", ""].into_iter().enumerate() {
        fs::write(&own, format!("\u{feff}correct horse {n} battery{ends}")).unwrap();
        let done = folder.run(&set);
        assert_eq!(done.code, 0, "{ends:?}: {}", done.stderr);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !lets_in(&dashboard, &format!("correct+horse+{n}+battery")) {
            assert!(Instant::now() < deadline, "{ends:?}: the password is not accepted");
        }
    }
    for (unusable, why) in
        [(" correct horse", "space"), ("correct horse ", "space"), ("correct\nhorse battery", "line")]
    {
        fs::write(&own, unusable).unwrap();
        let done = folder.run(&set);
        assert_eq!(done.code, 2, "{unusable:?}");
        assert!(done.stderr.contains(why) && !done.stderr.contains("horse"), "{}", done.stderr);
    }
}
