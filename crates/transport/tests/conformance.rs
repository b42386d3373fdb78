//! Ring 4: every built-in transport passes the one suite, and so does one over a socket of one's own.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::{net::Ipv4Addr, time::Duration};

use async_trait::async_trait;
use chatcamp_transport::{
    ConnectError, Connection, Listener, Transport, memory,
    testing::{self, Faulty},
    websocket,
};
use tokio::{io::duplex, sync::mpsc};

#[tokio::test]
async fn memory_conforms() {
    testing::conformance(async || memory::network()).await;
}

#[tokio::test]
async fn websocket_over_loopback_conforms() {
    testing::conformance(loopback).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_over_loopback_conforms_on_many_threads() {
    testing::conformance(loopback).await;
}

#[tokio::test]
async fn websocket_over_a_narrow_custom_stream_conforms() {
    testing::conformance(async || {
        let (dial, accept) = mpsc::channel(16);
        (Narrow { dial }, Accepted { accept })
    })
    .await;
}

#[tokio::test]
async fn long_poll_over_loopback_conforms() {
    testing::conformance(support::loopback).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_poll_over_loopback_conforms_on_many_threads() {
    testing::conformance(support::loopback).await;
}

/// Without sockets, so that any wait for time would stand out and pass at once.
#[tokio::test(start_paused = true)]
async fn long_poll_without_sockets_conforms() {
    let begun = tokio::time::Instant::now();
    testing::conformance(async || support::direct()).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "nothing waits for a deadline: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_faulty_transport_without_faults_conforms() {
    testing::conformance(async || {
        let (transport, listener) = memory::network();
        (Faulty::new(transport, []), listener)
    })
    .await;
}

async fn loopback() -> (websocket::Transport, websocket::Listener) {
    let listener = websocket::Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let url = format!("ws://{}/chat", listener.local_addr().unwrap());
    (websocket::Transport::new(&url).unwrap(), listener)
}

/// Dials over streams that take few bytes at a time, so that every write is cut short.
#[derive(Debug)]
struct Narrow {
    dial: mpsc::Sender<Connection>,
}

#[derive(Debug)]
struct Accepted {
    accept: mpsc::Receiver<Connection>,
}

#[async_trait]
impl Transport for Narrow {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let (ours, theirs) = duplex(100);
        let dial = self.dial.clone();
        tokio::spawn(async move {
            if let Ok(connection) = websocket::accept(theirs, None).await {
                dial.send(connection).await.ok();
            }
        });
        websocket::connect_over(ours, "localhost", "/").await
    }

    fn is_exposed(&self) -> bool {
        false
    }
}

#[async_trait]
impl Listener for Accepted {
    async fn accept(&mut self) -> Option<Connection> {
        self.accept.recv().await
    }
}
