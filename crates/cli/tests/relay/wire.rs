//! A relay between clients and a server, whose TCP connections can be cut, stalled and half-opened.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

/// What the relay does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Forwards them.
    Whole,
    /// Holds them back in both directions; new connections open and stay silent.
    Stalled,
    /// Forwards them to the server but not back: a half-open connection.
    Mute,
    /// Closes new connections at once.
    Down,
}

/// Accepts connections and forwards them.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<(Wire, u64)>>,
}

impl Relay {
    /// Starts a relay to the server at `target`.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new((Wire::Whole, 0)));
        let told = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, told.subscribe()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.state.send_modify(|(now, _)| *now = wire);
    }

    /// Ends every connection without a close message.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|(_, cuts)| *cuts += 1);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn carry(client: TcpStream, target: SocketAddr, state: watch::Receiver<(Wire, u64)>) {
    let (wire, cuts) = *state.borrow();
    if wire == Wire::Down {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut cut = state.clone();
    tokio::select! {
        () = pump(from_client, to_server, state.clone(), |wire| wire != Wire::Stalled) => {}
        () = pump(from_server, to_client, state, |wire| wire == Wire::Whole) => {}
        _ = cut.wait_for(|(_, now)| *now != cuts) => {}
    }
}

/// Forwards bytes while `passes`; bytes that have been read already are held back.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<(Wire, u64)>,
    passes: fn(Wire) -> bool,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut bytes).await {
        let whole = state.wait_for(|(wire, _)| passes(*wire)).await.is_ok();
        if read == 0 || !whole || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
