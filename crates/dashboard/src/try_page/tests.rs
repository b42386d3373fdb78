//! The page over real sockets, mounted into a front door.

use std::{net::SocketAddr, sync::Arc};

use chatcamp_server::{Accounts, AuthPolicy, FrontDoor, Keyring, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;

async fn listen() -> (SocketAddr, AppId) {
    listen_to(Vec::new()).await
}

async fn listen_to(names: Vec<HostName>) -> (SocketAddr, AppId) {
    let store = Arc::new(chatcamp_store::memory::Store::new());
    let keyring = Keyring::new(vec![[7; 32]]).unwrap();
    let app = Accounts::new(store.clone(), keyring.clone())
        .create_app("dev", AuthPolicy::Open, None)
        .await
        .unwrap()
        .id;
    let server = Server::builder(store, keyring).start();
    let door = FrontDoor::bind(server.clone(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = door.local_addr().unwrap();
    tokio::spawn(door.mount(Arc::new(TryPage::new(server, app.clone(), address).with_hosts(names))).run());
    (address, app)
}

/// Sends a request with these header lines and returns the complete answer.
async fn exchange(address: SocketAddr, lines: &str, body: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let head = lines.replace("HERE", &address.to_string()).replace('\n', "\r\n");
    let request = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_page_contains_its_app_id_and_no_inline_script() {
    let (address, app) = listen().await;
    let answer = exchange(address, "GET /try HTTP/1.1\nHost: HERE", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(&format!("value=\"{app}\"")), "{answer}");
    assert!(answer.contains("content-security-policy: default-src 'none'; script-src 'self';"), "{answer}");
    assert!(
        !answer.contains("<style") && !answer.contains(" style=") && !answer.contains(" onclick="),
        "{answer}"
    );
    let scripts = answer.matches("<script").count();
    assert_eq!(scripts, answer.matches("<script type=\"module\" src=").count(), "{answer}");
}

#[tokio::test]
async fn every_load_has_new_user_ids() {
    let (address, _) = listen().await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let page = exchange(address, "GET /try HTTP/1.1\nHost: HERE", "").await;
        let values = page.split(" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        let users: Vec<_> = values.filter(|id| id.starts_with("alice-") || id.starts_with("bob-")).collect();
        assert_eq!(users.len(), 2, "{page}");
        ids.extend(users);
    }
    // Two of three random ids may be the same, hardly all of them.
    assert!(ids.len() > 2, "{ids:?}");
}

#[tokio::test]
async fn every_file_that_the_page_links_exists() {
    let (address, _) = listen().await;
    let page = exchange(address, "GET /try HTTP/1.1\nHost: HERE", "").await;
    let script = exchange(address, "GET /try/page.js HTTP/1.1\nHost: HERE", "").await;
    assert!(script.contains("from \"../chatcamp.js\"") && script.contains("from \"./network.js\""));
    // Relative to `/try`.
    let linked: Vec<_> = [" href=\"", " src=\""]
        .iter()
        .flat_map(|attribute| page.split(attribute).skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(linked.len(), 5, "{linked:?}");
    for path in linked.into_iter().chain(["try/network.js"]) {
        let answer = exchange(address, &format!("GET /{path} HTTP/1.1\nHost: HERE"), "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_page_answers_to_configured_names_and_redirects_a_trailing_slash() {
    let (address, _) = listen_to(vec!["https://camp.example".parse().unwrap()]).await;
    for (host, status) in [("camp.example", 200), ("camp.example:443", 200), ("evil.example", 421)] {
        let answer = exchange(address, &format!("GET /try HTTP/1.1\nHost: {host}"), "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
    let publish = "POST /try/publish HTTP/1.1\nHost: camp.example\nOrigin: https://camp.example\n\
                   Content-Type: application/json";
    let answer = exchange(address, publish, r#"{"to":"bob","type":"t"}"#).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = exchange(address, "GET /try/ HTTP/1.1\nHost: HERE", "").await;
    assert!(answer.starts_with("HTTP/1.1 303 ") && answer.contains("\r\nlocation: ../try\r\n"), "{answer}");
}

#[tokio::test]
async fn only_the_page_itself_can_publish() {
    let (address, _) = listen().await;
    let good = "POST /try/publish HTTP/1.1\nHost: HERE\nOrigin: http://HERE\nContent-Type: application/json";
    let event = r#"{"to":"bob","type":"try.message","data":{"text":"hello"}}"#;
    let long = format!(r#"{{"to":"bob","type":"t","data":"{}"}}"#, "x".repeat(40_000));
    for (head, body, status) in [
        (good.to_owned(), event, 200),
        (good.replace("Origin: http://HERE\n", ""), event, 403),
        (good.replace("http://HERE", "http://evil.example"), event, 403),
        (good.replace("http://HERE", "null"), event, 403),
        (good.replace("Host: HERE", "Host: evil.example"), event, 421),
        (good.replace("application/json", "text/plain"), event, 400),
        (good.replace("application/json", "Application/JSON; charset=utf-8"), event, 200),
        (good.replace("application/json", "application/jsonp"), event, 400),
        (good.replace("POST", "GET"), event, 405),
        (good.replace("publish", "elsewhere"), event, 405),
        (good.replace("POST", "GET").replace("publish", "elsewhere"), "", 404),
        (good.to_owned(), "{", 400),
        (good.to_owned(), "[]", 400),
        (good.to_owned(), r#"{"to":"bob"}"#, 400),
        (good.to_owned(), r#"{"to":"","type":"t"}"#, 400),
        (good.to_owned(), r#"{"to":"bob","type":"T T"}"#, 400),
        (good.to_owned(), &long, 413),
    ] {
        let answer = exchange(address, &head, body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head} {body:.60}: {answer}");
    }
}

#[tokio::test]
async fn other_paths_are_not_claimed() {
    let (address, _) = listen().await;
    for path in ["/tryout", "/", "/healthz"] {
        let answer = exchange(address, &format!("GET {path} HTTP/1.1\nHost: HERE"), "").await;
        assert!(!answer.contains("script-src"), "{path}: {answer}");
    }
}
