//! A transport and a listener over byte streams: a Unix domain socket. One call of the conformance suite tests them, then a
//! client logs in over them.
//!
//! `cargo run -p chatcamp-examples --bin unix_socket`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use chatcamp_client::ChatCamp;
use chatcamp_server::{Accounts, AuthPolicy, Keyring, Server};
use chatcamp_store::memory::Store;
use chatcamp_transport::{ConnectError, Connection, Listener, Transport, testing, websocket};
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Maximum number of pending handshakes; further connections wait in the kernel.
const HANDSHAKES: usize = 64;
/// Time for one handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after the system could not accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connects to the socket at a path. Sends messages as WebSocket frames, which any byte stream can carry.
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

/// Accepts from the socket at a path. A peer that does not finish its handshake does not block others.
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
                accepted = self.socket.accept(), if self.handshakes.len() < HANDSHAKES => match accepted {
                    Ok((stream, _)) => {
                        self.handshakes.spawn(async {
                            timeout(HANDSHAKE_DEADLINE, websocket::accept(stream, None)).await.ok()?.ok()
                        });
                    }
                    // The process may have run out of file descriptors; a later attempt can succeed.
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
                // Some branch is always enabled: without handshakes it is the first. This pattern must match failed handshakes
                // too, or at the limit both branches would be disabled.
                Some(finished) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = finished {
                        return Some(connection);
                    }
                }
            }
        }
    }
}

/// Creates a transport and the listener that it connects to, at `path`.
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
        let path =
            fresh.lock().expect("one check at a time").next().expect("the sequence of paths is endless");
        network(path).expect("a fresh path")
    })
    .await;
    println!("the transport passes the suite");

    let store = Arc::new(Store::new());
    let keyring = Keyring::new(vec![[7; 32]])?;
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

#[cfg(test)]
mod tests {
    use std::{fs::File, future::Future, pin::pin, task::Poll};

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    /// Generous: only a listener that hangs exceeds it.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// One test, because the limit of open files applies to the whole process.
    #[tokio::test]
    async fn failed_handshakes_and_missing_descriptors_lose_no_other_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sock");
        let (transport, mut listener) = network(path.clone()).unwrap();

        // The limit of handshakes is reached and none of them continues; then one fails.
        let mut silent = Vec::new();
        for _ in 0..HANDSHAKES {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        assert!(now(listener.accept()).await.is_pending());
        assert_eq!(listener.handshakes.len(), HANDSHAKES);
        silent.pop();
        let (client, server) =
            timeout(DEADLINE, async { tokio::join!(transport.connect(), listener.accept()) })
                .await
                .expect("a failed handshake makes room for another");
        let (_client, _server) = (client.unwrap(), server.unwrap());
        drop(silent);

        let stream = UnixStream::connect(&path).await.unwrap();
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(512), ..before }).unwrap();
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        assert!(now(listener.accept()).await.is_pending(), "the listener waits for a file descriptor");
        drop(files);
        setrlimit(Resource::Nofile, before).unwrap();
        let client = websocket::connect_over(stream, "localhost", "/chat/2.0");
        let (client, server) = timeout(DEADLINE, async { tokio::join!(client, listener.accept()) })
            .await
            .expect("the listener continues");
        assert!(client.is_ok() && server.is_some());
    }

    /// Polls until the other tasks have run and the future makes no more progress.
    async fn now<T>(future: impl Future<Output = T>) -> Poll<T> {
        let mut future = pin!(future);
        for _ in 0..1000 {
            let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            if polled.is_ready() {
                return polled;
            }
            tokio::task::yield_now().await;
        }
        Poll::Pending
    }
}
