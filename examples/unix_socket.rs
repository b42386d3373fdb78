//! A network of one's own: a transport and a listener over a Unix domain socket, proved by the conformance suite with one
//! call, then carrying a real login.
//!
//! `cargo run -p chatcamp-examples --bin unix_socket`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use chatcamp_client::ChatCamp;
use chatcamp_server::{Accounts, AuthPolicy, Keyring, Server};
use chatcamp_store::memory::Store;
use chatcamp_transport::{ConnectError, Connection, Listener, Transport, testing, websocket};
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

/// Handshakes under way at once; beyond it, new connections wait in the kernel.
const HANDSHAKES: usize = 64;

/// Dials the socket at a path. The messages are framed as WebSocket frames, which any byte stream can carry.
#[derive(Debug)]
struct UnixTransport(PathBuf);

#[async_trait]
impl Transport for UnixTransport {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let stream = UnixStream::connect(&self.0).await.map_err(ConnectError::unreachable)?;
        websocket::connect_over(stream, "localhost", "/chat/2.0").await
    }

    fn is_exposed(&self) -> bool {
        false // It never leaves this machine.
    }
}

/// Accepts from the socket at a path; a peer that does not finish its handshake holds up nobody.
#[derive(Debug)]
struct UnixAccept {
    socket: UnixListener,
    handshakes: JoinSet<Option<Connection>>,
}

#[async_trait]
impl Listener for UnixAccept {
    async fn accept(&mut self) -> Option<Connection> {
        loop {
            tokio::select! {
                accepted = self.socket.accept(), if self.handshakes.len() < HANDSHAKES => {
                    let (stream, _) = accepted.ok()?;
                    self.handshakes.spawn(async move { websocket::accept(stream, None).await.ok() });
                }
                Some(Ok(Some(connection))) = self.handshakes.join_next() => return Some(connection),
            }
        }
    }
}

/// A transport and the listener it dials, at a path of their own.
fn network(path: PathBuf) -> std::io::Result<(UnixTransport, UnixAccept)> {
    let socket = UnixListener::bind(&path)?;
    Ok((UnixTransport(path), UnixAccept { socket, handshakes: JoinSet::new() }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut paths = (0..).map(|n| folder.path().join(format!("{n}.sock")));

    let fresh = std::sync::Mutex::new(&mut paths);
    testing::conformance(async || {
        let path = fresh.lock().expect("one check at a time").next().expect("there are more numbers");
        network(path).expect("a fresh path")
    })
    .await;
    println!("the transport passes the suite");

    let (store, keyring) = (Arc::new(Store::new()), Keyring::new(vec![[7; 32]])?);
    let app =
        Accounts::new(store.clone(), keyring.clone()).create_app("unix", AuthPolicy::Open, None).await?.id;
    let server = Server::builder(store, keyring).start();
    let (transport, listener) = network(folder.path().join("chat.sock"))?;
    let accepting = server.clone();
    tokio::spawn(async move { accepting.listen(listener).await });

    let chat = ChatCamp::builder(&app).transport(transport).build()?;
    println!("{} is connected over a Unix domain socket", chat.connect("alice").await?.id);
    chat.disconnect().await;
    server.shutdown().await;
    Ok(())
}
