//! A URL over any transport that reaches the server.

#![cfg(all(feature = "websocket", feature = "long-poll"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::{net::SocketAddr, time::Duration};

use chatcamp_client::{ChatCamp, ConnectError, Event, transport::websocket};
use serde_json::{Value, json};
use support::Peer;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// The outcome of a WebSocket upgrade.
#[derive(Clone, Copy)]
enum Upgrade {
    Refused,
    Swallowed,
}

/// A server that implements long-poll only, as far as one user needs it, and reports every request.
async fn without_websocket(upgrade: Upgrade) -> (SocketAddr, mpsc::Receiver<&'static str>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(BufReader::new(tcp), upgrade, tell.clone()));
        }
    });
    (address, told)
}

async fn serve(mut tcp: BufReader<TcpStream>, upgrade: Upgrade, tell: mpsc::Sender<&'static str>) {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if tcp.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length =
            head.split_once("content-length: ").map_or("0", |(_, rest)| rest.lines().next().unwrap());
        let mut body = vec![0; length.parse().unwrap()];
        tcp.read_exact(&mut body).await.unwrap();
        let (name, answer) = match (&head, &*String::from_utf8(body).unwrap()) {
            (head, _) if head.contains("upgrade: websocket") => match upgrade {
                Upgrade::Refused => ("upgrade", Some(("426 Upgrade Required", String::new()))),
                Upgrade::Swallowed => ("upgrade", None),
            },
            (head, _) if head.starts_with("get /chat/2.0 ") => ("poll", None),
            (_, body) if body.starts_with("{\"close\"") => ("close", Some(("200 OK", "[]".to_owned()))),
            (_, body) => ("open", Some(("200 OK", acknowledged(body)))),
        };
        tell.send(name).await.unwrap();
        let Some((status, body)) = answer else { return std::future::pending().await };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        tcp.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Returns the answer that admits the client whose opening POST is `body`.
fn acknowledged(body: &str) -> String {
    let [request]: [String; 1] = serde_json::from_str(body).unwrap();
    let request: Value = serde_json::from_str(&request).unwrap();
    let session = json!({"key": "k", "expires_in": 60, "fresh": "new", "heartbeat": 25});
    let body = json!({"ok": true, "user": {"id": request["d"]["user_id"]}, "session": session});
    json!([json!({"t": "users.auth.ack", "to": request["r"], "d": body}).to_string()]).to_string()
}

#[tokio::test]
async fn long_poll_follows_a_websocket_that_never_opened() {
    for (upgrade, limit) in [(Upgrade::Refused, 20), (Upgrade::Swallowed, 1)] {
        let (address, mut told) = without_websocket(upgrade).await;
        let chat = ChatCamp::builder("demo").url(format!("http://{address}"));
        let chat = chat.connect_timeout(Duration::from_secs(limit)).build().unwrap();
        let mut events = chat.events();
        assert_eq!(chat.connect("alice").await.unwrap().id.as_str(), "alice");
        assert!(matches!(events.next().await, Some(Event::Connected { transport: "long-poll", .. })));
        assert_eq!([told.recv().await, told.recv().await], [Some("upgrade"), Some("open")]);
        chat.disconnect().await;
        while told.recv().await.unwrap() != "close" {}
    }
}

#[tokio::test]
async fn a_failure_after_a_websocket_opened_is_final() {
    let mut listener = websocket::Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let chat = ChatCamp::builder("demo").url(format!("http://{address}")).build().unwrap();
    let (connected, ()) = tokio::join!(chat.connect("alice"), async {
        Peer::accepted_by(&mut listener).await.cut();
    });
    // A refused long-poll would have been reported with its status.
    let Err(ConnectError::Lost { closed, .. }) = connected else { panic!("{connected:?}") };
    assert!(!closed.to_string().contains("status"), "{closed}");
}
