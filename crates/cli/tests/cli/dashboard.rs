//! The dashboard of `dev` and `serve`, and its password.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Folder, mode, text};

/// What `http://HOST:PORT/PATH` answers to a GET, or to a form.
fn ask(url: &str, form: Option<&str>) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let method = if form.is_some() { "POST" } else { "GET" };
    let form = form.unwrap_or_default();
    let mut tcp = TcpStream::connect(host).unwrap();
    write!(
        tcp,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .unwrap();
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
fn dev_prints_a_link_into_the_dashboard_and_keeps_its_password() {
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
fn serve_makes_a_password_for_its_owner_only_and_another_takes_its_place() {
    let folder = Folder::new();
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0", "--dashboard"]);
    let ready = serve.line();
    let (dashboard, file) = (text(&ready, "dashboard"), text(&ready, "admin_password_file"));
    assert_eq!(mode(file.as_ref()), 0o600);
    let first = fs::read_to_string(file).unwrap();
    assert!(lets_in(dashboard, first.trim()));

    let made = text(&folder.ok(&["admin", "password"]), "password").to_owned();
    assert!(!fs::exists(file).unwrap(), "it is good no more");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !lets_in(dashboard, &made) {
        assert!(Instant::now() < deadline, "the new password is not good");
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
fn serve_has_the_dashboard_on_an_address_of_its_own() {
    let folder = Folder::new();
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let ready = serve.line();
    let dashboard = text(&ready, "dashboard");
    assert!(!dashboard.contains(text(&ready, "listening")), "{ready}");
    assert!(ask(dashboard, None).starts_with("HTTP/1.1 303 "));
    let elsewhere = ask(&format!("http://{}/dashboard/", text(&ready, "listening")), None);
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0, "it ends with the server");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = folder.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", &address]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("--admin-listen") && done.stderr.contains(&address), "{}", done.stderr);
}
