//! A network of pairs of carriers.

use std::fmt;

use async_trait::async_trait;
use chatcamp_transport::{Carrier, ConnectError, Connection, ConnectionInfo, Listener, Transport};
use tokio::sync::mpsc;

/// A network whose connections are pairs of carriers from `pair`.
pub(crate) fn adapted<A: Carrier + 'static, B: Carrier + 'static>(
    pair: impl Fn() -> (A, B) + Send + Sync + 'static,
) -> (Pairs, Accepted) {
    let (dial, accept) = mpsc::channel(16);
    let pair = move || {
        let (near, far) = pair();
        let connection = |carrier| Connection::from_parts(carrier, ConnectionInfo::default());
        (connection(Box::new(near)), connection(Box::new(far)))
    };
    (Pairs { dial, pair: Box::new(pair) }, Accepted { accept })
}

pub(crate) struct Pairs {
    dial: mpsc::Sender<Connection>,
    pair: Box<dyn Fn() -> (Connection, Connection) + Send + Sync>,
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairs").finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Pairs {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let (near, far) = (self.pair)();
        self.dial.send(far).await.map_err(|_| ConnectError::unreachable("the listener was dropped"))?;
        Ok(near)
    }

    fn is_exposed(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) accept: mpsc::Receiver<Connection>,
}

#[async_trait]
impl Listener for Accepted {
    async fn accept(&mut self) -> Option<Connection> {
        self.accept.recv().await
    }
}
